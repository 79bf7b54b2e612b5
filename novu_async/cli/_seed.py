"""What `serve` starts with: subscribers and integrations, from a JSON file."""

import json
from pathlib import Path
from typing import Any

import click


def read_seed(path: str) -> dict[str, Any]:
    """Return the arguments of LocalNovu that a seed file stands for.

    The form: {"subscribers": [ids or objects], "subscriber_range": {"prefix": "sub-", "count":
    10000}, "integrations": [provider ids or {"providerId", "identifier", "active"}]}; every part
    is optional. A range counts from 0: sub-0, sub-1 and so on.

    Raises click.ClickException for a file that cannot be read or is not of this form.
    """
    try:
        seed = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise click.ClickException(f"seed file {path}: {error.strerror}") from None
    except ValueError as error:
        raise click.ClickException(f"seed file {path}: not JSON: {error}") from None
    problem = _find_problem(seed)
    if problem:
        raise click.ClickException(f"seed file {path}: {problem}")
    spread = seed.pop("subscriber_range", None)
    if spread is not None:
        ids = [f"{spread.get('prefix', '')}{number}" for number in range(spread["count"])]
        seed["subscribers"] = [*(seed.get("subscribers") or ()), *ids]
    return seed  # type: ignore[no-any-return]


def _find_problem(seed: Any) -> str:
    """Say what is wrong with a seed; empty where nothing is."""
    if not isinstance(seed, dict):
        return "must be an object"
    unknown = sorted(seed.keys() - {"subscribers", "subscriber_range", "integrations"})
    if unknown:
        return f"unknown field {unknown[0]!r}"
    if seed.get("subscriber_range") is not None and not _is_range(seed["subscriber_range"]):
        return "subscriber_range must have a prefix (text) and a count (number)"
    for part, is_valid in (("subscribers", _is_subscriber), ("integrations", _is_integration)):
        items = seed.get(part)
        if items is not None and not isinstance(items, list):
            return f"{part} must be a list"
        for number, item in enumerate(items or ()):
            if not is_valid(item):
                return f"{part}[{number}] is not valid: {item!r}"
    return ""


def _is_range(spread: Any) -> bool:
    if not isinstance(spread, dict) or not isinstance(spread.get("prefix", ""), str):
        return False
    count = spread.get("count")
    return isinstance(count, int) and count >= 0


def _is_subscriber(item: Any) -> bool:
    subscriber_id = item.get("subscriberId") if isinstance(item, dict) else item
    return isinstance(subscriber_id, str) and subscriber_id != ""


def _is_integration(item: Any) -> bool:
    return (isinstance(item, str) and item != "") or (
        isinstance(item, dict)
        and isinstance(item.get("providerId"), str)
        and isinstance(item.get("identifier", ""), str)
        and isinstance(item.get("active", True), bool)
    )
