"""Lost tokens: concurrent appends to one subscriber, on a server that races as the API does."""

import asyncio
from collections.abc import Callable
from typing import Any

from benchmarks._clients import AWAITED, KEY, PROVIDER
from benchmarks._harness import Goal, Scale, Section, Table, spread
from novu_async.testing import LocalNovu

_SHOWN = {
    "novu-py": "novu-py, gathered",
    "aiohttp": "aiohttp, bare, gathered",
    "append": "novu_async credentials.append, gathered",
    "add": "novu_async device_tokens.add, gathered",
}
_CALLS = 50

Outcome = tuple[int, int, int]
"""Calls that were acknowledged, tokens that are stored, channels of the integration."""


def run(scale: Scale) -> Section:
    """Gather 50 appends to one subscriber, in both eras of the API."""
    rounds = scale.pick(1, 7)
    tables, least = [], float(_CALLS)
    for era in ("2024", "2026"):
        for prepared in (False, True):
            found = {name: _repeat(name, era, prepared, rounds) for name in _SHOWN}
            tables.append(_table(found, era, prepared))
            ours = [stored for name in ("append", "add") for _, stored, _ in found[name]]
            least = min(least, *ours)
    return Section(
        title="Tokens that are stored",
        about=(
            f"{_CALLS} tokens for one subscriber, {_CALLS} calls at the same time, each client "
            "with its defaults, on LocalNovu, which reads, merges in memory and overwrites as the "
            "API does. Every call is acknowledged with 200; what counts is what is stored then."
        ),
        tables=tables,
        goals=[Goal(f"novu_async: tokens stored of {_CALLS}, at worst", least, at_least=_CALLS)],
    )


def _repeat(name: str, era: Any, prepared: bool, rounds: int) -> list[Outcome]:
    return [asyncio.run(_measure(AWAITED[name], era, prepared)) for _ in range(rounds)]


async def _measure(client: Callable[..., Any], era: Any, prepared: bool) -> Outcome:
    async with LocalNovu(era=era, api_keys=[KEY]) as local:
        channel = {"providerId": PROVIDER, "credentials": {"deviceTokens": []}}
        local.add_subscriber("ada", channels=[channel] if prepared else [])
        async with client(local.url) as call:
            calls = (call("ada", f"token-{number}") for number in range(_CALLS))
            answers = await asyncio.gather(*calls, return_exceptions=True)
        failed = sum(isinstance(answer, BaseException) for answer in answers)
        stored = set(local.device_tokens("ada", PROVIDER))
        return _CALLS - failed, len(stored), len(local.subscribers["ada"]["channels"])


def _table(found: dict[str, list[Outcome]], era: str, prepared: bool) -> Table:
    rows = []
    for name, shown in _SHOWN.items():
        columns = zip(*found[name], strict=True)
        rows.append([shown, *(spread(column) for column in columns)])
    before = "a channel exists" if prepared else "no channel yet"
    return Table(f"API of {era}, {before}", ["client", "acknowledged", "stored", "channels"], rows)
