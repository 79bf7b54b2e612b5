# ruff: noqa: S608, the queries are put together from this package's constants only
"""The figures of a dry run, from a job file that was loaded and never sent."""

from collections.abc import Callable
from typing import Any, TypeVar

from novu_async._secrets import fingerprint
from novu_async.bulk.journal import Journal
from novu_async.bulk.loader import WAITING
from novu_async.bulk.plan import (
    MAX_CHANNEL_TOKENS,
    Channel,
    DryRun,
    Examples,
    SharedToken,
    UnknownProvider,
    seconds_by_plan,
)
from novu_async.providers import is_known, nearest_provider

T = TypeVar("T")

_EXAMPLES = 5
_CHANNEL = "subscriber_id, provider_id, integration_identifier"
_BLANKS = " \t\r\n\xa0\ufeff"


def make_dry_run(journal: Journal) -> DryRun:
    """Return what the job would do."""
    meta, report = journal.meta, journal.report()
    return DryRun(
        operation=report.operation,
        rows=report.rows,
        invalid=report.invalid,
        invalid_reasons=report.invalid_reasons,
        duplicates=report.duplicates,
        subscribers=report.subscribers,
        tokens=meta["tokens"],
        writes=report.writes,
        requests=meta["planned_requests"],
        unknown_providers=_unknown_providers(journal),
        shared_tokens=_shared_tokens(journal),
        over_limit=_over_limit(journal),
        padded=_padded(journal),
        seconds=seconds_by_plan(meta["planned_requests"]),
        failures=report.failures,
    )


def _unknown_providers(journal: Journal) -> tuple[UnknownProvider, ...]:
    found = journal.query(
        "SELECT provider_id, count(*) FROM rows GROUP BY provider_id ORDER BY count(*) DESC"
    )
    return tuple(
        UnknownProvider(provider_id, rows, nearest_provider(provider_id))
        for provider_id, rows in found
        if not is_known(provider_id)
    )


def _shared_tokens(journal: Journal) -> Examples[SharedToken]:
    found = journal.query(
        "SELECT count(*) OVER (), token, count(DISTINCT subscriber_id) AS subscribers FROM rows "
        "WHERE token IS NOT NULL GROUP BY token HAVING subscribers > 1 "
        f"ORDER BY subscribers DESC, token LIMIT {_EXAMPLES}"
    )
    return _examples(
        found,
        lambda token, subscribers: SharedToken(
            fingerprint(token), subscribers, _lines_of(journal, token)
        ),
    )


def _examples(found: list[tuple[Any, ...]], make: Callable[..., T]) -> Examples[T]:
    """Make examples of what was found; each row begins with how many there are in all."""
    return Examples(found[0][0] if found else 0, tuple(make(*row[1:]) for row in found))


def _lines_of(journal: Journal, token: str) -> tuple[int, ...]:
    found = journal.query(
        f"SELECT line FROM rows WHERE token = ? ORDER BY line LIMIT {_EXAMPLES}", token
    )
    return tuple(line for (line,) in found)


def _over_limit(journal: Journal) -> Examples[Channel]:
    if journal.meta["operation"] not in ("append", "replace"):
        return Examples(0, ())  # the others put no tokens into a channel
    found = journal.query(
        "SELECT count(*) OVER (), subscriber_id, provider_id, count(token) AS tokens FROM rows "
        f"WHERE state = {WAITING} GROUP BY {_CHANNEL} HAVING tokens > {MAX_CHANNEL_TOKENS} "
        f"ORDER BY tokens DESC LIMIT {_EXAMPLES}"
    )
    return _examples(found, Channel)


def _padded(journal: Journal) -> Examples[int]:
    names = ("subscriber_id", "provider_id", "integration_identifier", "token", "webhook_url")
    is_padded = " OR ".join(f"{name} != trim({name}, blanks)" for name in names)
    found = journal.query(
        f"SELECT count(*) OVER (), line FROM rows, (SELECT ? AS blanks) WHERE {is_padded} "
        f"ORDER BY line LIMIT {_EXAMPLES}",
        _BLANKS,
    )
    return _examples(found, int)
