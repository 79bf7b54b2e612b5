"""Reports and dry runs as tables for people, and as JSON."""

from typing import TYPE_CHECKING, Any

from novu_async.cli._output import bad, count, format_seconds, format_table, good

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from novu_async.bulk import DryRun, Reason, Report

_DONE = {
    "append": "tokens stored",
    "replace": "tokens stored",
    "remove": "tokens removed",
    "delete": "providers deleted",
    "verify": "tokens found stored",
}
_FAILED = {"verify": "not stored"}


def format_report(report: "Report") -> str:
    """Write a report as a table, with what failed and why below it."""
    figures: list[tuple[str, int, Callable[[str], str] | None]] = [
        ("rows read", report.rows, None),
        ("invalid", report.invalid, bad),
        ("duplicates", report.duplicates, None),
        ("subscribers", report.subscribers, None),
        ("requests sent", report.requests, None),
        (_DONE[report.operation], report.done, good),
        (_FAILED.get(report.operation, "failed"), report.failed, bad),
    ]
    if report.verified:
        figures.append(("read back", report.verified, None))
    if report.waiting:
        figures.append(("waiting", report.waiting, bad))
    rows = [(label, f"{number:,}", "") for label, number, _ in figures]
    rate = report.requests / report.seconds if report.seconds else 0.0
    rows.append(("seconds", f"{report.seconds:.1f}", f"{rate:,.0f} requests/s" if rate else ""))
    lines = format_table(rows).split("\n")
    for place, (_, number, colour) in enumerate(figures):
        if colour is not None and number:
            lines[place] = colour(lines[place])
    lines += _format_reasons("invalid rows", report.invalid_reasons)
    lines += _format_reasons("failed rows", report.failures)
    return "\n".join(lines)


def _format_reasons(title: str, reasons: "Iterable[Reason]") -> list[str]:
    rows = [
        (f"  {reason.reason}", f"{reason.count:,}", _describe_lines(reason)) for reason in reasons
    ]
    return ["", title, format_table(rows)] if rows else []


def _describe_lines(reason: "Reason") -> str:
    more = ", ..." if reason.count > len(reason.lines) else ""
    noun = "line" if reason.count == 1 else "lines"
    lines = f"{noun} {', '.join(map(str, reason.lines))}{more}" if reason.lines else ""
    return f"{lines}  can be tried again" if reason.retryable else lines


def format_dry_run(plan: "DryRun") -> str:
    """Write a dry run as a table."""
    from novu_async.bulk.plan import PLAN_LIMITS

    parts = [
        format_table(
            [
                ("rows read", f"{plan.rows:,}", ""),
                ("invalid", f"{plan.invalid:,}", ""),
                ("duplicates", f"{plan.duplicates:,}", ""),
                ("subscribers", f"{plan.subscribers:,}", ""),
                ("tokens", f"{plan.tokens:,}", ""),
                ("requests", f"{plan.requests:,}", ""),
            ]
        )
    ]
    parts += _format_reasons("invalid rows", plan.invalid_reasons)
    parts += _format_reasons("rows that cannot be sent", plan.failures)
    parts += _format_findings(plan)
    plans = [
        (f"  {name}", f"{PLAN_LIMITS[name]:,}/s", format_seconds(seconds))
        for name, seconds in plan.seconds.items()
    ]
    return "\n".join([*parts, "", "time at the limit of each plan", format_table(plans)])


def _format_findings(plan: "DryRun") -> list[str]:
    lines = []
    for provider in plan.unknown_providers:
        meant = f": did you mean {provider.nearest}?" if provider.nearest else ""
        lines.append(
            f"unknown provider {provider.provider_id} in {count(provider.rows, 'row')}{meant}"
        )
    if plan.shared_tokens.count:
        first: Any = plan.shared_tokens.first[0]
        lines.append(
            f"{count(plan.shared_tokens.count, 'token')} under several subscribers, such as "
            f"{first.fingerprint} in lines {', '.join(map(str, first.lines))}"
        )
    if plan.padded.count:
        lines.append(
            f"{count(plan.padded.count, 'row')} with white space around a value, which is sent "
            f"as it is, such as line {plan.padded.first[0]}"
        )
    if plan.over_limit.count:
        largest: Any = plan.over_limit.first[0]
        lines.append(
            f"{count(plan.over_limit.count, 'channel')} beyond 100 tokens, such as "
            f"{largest.provider_id} of {largest.subscriber_id} with {largest.tokens:,}: the API "
            "refuses those"
        )
    return ["", *lines] if lines else []


def as_json(result: "Report | DryRun", **more: Any) -> dict[str, Any]:
    """Return everything a report or a dry run says, for programs."""
    import attrs

    return {**attrs.asdict(result), "ok": result.ok, **more}
