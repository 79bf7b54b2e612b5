"""What ends a call while it waits: the gate, its caller, or the end of the client."""

import pytest
from core_doubles import reply, script

from novu_async._wire import Reply, Request
from novu_async.errors import RateLimitError, ServerError

pytestmark = pytest.mark.anyio


async def test_a_call_that_the_gate_turns_away_later_raises_its_own_error() -> None:
    """It was sent, and what it met is not hidden by another call's 429."""

    async def unavailable(_: Request) -> Reply:
        assert call.pipeline.gate.enter()
        call.pipeline.gate.observe({}, 300.0, succeeded=False)  # another call's answer
        return reply(503)

    call = script(unavailable)
    with pytest.raises(ServerError) as caught:
        await call()
    assert (caught.value.status_code, caught.value.attempts) == (503, 1)
    assert caught.value.may_have_applied
    assert "not sent again: an earlier answer asked to wait" in caught.value.__notes__[-1]
    with pytest.raises(RateLimitError, match="not sent: an earlier answer"):
        await call()
