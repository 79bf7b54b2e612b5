"""For how long the API may go on with a write whose answer nobody has, or will have."""

from asyncio import CancelledError

from novu_async._wire import Reply
from novu_async.errors import APIConnectionError, APITimeoutError

_SLOW_SECONDS = 5.0
"""Of a write that was too slow for us or for a gateway, or was cut off."""

_DROPPED_SECONDS = 1.0
"""Of one whose connection was dropped, ours or a gateway's, which says nothing of its speed."""

_AFTER_STATUS = {
    502: _DROPPED_SECONDS,
    504: _SLOW_SECONDS,
    520: _DROPPED_SECONDS,  # this and 524 are Cloudflare's
    524: _SLOW_SECONDS,
}


def seconds_after(outcome: Reply | BaseException) -> float:
    """Return the seconds, by what came of sending the write; 0 where the API has ended it."""
    if isinstance(outcome, Reply):
        dropped = _DROPPED_SECONDS if outcome.attempts > 1 else 0.0
        return _AFTER_STATUS.get(outcome.status, dropped)
    if isinstance(outcome, CancelledError):
        return _SLOW_SECONDS
    if not (isinstance(outcome, APIConnectionError) and outcome.may_have_applied):
        return 0.0
    return _SLOW_SECONDS if isinstance(outcome, APITimeoutError) else _DROPPED_SECONDS
