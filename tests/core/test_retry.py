"""Which failures are sent again, when, and when a call gives up; in fake time throughout."""

import asyncio
import math
from typing import Any, cast

import pytest
from core_doubles import STORED, TOKEN, Call, ScriptedTransport, reply, script, settings
from hypothesis import given
from hypothesis import strategies as st

from novu_async import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    BackoffStrategy,
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    RateLimitError,
    RetryConfig,
    ServerError,
)
from novu_async._endpoints import APPEND, DELETE, UPDATE
from novu_async._pipeline import Pipeline
from novu_async._retry import DEFAULT_RETRIES, RetryBudget, make_wait
from tests.pacing.virtual_time import VirtualClock, run

pytestmark = pytest.mark.anyio

LOST = APIConnectionError("lost", may_have_applied=True)
SLOW = APITimeoutError("slow", may_have_applied=True)
BACKOFF = BackoffStrategy(500, 30_000, 2.0, 120_000)


def lost() -> APIConnectionError:
    """Make the error of a lost connection; errors are not shared between calls."""
    return APIConnectionError("lost", may_have_applied=True)


def backoff(**changes: Any) -> RetryConfig:
    """Make a retry configuration that differs from the default in these."""
    usual: dict[str, Any] = {"strategy": "backoff", "backoff": BACKOFF, "max_attempts": 10}
    return RetryConfig(**{**usual, **changes})


def within(milliseconds: float, **changes: Any) -> RetryConfig:
    """Make a retry configuration with a deadline."""
    strategy = BackoffStrategy(500, 30_000, 2.0, milliseconds)
    return backoff(backoff=strategy, max_attempts=None, **changes)


ONE_A_MINUTE = reply(
    RateLimit_Limit="1", RateLimit_Policy="1;w=60;burst=1", RateLimit_Remaining="0"
)


async def fail(call: Call, **options: Any) -> Any:
    """Send a call that must fail, and return its error."""
    with pytest.raises((APIError, APIConnectionError)) as caught:
        await call(**options)
    return caught.value


@pytest.mark.parametrize(
    "status", [408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530]
)
@pytest.mark.parametrize("endpoint", [UPDATE, APPEND, DELETE], ids=lambda e: e.name)
async def test_a_passing_failure_is_sent_again(status: int, endpoint: Any) -> None:
    """These statuses are retried for each of the three calls, after a wait."""
    call = script(reply(status), reply(status, b"<html>"), reply())
    assert (await call(endpoint)).status == 200
    assert len(call.transport.sent) == 3
    assert len(call.clock.slept) == 2


@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 431, 307, 501]
)
async def test_a_lasting_failure_is_not(status: int) -> None:
    """Nothing else is retried; the error has no notes, and one attempt."""
    call = script(reply(status), reply())
    error = await fail(call)
    assert (error.status_code, error.attempts) == (status, 1)
    assert len(call.transport.sent) == 1
    assert call.clock.slept == []
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize("make", [lost, lambda: APITimeoutError("slow")])
async def test_a_lost_connection_is_sent_again(make: Any) -> None:
    """No answer, or none in time, is retried, unless the configuration says not to."""
    assert (await script(make(), make(), reply())()).status == 200
    call = script(make(), reply(), retries=backoff(retry_connection_errors=False))
    assert (await fail(call)).attempts == 1


async def test_a_page_of_a_proxy_with_200_is_not_sent_again() -> None:
    """An answer that is no error and not the API's says nothing that a retry would change."""
    call = script(reply(200, b"<html>please log in</html>"), reply())
    assert (await fail(call)).status_code == 200
    assert len(call.transport.sent) == 1


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        ({"Retry_After": "7"}, [7.0]),
        ({"Retry_After_Ms": "250", "Retry_After": "7"}, [0.25]),
        ({"Retry_After": "119"}, [119.0]),
    ],
)
async def test_the_server_says_how_long_to_wait(headers: Any, waits: list[float]) -> None:
    """Retry-After wins over the backoff, also over its longest interval."""
    call = script(reply(503, **headers), reply())
    await call()
    assert call.clock.slept == waits


@pytest.mark.parametrize("after", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_asks_for_no_wait_is_not_stormed(status: int, after: str) -> None:
    """The usual growing waits come between the attempts, all ten of which took milliseconds."""
    call = script(*[reply(status, Retry_After=after)] * 9, reply())
    await call()
    assert call.clock.now - 1000 > 5


@pytest.mark.parametrize("after", ["86400", "121", "99999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
@pytest.mark.parametrize("status", [429, 503])
async def test_a_wait_beyond_the_deadline_is_not_begun(after: str, status: int) -> None:
    """A call that could not go on in time raises at once, and says what the server asked."""
    call = script(reply(status, Retry_After=after), reply())
    error = await fail(call)
    assert error.retry_after > 120
    assert error.attempts == 1
    assert call.clock.slept == []


@pytest.mark.parametrize("options", [{}, {"retries": None}, {"retries": within(50_000)}])
async def test_no_call_waits_for_a_day_because_another_was_told_to(options: Any) -> None:
    """While a 429 stops the client for too long, further calls fail at once, unsent."""
    call = script(reply(429, Retry_After="86400"), reply())
    await fail(call)
    error = await fail(call, **options)
    assert type(error) is RateLimitError
    assert error.retry_after == 86_400
    assert "another 86400 s" in str(error)
    assert len(call.transport.sent) == 1
    assert call.clock.now == 1000
    call.clock.now += 86_400
    assert (await call()).status == 200


@pytest.mark.parametrize("options", [{}, {"retries": None}, {"retries": within(100)}])
async def test_a_short_stop_is_waited_for(options: Any) -> None:
    """A call waits for it as long as one attempt may take, also where it gives up sooner itself."""
    call = script(reply(429, Retry_After="20"), reply())
    await fail(call, retries=None)
    assert (await call(**options)).status == 200
    assert call.clock.now == 1020


async def test_the_line_at_the_gate_costs_no_patience() -> None:
    """Of many calls the last ones wait for long to be sent; a failure is retried all the same."""
    call = script(ONE_A_MINUTE, ONE_A_MINUTE, reply(503, Retry_After="1"), ONE_A_MINUTE)
    await call()
    began = call.clock.now
    await asyncio.gather(call(retries=None), call(retries=within(100_000)))
    assert call.clock.now - began > 160
    assert len(call.transport.sent) == 4


def test_a_retry_waits_at_the_gate_until_the_deadline_and_no_longer() -> None:
    """Then the call raises its last error, in which the wait is no attempt."""

    async def main() -> tuple[Any, float]:
        transport = ScriptedTransport([ONE_A_MINUTE, reply(503, Retry_After="1")])
        clock = VirtualClock()
        call = Call(transport, Pipeline(settings(), cast("Any", transport), clock))
        await call()
        began = clock.monotonic()
        return await fail(call, retries=within(50_000)), clock.monotonic() - began

    error, seconds = run(main())
    assert error.status_code == 503
    assert error.attempts == 1
    assert 110 <= seconds < 112


async def test_an_attempt_that_is_begun_has_its_whole_timeout() -> None:
    """The deadline says only whether another one is begun: an answer is worth waiting for."""
    call = script(reply(503, Retry_After="8"), reply())
    await call(retries=within(10_000), timeout=30)
    assert call.transport.timeouts == [30, 30]


@pytest.mark.parametrize("header", ["retry_after", "retry_after_ms"])
async def test_a_429_that_asks_for_no_wait_stops_nobody(header: str) -> None:
    """It is sent again after the usual short wait."""
    call = script(reply(429, **{header: "0"}), reply())
    await call(retries=within(900))
    assert call.clock.now < 1000.51


async def test_a_429_that_asks_for_next_to_no_wait_is_an_attempt_like_others() -> None:
    """Else the client would send as fast as it can until its deadline."""
    call = script(reply(429, retry_after_ms="1"))
    await fail(call, retries=backoff(max_attempts=3))
    assert len(call.transport.sent) == 3


async def test_background_work_waits_for_a_stop_as_long_as_its_patience() -> None:
    """A bulk registration goes on when the server allows, unless that is for too long."""
    call = script(reply(429, Retry_After="86400"), reply())
    waiting = Call(call.transport, call.pipeline.in_background(86_300))
    await fail(call)
    error = await fail(waiting)
    assert type(error) is RateLimitError
    assert error.retry_after == 86_400
    call.clock.now += 100
    assert (await waiting()).status == 200
    assert call.clock.now == 87_400


def test_background_work_is_told_of_a_stop_while_it_waits() -> None:
    """Who waits at the gate already does not stay there for a day."""

    async def main() -> float:
        async def stop(_: object) -> Any:
            await asyncio.sleep(1)
            return reply(429, Retry_After="86400")

        transport = ScriptedTransport([stop])
        pipeline = Pipeline(settings(max_connections=1), cast("Any", transport), VirtualClock())
        call = Call(transport, pipeline.in_background(60))
        errors = await asyncio.gather(fail(call), fail(call), fail(call))
        assert [error.retry_after for error in errors] == [86_400] * 3
        assert len(transport.sent) == 1
        return asyncio.get_running_loop().time()

    assert run(main()) < 2


async def test_a_deadline_ends_a_call() -> None:
    """`max_elapsed_time` counts attempts and waits together; no attempt is begun after it."""
    call = script(reply(503), retries=within(10_000), seconds=3.0)
    error = await fail(call)
    assert call.clock.now - 1000 <= 10 + 3
    assert 2 <= len(call.transport.sent) <= 4
    assert error.attempts == len(call.transport.sent)
    call = script(reply(503, Retry_After="4"), retries=within(10_000))
    await fail(call)
    assert call.clock.slept == [4.0, 4.0]


@pytest.mark.parametrize(("attempts", "sent"), [(1, 1), (2, 2), (5, 5), (10, 10)])
async def test_attempts_are_counted(attempts: int, sent: int) -> None:
    """`max_attempts` is how often a call is sent in all; the error knows the number."""
    call = script(reply(500), retries=backoff(max_attempts=attempts))
    error = await fail(call)
    assert len(call.transport.sent) == sent
    assert error.attempts == sent
    assert len(call.clock.slept) == sent - 1


async def test_what_was_tried_is_in_the_notes() -> None:
    """The last error is raised, with the failures before it and the time in a note."""
    steps = (reply(503), lost(), APITimeoutError("slow"), reply(502))
    call = script(*steps, retries=backoff(max_attempts=4), seconds=2.0)
    error = await fail(call)
    assert type(error) is ServerError
    assert error.status_code == 502
    (note,) = error.__notes__
    assert note.startswith("tried for ")
    assert note.endswith(" s: 503, then connection error, then timeout")
    assert "4 attempts" in str(error)


async def test_a_write_that_may_have_been_made_stays_one() -> None:
    """When an earlier attempt may have been carried out, the last error says so."""
    assert (await fail(script(lost(), reply(400)))).may_have_applied is True
    assert (await fail(script(reply(429, Retry_After="0"), reply(400)))).may_have_applied is False


async def test_the_error_of_the_last_attempt_may_be_another_one() -> None:
    """A retry that meets a lasting failure ends there, and has the attempts before it counted."""
    call = script(reply(503), reply(404), reply())
    error = await fail(call)
    assert (error.status_code, error.attempts) == (404, 2)
    assert len(call.transport.sent) == 2


@pytest.mark.parametrize("retries", [None, RetryConfig("none", BACKOFF)])
@pytest.mark.parametrize("step", [reply(503), reply(429), LOST, SLOW], ids=repr)
async def test_retries_can_be_turned_off(retries: Any, step: Any) -> None:
    """None and the strategy "none" send once, set for the client or for the call."""
    for call, options in (
        (script(step, reply(), retries=retries), {}),
        (script(step, reply()), {"retries": retries}),
    ):
        assert (await fail(call, **options)).attempts == 1
        assert len(call.transport.sent) == 1


async def test_a_calls_own_retries_win() -> None:
    """Retries given with a call replace those of the client, in both directions."""
    call = script(reply(503), reply(), retries=None)
    assert (await call(retries=DEFAULT_RETRIES)).status == 200
    call = script(reply(503), retries=DEFAULT_RETRIES)
    await fail(call, retries=backoff(max_attempts=3))
    assert len(call.transport.sent) == 3


@pytest.mark.parametrize(
    ("codes", "status", "retried"),
    [
        (["404"], 404, True), (["404"], 503, False), (["5XX"], 501, True), (["5xx"], 503, True),
        (["4XX", "503"], 422, True), (["4XX"], 500, False), (["409"], 409, True),
        (["50"], 500, False), ([], 503, True), (None, 503, True),
    ],
)  # fmt: skip
async def test_the_statuses_can_be_chosen(codes: Any, status: int, retried: bool) -> None:
    """`status_codes_override` replaces the usual statuses; `5XX` means all of them."""
    call = script(reply(status), reply(), retries=backoff(status_codes_override=codes))
    if retried:
        assert (await call()).status == 200
    else:
        assert (await fail(call)).attempts == 1


async def test_a_conflict_is_waited_for_only_if_the_server_says_how_long() -> None:
    """409 with Retry-After is a request under way; without, the id exists already."""
    busy = reply(409, b'{"message":"Request with key is currently being processed"}',
                 Retry_After="1")  # fmt: skip
    call = script(busy, busy, reply())
    await call(idempotency_key="k")
    assert call.clock.slept == [1.0, 1.0]
    assert [one.headers["Idempotency-Key"] for one in call.transport.sent] == ["k", "k", "k"]
    assert isinstance(await fail(script(reply(409, b'{"message":"exists"}'))), ConflictError)


async def test_no_idempotency_key_is_sent_unless_given() -> None:
    """The calls are repeatable by nature; a key would freeze errors for a day."""
    call = script(reply(503), reply())
    await call()
    for sent in call.transport.sent:
        assert "idempotency-key" not in {name.lower() for name in sent.headers}


@pytest.mark.parametrize("step", [reply(429), reply(503), LOST, SLOW], ids=repr)
async def test_a_callers_key_is_kept_on_every_attempt(step: Any) -> None:
    """The same key and the same bytes are sent again, so the server can tell a repetition."""
    call = script(step, step, reply())
    await call(idempotency_key="caller's own")
    first, *others = call.transport.sent
    assert first.headers["Idempotency-Key"] == "caller's own"
    assert all(one is first for one in others)
    assert len(others) == 2


@pytest.mark.parametrize(
    "step",
    [
        reply(500, b'{"message":"Internal"}', Idempotency_Replay="true"),
        reply(503, b'{"message":"Service Unavailable"}'),
    ],
)
async def test_an_error_that_is_only_replayed_is_not_sent_again(step: Any) -> None:
    """Under the same key it would be the same error for a day; the note says what helps."""
    call = script(step, reply())
    error = await fail(call, idempotency_key="k")
    assert error.replayed is True
    assert len(call.transport.sent) == 1
    assert any("use a new key" in note for note in error.__notes__)


async def test_the_503_of_a_replay_is_an_ordinary_one_without_a_key() -> None:
    """Only where a key was sent can an error be a repetition."""
    call = script(reply(503, b'{"message":"Service Unavailable"}'), reply())
    assert (await call()).status == 200


async def test_a_client_has_a_budget_of_retries() -> None:
    """An outage is not multiplied: one retry for each call, and a hundred more in all."""
    call = script(reply(503), retries=backoff(max_attempts=3))
    for _ in range(150):
        await fail(call)
    assert len(call.transport.sent) == 2 * 150 + 100
    error = await fail(call)
    assert error.attempts == 2
    assert any("budget" in note for note in error.__notes__)


async def test_the_budget_comes_back_with_success() -> None:
    """Ten successes earn one retry."""
    budget = RetryBudget(capacity=2, refund=0.1)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    for _ in range(11):
        budget.earn()
    assert [budget.spend() for _ in range(2)] == [True, False]
    for _ in range(1_000):
        budget.earn()
    assert budget.left == pytest.approx(2)


async def test_each_attempt_has_the_timeout_of_the_call() -> None:
    """`timeout` is that of one attempt: the call's, else the client's."""
    call = script(reply(503), reply())
    await call(timeout=2.5)
    assert call.transport.timeouts == [2.5, 2.5]
    call = script(reply())
    await call()
    assert call.transport.timeouts == [30.0]


async def test_success_never_enters_tenacity(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that succeeds at once makes no retry controller; one that is retried makes one."""

    def explode(**_: Any) -> None:
        raise AssertionError("a controller was made")

    monkeypatch.setattr("tenacity.AsyncRetrying", explode)
    await script(reply())()
    await fail(script(reply(404)))
    with pytest.raises(AssertionError, match="a controller was made"):
        await script(reply(503), reply())()


async def test_controllers_are_not_shared() -> None:
    """Calls that are retried at the same time keep their own errors and counts."""
    pipeline_calls = [
        script(reply(500 + n), retries=backoff(max_attempts=2 + n)) for n in (0, 2, 4)
    ]
    errors = await asyncio.gather(*(fail(call) for call in pipeline_calls))
    assert [(e.status_code, e.attempts) for e in errors] == [(500, 2), (502, 4), (504, 6)]


async def test_a_call_that_is_refused_is_not_retried() -> None:
    """An InvalidRequestError of the transport is no failure of the network."""
    call = script(InvalidRequestError("no URL"))
    with pytest.raises(InvalidRequestError):
        await call()
    assert len(call.transport.sent) == 1


async def test_a_call_that_is_cancelled_while_it_sleeps_sends_nothing_more() -> None:
    """Cancelling between two attempts ends the call there."""
    transport = ScriptedTransport([reply(503, Retry_After="60")])
    asleep = asyncio.Event()

    async def sleep(seconds: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    transport.clock.sleep = sleep  # type: ignore[method-assign]
    call = Call(transport, Pipeline(settings(), transport, transport.clock))  # type: ignore[arg-type]
    task = asyncio.create_task(call())
    await asleep.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(transport.sent) == 1


@given(
    attempts=st.integers(1, 2_000),
    initial=st.floats(0, 1e6),
    longest=st.floats(0, 1e6),
    exponent=st.floats(1, 10),
)
async def test_jitter_is_full_and_bounded(
    attempts: int, initial: float, longest: float, exponent: float
) -> None:
    """A wait is between zero and the interval of its attempt, in seconds, whatever the numbers."""
    strategy = BackoffStrategy(initial, longest, exponent, 1e9)
    most = min(initial * exponent ** min(attempts - 1, 64), longest) / 1000
    assert 0 <= make_wait(lost(), attempts, strategy) <= most * (1 + 1e-9)
    fixed = BackoffStrategy(initial, longest, exponent, 1e9, jitter_ms=50)
    longest = min(most + 0.05, longest / 1000)
    assert most - 1e-6 <= make_wait(lost(), attempts, fixed) <= longest + 1e-6


async def test_waits_differ() -> None:
    """Two clients that fail together do not come back together."""
    assert len({make_wait(None, 5, BACKOFF) for _ in range(20)}) == 20


async def test_the_default_waits_grow() -> None:
    """The bound of the n-th wait doubles from half a second to thirty."""
    bounds = [max(make_wait(None, n, BACKOFF) for _ in range(3_000)) for n in (1, 2, 3, 7, 20)]
    for bound, most in zip(bounds, [0.5, 1, 2, 30, 30], strict=True):
        assert 0.95 * most < bound <= most


def test_a_negative_jitter_is_refused() -> None:
    """`jitter_ms` below zero is an error where it is written."""
    with pytest.raises(ValueError, match="jitter_ms"):
        BackoffStrategy(1, 1, 1, 1, jitter_ms=-1)


WRONG_SETTINGS: list[tuple[Any, str]] = [
    (
        lambda: RetryConfig("Backoff", BACKOFF),
        "strategy must be 'backoff' or 'none', not 'Backoff'",
    ),
    (lambda: backoff(backoff=None), "backoff must be a BackoffStrategy, not None"),
    (lambda: backoff(max_attempts=0), "max_attempts must be a whole number .* or None, not 0"),
    (lambda: backoff(max_attempts="3"), "above zero or None, not '3'"),
    (lambda: backoff(max_attempts=True), "above zero or None, not True"),
    (lambda: backoff(status_codes_override=5.5), "must be a list of statuses .*, not float"),
    (lambda: BackoffStrategy(-1, 1, 1, 1), "initial_interval must be a number from 0, not -1"),
    (lambda: BackoffStrategy(1, cast("Any", "1"), 1, 1), "max_interval must be .*, not '1'"),
    (lambda: BackoffStrategy(1, 1, math.nan, 1), "exponent must be a number from 0, not nan"),
    (lambda: BackoffStrategy(1, 1, 1, cast("Any", None)), "max_elapsed_time must be .*, not None"),
    (lambda: BackoffStrategy(10**400, 1, 1, 1), "from 0, not one of hundreds of digits"),
    (lambda: BackoffStrategy(1, 1, 1, 10**5000), "from 0, not one of hundreds of digits"),
]


def test_settings_that_cannot_work_are_refused_where_they_are_written() -> None:
    """Not when a call fails, and in one sentence; a single code need not be in a list."""
    for make, message in WRONG_SETTINGS:
        with pytest.raises(ConfigurationError, match=f"{message}$") as caught:
            make()
        assert isinstance(caught.value, ValueError)
    assert RetryConfig("none", None).backoff is None  # type: ignore[arg-type]
    assert backoff(status_codes_override="5XX").status_codes_override == ["5XX"]
    assert backoff(status_codes_override=503).status_codes_override == ["503"]


async def test_the_answer_of_a_retry_is_the_answer() -> None:
    """What the successful attempt returned is returned, and no token was logged on the way."""
    call = script(reply(500), reply(200, STORED, X_Number="2"))
    answer = await call()
    assert answer.headers["x-number"] == "2"
    assert TOKEN not in repr(call.transport.sent)


@pytest.mark.parametrize("status", [409, 429])
async def test_waits_that_the_server_asks_for_are_bounded_by_time_alone(status: int) -> None:
    """A key that is in progress for a minute, or a limit others use up, is no failed attempt."""
    waiting = [reply(status, Retry_After="1")] * 60
    call = script(*waiting, reply(), retries=backoff(max_attempts=2))
    assert (await call()).status == 200
    assert call.clock.slept == [1.0] * 60
    error = await fail(script(*waiting, reply(500), retries=backoff(max_attempts=2)))
    assert error.attempts == 62


@pytest.mark.parametrize("strategy", ["exponential", "", None])
def test_an_unknown_strategy_is_refused(strategy: Any) -> None:
    """A typing error does not become a backoff."""
    with pytest.raises(ValueError, match="strategy"):
        RetryConfig(strategy, BACKOFF)


async def test_statuses_may_be_given_as_numbers() -> None:
    """Texts, patterns and numbers mean the same."""
    config = backoff(status_codes_override=[503, 404])
    call = script(reply(503), reply(404), reply(), retries=config)
    assert (await call()).status == 200


async def test_a_job_that_waited_at_the_gate_has_its_whole_timeout() -> None:
    """Its retries may wait for longer than the call goes on trying; they are not cut short."""

    async def stop_all(_: object) -> Any:
        call.pipeline.gate.observe({}, 500.0, succeeded=False)
        return reply(503)

    call = script(stop_all, reply())
    call.pipeline = call.pipeline.in_background(500)
    assert (await call()).status == 200
    assert call.transport.timeouts == [30.0, 30.0]
