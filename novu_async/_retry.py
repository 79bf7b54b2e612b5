"""What is sent again, when, and how often; the only importer of tenacity.

A call that succeeds at once never comes here. Each failed call gets a tenacity controller of its
own, because one that is shared between tasks mixes up their errors.
"""

import math
import random
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from attrs import Attribute, field, frozen
from attrs.validators import optional

from novu_async._secrets import name_type, show_number
from novu_async.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    CallError,
    InvalidRetryConfigError,
    ReplyTooLargeError,
)

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 525), 529, 530})
"""From 520 on those of Cloudflare, for a server behind it that it cannot reach, or overload."""
_LEAST_ASKED = 0.5
"""A server that asks for a shorter wait, in seconds, must not be asked again without end."""

_CONFLICT = 409
_TOO_MANY = 429


def is_duration(value: object) -> TypeGuard[float]:
    """Tell whether a value is a number from 0 that a float can hold, or infinity."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 <= value <= sys.float_info.max or value == math.inf


def _not_negative(_: object, attribute: "Attribute[float]", value: object) -> None:
    if not is_duration(value):
        raise InvalidRetryConfigError(
            f"{attribute.name} must be a number from 0, not {show_number(value)}"
        )


def _optional_count(_: object, attribute: "Attribute[int | None]", value: Any) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise InvalidRetryConfigError(
            f"{attribute.name} must be a whole number above zero or None, not {show_number(value)}"
        )


def _strategy(_: object, attribute: "Attribute[str]", value: object) -> None:
    if value not in ("backoff", "none"):
        raise InvalidRetryConfigError(
            f"{attribute.name} must be 'backoff' or 'none', not {value!r}"
        )


@frozen
class BackoffStrategy:
    """How long to wait between attempts; all durations are milliseconds.

    The n-th wait is random between zero and `initial_interval * exponent ** (n - 1)`. With
    `jitter_ms` it is that interval itself plus up to `jitter_ms`. Both are at most `max_interval`,
    and a Retry-After of the server wins over them. A write that the API may still be at work on,
    because it was too slow (or its connection dropped), is not sent again for 5 seconds (1), where
    there is so much time, lest the two make a channel each.

    A call gives up when the next wait would end more than `max_elapsed_time` after it was first
    sent. An attempt that is begun has its whole `timeout`, so a call takes at most both together.
    What it waits before it is first sent, behind other writes for its subscriber and for the rate
    limit, does not count; where a 429 has stopped the client for longer than `max_elapsed_time` and
    than `timeout`, it fails unsent.

    Raises InvalidRetryConfigError, which is a ConfigurationError and a ValueError.
    """

    initial_interval: float = field(validator=_not_negative)
    max_interval: float = field(validator=_not_negative)
    exponent: float = field(validator=_not_negative)
    max_elapsed_time: float = field(validator=_not_negative)
    jitter_ms: float | None = field(default=None, validator=optional(_not_negative))


def _as_codes(codes: Iterable[object] | str | int | None) -> list[str] | None:
    codes = [codes] if isinstance(codes, str | int) else codes or ()
    if not isinstance(codes, Iterable):
        raise InvalidRetryConfigError(
            "status_codes_override must be a list of statuses such as ['429', '5XX'], not "
            f"{name_type(codes)}"
        )
    return [str(code) for code in codes] or None


@frozen
class RetryConfig:
    """Which failures are sent again.

    - `strategy`: "backoff", or "none" to send once.
    - `retry_connection_errors`: also after a lost connection or a timeout, but not where TLS
      cannot be set up.
    - `status_codes_override`: statuses such as `["429", "5XX"]` in place of the usual ones: 408,
      409 with a Retry-After, 425, 429, 500, 502, 503, 504, and Cloudflare's 520 to 524, 529, 530.
    - `max_attempts`: how often a call is attempted in all; None leaves it to `max_elapsed_time`.
      Where the server itself asks to wait half a second or more (409 or 429 with a Retry-After),
      only the time counts.

    With connection errors and more than one attempt allowed, an attempt whose connection is closed
    before the answer begins is sent once more, at once, on another one.

    In an outage one client makes at most one retry for each call and a hundred more in all, until
    calls succeed again.

    Raises InvalidRetryConfigError, which is a ConfigurationError and a ValueError.
    """

    strategy: str = field(validator=_strategy)
    backoff: BackoffStrategy = field()
    retry_connection_errors: bool = True
    status_codes_override: list[str] | None = field(default=None, converter=_as_codes)
    max_attempts: int | None = field(default=None, validator=_optional_count)

    @backoff.validator
    def _check_backoff(self, _: object, value: object) -> None:
        if self.strategy == "backoff" and not isinstance(value, BackoffStrategy):
            raise InvalidRetryConfigError(
                f"backoff must be a BackoffStrategy, not {name_type(value, BackoffStrategy)}"
            )

    @property
    def resends(self) -> bool:
        """Whether an attempt may be sent twice."""
        return self.retry_connection_errors and self.max_attempts != 1


DEFAULT_RETRIES = RetryConfig("backoff", BackoffStrategy(500, 30_000, 2.0, 120_000), True, None, 10)
"""Up to ten attempts within two minutes, with waits of up to 0.5, 1, 2, ... 30 seconds."""


class RetryBudget:
    """Keeps one client's retries to a share of its calls, so that an outage is not multiplied.

    The first retry of each call is free, and so are waits that the server asks for. Of further ones
    `capacity` may be made at once; every call that succeeds earns `refund` of a retry.
    """

    def __init__(self, capacity: float = 100.0, refund: float = 0.1) -> None:
        self._capacity = capacity
        self._refund = refund
        self.left = capacity

    def earn(self) -> None:
        if self.left < self._capacity:
            self.left = min(self._capacity, self.left + self._refund)

    def spend(self) -> bool:
        """Take one retry out; False where none is left."""
        if self.left < 1:
            return False
        self.left -= 1
        return True


def is_retried(error: BaseException, config: RetryConfig) -> bool:
    if isinstance(error, ReplyTooLargeError):
        return False  # the call was carried out, and the next answer would be as large
    if isinstance(error, APIConnectionError):
        # what TLS refuses, such as a certificate, it would refuse again
        return config.retry_connection_errors and not isinstance(error.__cause__, ssl.SSLError)
    if not isinstance(error, APIError) or error.replayed:
        return False
    if config.status_codes_override:
        return any(_matches(error.status_code, code) for code in config.status_codes_override)
    if error.status_code == _CONFLICT:
        return error.retry_after is not None
    return error.status_code in _RETRIED_STATUSES


def make_wait(error: BaseException | None, attempts: int, backoff: BackoffStrategy) -> float:
    """Return the seconds to wait after the given number of failed attempts."""
    asked = error.retry_after if isinstance(error, APIError) else None
    if asked:  # one that asks for no wait says only that a retry may help
        return asked
    try:
        interval = backoff.initial_interval * backoff.exponent ** min(attempts - 1, 64)
    except OverflowError:
        interval = backoff.max_interval
    interval = min(interval, backoff.max_interval)
    if backoff.jitter_ms is not None:
        interval += random.uniform(0, backoff.jitter_ms)  # noqa: S311
        return min(interval, backoff.max_interval) / 1000
    return random.uniform(0, interval) / 1000  # noqa: S311, spreads clients, guards nothing


async def retry(
    first_error: CallError,
    attempt: Callable[[], Awaitable[T]],
    config: RetryConfig,
    *,
    started: float,
    monotonic: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    budget: RetryBudget,
    quiet_at: Callable[[], float],
    on_retry: Callable[[CallError, float], None],
) -> T:
    """Go on with a call whose first attempt failed.

    `started` is the monotonic time at which the call was first sent, `quiet_at` that until which
    the API may go on with an attempt. Raises the last error, with what was tried in its notes.
    """
    from tenacity import AsyncRetrying, retry_if_exception  # most programs never come here

    tried: list[CallError] = []
    pending: CallError | None = first_error

    async def one_attempt() -> T:
        nonlocal pending
        if pending is not None:
            # tenacity counts the attempt that has already been made
            error, pending = pending, None
            raise error
        return await attempt()

    def stop(state: "RetryCallState") -> bool:
        error = _error_of(state)
        elapsed = monotonic() - started
        if elapsed + state.upcoming_sleep > config.backoff.max_elapsed_time / 1000:
            return True
        if _asks_to_wait(error):
            return False
        counted = state.attempt_number - sum(map(_asks_to_wait, tried))
        if config.max_attempts is not None and counted >= config.max_attempts:
            return True
        if counted == 1 or budget.spend():
            return False
        if error is not None:
            error.add_note("the client's budget of retries is used up")
        return True

    def wait(state: "RetryCallState") -> float:
        seconds = make_wait(_error_of(state), state.attempt_number, config.backoff)
        now = monotonic()
        grace = quiet_at() - now
        has_time = now + grace - started <= config.backoff.max_elapsed_time / 1000
        # two channels are rarer than a retry that succeeds
        return max(seconds, grace) if has_time else seconds

    def note(state: "RetryCallState") -> None:
        error = _error_of(state)
        if isinstance(error, CallError):
            tried.append(error)
            on_retry(error, state.upcoming_sleep)

    controller = AsyncRetrying(
        sleep=sleep,
        stop=stop,
        wait=wait,
        retry=retry_if_exception(lambda error: is_retried(error, config)),
        before_sleep=note,
        reraise=True,
    )
    try:
        return await controller(one_attempt)
    except CallError as error:
        if tried:
            error.may_have_applied |= any(earlier.may_have_applied for earlier in tried)
            seconds = monotonic() - started
            summary = ", then ".join(map(_name, tried[-5:]))
            error.add_note(f"tried for {seconds:.1f} s: {summary}")
        raise


def _error_of(state: "RetryCallState") -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


def _asks_to_wait(error: BaseException | None) -> bool:
    if not isinstance(error, APIError) or error.status_code not in (_CONFLICT, _TOO_MANY):
        return False
    return (error.retry_after or 0.0) >= _LEAST_ASKED


def _matches(status_code: int, code: str) -> bool:
    if code[1:].upper() == "XX":
        return str(status_code)[0] == code[0]
    return str(status_code) == code


def _name(error: CallError) -> str:
    if isinstance(error, APIError):
        return str(error.status_code)
    return "timeout" if isinstance(error, APITimeoutError) else "connection error"
