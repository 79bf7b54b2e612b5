"""Faults on demand: what goes wrong between a client and Novu, scripted or at random.

| fault | what the client sees | write applied |
|---|---|---|
| `refuse` | the connection is closed as soon as it is accepted | no |
| `reset_before` | connection reset once the request was read | no |
| `drop_before_reply` | connection reset instead of the answer | yes |
| `reset_during_reply` | half of the answer, then a reset | yes |
| `reset_after_reply` | the whole answer, then a reset | yes |
| `close_idle` | the whole answer with keep-alive, then the connection is closed | yes |
| `stall` | nothing, until the client leaves or the server closes | no |
| `stall_after_write` | the same | yes |
| `slow_reply` | the answer in pieces of a few bytes | yes |
| `truncated_json` | a complete HTTP reply whose JSON ends in the middle | yes |
| `wrong_content_type` | the right JSON, announced as text/html | yes |
| `oversized_reply` | valid JSON padded to `size_bytes` | yes |
| `overwritten` | the API's answer, after another process has put the old channels back | yes |
| `html_error` | the 502 page of a proxy, HTML | no |
| `too_many_requests` | 429 with `Retry-After` | no |
| `error_500` | the API's 500 | no |
| `error_502`, `error_504` | an empty reply of a gateway | no |
| `error_503` | the API's 503 with `Retry-After` | no |
| `redirect` | 307 to `location`, another host | no |

`applied=True` lets one that says "no" carry out the write first, where there is a request.
"""

import random
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal, get_args

from attrs import define, field, frozen

FaultKind = Literal[
    "refuse",
    "reset_before",
    "drop_before_reply",
    "reset_during_reply",
    "reset_after_reply",
    "close_idle",
    "stall",
    "stall_after_write",
    "slow_reply",
    "truncated_json",
    "wrong_content_type",
    "oversized_reply",
    "overwritten",
    "html_error",
    "too_many_requests",
    "error_500",
    "error_502",
    "error_503",
    "error_504",
    "redirect",
]
FAULT_KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)
APPLIED_FAULTS: Final = frozenset(
    {
        "drop_before_reply",
        "reset_during_reply",
        "reset_after_reply",
        "close_idle",
        "stall_after_write",
        "slow_reply",
        "truncated_json",
        "wrong_content_type",
        "oversized_reply",
        "overwritten",
    }
)
# Random faults leave out those that need a short timeout, much memory or a second look.
_RANDOM_KINDS: Final = tuple(kind for kind in FAULT_KINDS if not kind.startswith(("stall", "over")))


@frozen
class Fault:
    """Hold one fault to inject. `retry_after` is in seconds, `size_bytes` the padded body."""

    kind: FaultKind
    applied: bool
    retry_after: int = 1
    location: str = "http://redirected.invalid/"
    size_bytes: int = 16 << 20


@define
class _Rule:
    fault: Fault
    times: int
    skip: int
    method: str | None
    subscriber_id: str | None

    def matches(self, method: str, subscriber_id: str | None) -> bool:
        return self.method in (None, method) and self.subscriber_id in (None, subscriber_id)


@define
class _Lottery:
    rate: float
    kinds: tuple[FaultKind, ...]
    draw: random.Random
    retry_after: int


@define
class Faults:
    """Decide which requests go wrong. Scripted faults come first, then the random ones.

    `injected` counts by kind what was really injected. Safe to use from any thread.
    """

    injected: Counter[str] = field(factory=Counter)
    _rules: list[_Rule] = field(factory=list)
    _lottery: _Lottery | None = None
    _lock: threading.Lock = field(factory=threading.Lock, repr=False)

    def next(
        self,
        kind: FaultKind,
        *,
        times: int = 1,
        after: int = 0,
        method: str | None = None,
        subscriber_id: str | None = None,
        applied: bool | None = None,
        retry_after: int = 1,
        location: str = "http://redirected.invalid/",
        size_bytes: int = 16 << 20,
    ) -> None:
        """Inject a fault into the next `times` matching requests, after letting `after` pass.

        Several calls queue up; the first that matches a request is used. `refuse` counts
        connections and ignores `method` and `subscriber_id`.

        Raises ValueError for an unknown kind.
        """
        _check_kind(kind)
        is_applied = kind in APPLIED_FAULTS if applied is None else applied
        fault = Fault(kind, is_applied, retry_after, location, size_bytes)
        with self._lock:
            self._rules.append(_Rule(fault, times, after, method, subscriber_id))

    def random(
        self,
        rate: float,
        *,
        seed: int = 0,
        kinds: Iterable[FaultKind] | None = None,
        retry_after: int = 0,
    ) -> None:
        """Inject faults at random: `rate` is the share of requests, from 0 to 1.

        The same seed gives the same schedule by order of arrival. Without `kinds`, all but the
        stalls, `oversized_reply` and `overwritten` take part.

        Raises ValueError for a rate outside 0..1 or an unknown kind.
        """
        if not 0 <= rate <= 1:
            raise ValueError(f"rate must be between 0 and 1, not {rate}")
        wanted = _RANDOM_KINDS if kinds is None else tuple(kinds)
        for kind in wanted:
            _check_kind(kind)
        draw = random.Random(seed)  # noqa: S311
        with self._lock:
            self._lottery = _Lottery(rate, wanted, draw, retry_after) if wanted else None

    def stop(self) -> None:
        """Inject nothing any more; the counts stay."""
        with self._lock:
            self._rules.clear()
            self._lottery = None

    def reset(self) -> None:
        """Inject nothing any more and forget the counts."""
        self.stop()
        self.injected.clear()

    @property
    def total(self) -> int:
        """Count all faults injected so far."""
        return self.injected.total()

    @property
    def active(self) -> bool:
        """Say whether any fault is scripted or drawn."""
        return bool(self._rules) or self._lottery is not None

    def pick_for_connection(self) -> bool:
        """Say whether to close a connection at once."""
        with self._lock:
            for rule in self._rules:
                if rule.fault.kind == "refuse":
                    return self._use(rule) is not None
            return self._draw(at_accept=True) is not None

    def pick_for_request(self, method: str, subscriber_id: str | None) -> Fault | None:
        """Choose the fault of a request, if any."""
        with self._lock:
            for rule in self._rules:
                if rule.fault.kind != "refuse" and rule.matches(method, subscriber_id):
                    return self._use(rule)
            return self._draw(at_accept=False)

    def _use(self, rule: _Rule) -> Fault | None:
        if rule.skip > 0:
            rule.skip -= 1
            return None
        rule.times -= 1
        if rule.times <= 0:
            self._rules.remove(rule)
        self.injected[rule.fault.kind] += 1
        return rule.fault

    def _draw(self, *, at_accept: bool) -> Fault | None:
        lottery = self._lottery
        if lottery is None:
            return None
        kinds: list[FaultKind] = [kind for kind in lottery.kinds if (kind == "refuse") is at_accept]
        share = lottery.rate * len(kinds) / len(lottery.kinds) if at_accept else lottery.rate
        if not kinds or lottery.draw.random() >= share:
            return None
        kind = lottery.draw.choice(kinds)
        self.injected[kind] += 1
        return Fault(kind, kind in APPLIED_FAULTS, lottery.retry_after)


def _check_kind(kind: str) -> None:
    if kind not in FAULT_KINDS:
        raise ValueError(f"unknown fault {kind!r}; known are {', '.join(FAULT_KINDS)}")
