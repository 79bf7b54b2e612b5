"""What a LocalNovu starts with: subscribers and integrations, from a file or a dict."""

import json
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from attrs import frozen


class SeedError(ValueError):
    """Say what is wrong with a seed, naming the file and the field."""


@frozen
class Seed:
    """Hold subscribers (ids or objects) and integrations (oldest first).

    None means "as without a seed": any subscriber exists on first use, and one integration of
    every common provider is active.
    """

    subscribers: Iterable[str | Mapping[str, Any]] | None = None
    integrations: Iterable[Mapping[str, Any]] | None = None


def load_seed(source: str | PathLike[str] | Mapping[str, Any]) -> Seed:
    """Read a seed from a JSON file or from a dict of the same form.

    The form: {"subscribers": [ids or objects], "subscriber_range": {"prefix": "sub-", "count":
    10000}, "integrations": [{"providerId", "identifier", "active"}]}; every part is optional.
    A range counts from 0: sub-0, sub-1 and so on.

    Raises SeedError for a file that cannot be read or is not of this form.
    """
    name = "the seed" if isinstance(source, Mapping) else f"seed file {source}"
    data = source if isinstance(source, Mapping) else _read(source, name)
    unknown = set(data) - {"subscribers", "subscriber_range", "integrations"}
    if unknown:
        raise SeedError(f"{name}: unknown field {sorted(unknown)[0]!r}")
    subscribers = _check_list(name, data, "subscribers", _is_subscriber)
    spread = _check_range(name, data.get("subscriber_range"))
    if spread is not None:
        subscribers = [*(subscribers or ()), *spread]
    return Seed(subscribers, _check_list(name, data, "integrations", _is_integration))


def _read(source: str | PathLike[str], name: str) -> Mapping[str, Any]:
    try:
        data = json.loads(Path(source).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SeedError(f"{name}: {error.strerror}") from None
    except ValueError as error:
        raise SeedError(f"{name}: not JSON: {error}") from None
    if not isinstance(data, dict):
        raise SeedError(f"{name}: must be an object")
    return data


def _check_list(name: str, data: Mapping[str, Any], part: str, valid: Any) -> list[Any] | None:
    items = data.get(part)
    if items is None:
        return None
    if not isinstance(items, list | tuple):
        raise SeedError(f"{name}: {part} must be a list")
    for number, item in enumerate(items):
        if not valid(item):
            raise SeedError(f"{name}: {part}[{number}] is not valid: {item!r}")
    return list(items)


def _is_subscriber(item: object) -> bool:
    subscriber_id = item.get("subscriberId") if isinstance(item, Mapping) else item
    return isinstance(subscriber_id, str) and subscriber_id != ""


def _is_integration(item: object) -> bool:
    return (
        isinstance(item, Mapping)
        and isinstance(item.get("providerId"), str)
        and isinstance(item.get("identifier", ""), str)
        and isinstance(item.get("active", True), bool)
    )


def _check_range(name: str, spread: Any) -> Iterator[str] | None:
    if spread is None:
        return None
    given = spread if isinstance(spread, Mapping) else {}
    prefix, count = given.get("prefix", ""), given.get("count")
    if not isinstance(prefix, str) or not isinstance(count, int) or count < 0:
        raise SeedError(f"{name}: subscriber_range must have a prefix (text) and a count (number)")
    return (f"{prefix}{number}" for number in range(count))
