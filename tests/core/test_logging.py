"""What the log says about a call, and what it never says."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator

import pytest
from core_doubles import KEY, TOKEN, WEBHOOK, reply, script

from novu_async import (
    APIConnectionError,
    APIError,
    BackoffStrategy,
    CallInfo,
    InvalidRequestError,
    Novu,
    NovuError,
    Observer,
    ReplyTooLargeError,
    RetryConfig,
    UnreadableReplyError,
)
from novu_async._wire import Reply
from novu_async.testing import LocalNovu

pytestmark = pytest.mark.anyio

FAST = RetryConfig("backoff", BackoffStrategy(1, 1, 1.0, 60_000), max_attempts=2)
BOTH = {
    "provider_id": "fcm",
    "credentials": {"device_tokens": [TOKEN, "second-" + TOKEN], "webhook_url": WEBHOOK},
}


def records(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """Give the texts that the package has logged at a level."""
    ours = [one for one in caplog.records if one.name.partition(".")[0] == "novu_async"]
    return [one.getMessage() for one in ours if one.levelno == level]


async def test_each_attempt_is_a_record_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """DEBUG has a line for every answer, with method, path and status, and one for every wait."""
    caplog.set_level(logging.DEBUG)
    await script(reply(503, Retry_After="2"), APIConnectionError("lost"), reply())()
    path = "PATCH /v1/subscribers/u1/credentials"
    first, wait, silent, lost, last = records(caplog, logging.DEBUG)
    assert first == f"{path}: 503"
    assert "next attempt in 2.00 s" in wait
    assert "503" in wait
    assert silent == f"{path}: no answer"
    assert lost.startswith("lost; next attempt in ")
    assert last == f"{path}: 200"
    assert records(caplog, logging.WARNING) == []


async def test_a_long_stop_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """However many answers ask for it; one of a minute is none."""

    async def day(_: object) -> Reply:
        await asyncio.sleep(0)
        return reply(429, Retry_After="86400")

    call = script(reply(429, Retry_After="60"), day)
    with pytest.raises(NovuError):
        await call(retries=None)
    call.clock.now += 70
    await asyncio.gather(call(retries=None), call(retries=None), return_exceptions=True)
    assert len(call.transport.sent) == 3
    (warning,) = [text for text in records(caplog, logging.WARNING) if "gave up" not in text]
    assert warning == (
        "PATCH /v1/subscribers/u1/credentials: the server asks to wait, all calls, for 86400 s"
    )


async def test_records_have_fields_to_search_by(caplog: pytest.LogCaptureFixture) -> None:
    """Each attempt, each wait and giving up, with the endpoint's template in place of the id."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(NovuError):
        await script(reply(503), APIConnectionError("lost"), retries=FAST)()
    shared = {
        "novu_operation": "append",
        "novu_method": "PATCH",
        "novu_url_template": "/v1/subscribers/{subscriber_id}/credentials",
    }
    fields = [
        {name: value for name, value in vars(record).items() if name.startswith("novu_")}
        for record in caplog.records
        if hasattr(record, "novu_operation")
    ]
    waited = fields[1].pop("novu_wait")
    assert waited >= 0
    assert fields == [
        {**shared, "novu_status_code": 503, "novu_attempt": 1},
        {**shared, "novu_status_code": 503},
        {**shared, "novu_status_code": None, "novu_attempt": 2},
        {**shared, "novu_status_code": None, "novu_attempts": 2},
    ]


async def test_giving_up_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """One WARNING for a call that failed in the end, with what `str()` of its error says."""
    caplog.set_level(logging.INFO)
    for steps in ([reply(503)], [APIConnectionError("lost")]):
        caplog.clear()
        call = script(*steps, retries=FAST)
        with pytest.raises(NovuError) as caught:
            await call()
        (warning,) = records(caplog, logging.WARNING)
        assert warning == f"gave up: {caught.value}"
        assert caplog.records[-1].novu_attempts == len(call.transport.sent)  # type: ignore[attr-defined]
        assert records(caplog, logging.INFO) == []


@pytest.mark.parametrize(("retries", "sent"), [(None, 1), (FAST, 2)])
async def test_a_read_that_is_cut_off_is_a_failure_like_others(
    local: LocalNovu, caplog: pytest.LogCaptureFixture, retries: RetryConfig | None, sent: int
) -> None:
    """It is sent as often as the caller wants, one warning is logged, and the span has it."""
    ended: list[object] = []

    class Log(Observer):
        @contextlib.contextmanager
        def call(self, call: CallInfo) -> Iterator[None]:
            try:
                yield
            except UnreadableReplyError as error:
                ended.append(error.attempts)
                raise

    local.faults.next("truncated_json", times=9)
    url = local.url
    async with Novu(local.api_key, server_url=url, retries=retries, observer=Log()) as novu:
        with pytest.raises(UnreadableReplyError, match="cut off"):
            await novu.subscribers.device_tokens.list("u", "fcm")
    assert len(local.requests) == sent
    assert ended == [sent]
    (warning,) = [text for text in records(caplog, logging.WARNING) if "cut off" in text]
    assert "GET /v2/subscribers/u" in warning


REFUSED = b'{"statusCode":0,"message":"no"}'


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        (reply(400, REFUSED), logging.INFO),
        (reply(404, REFUSED), logging.INFO),
        (reply(422, REFUSED), logging.INFO),
        (reply(401, REFUSED), logging.WARNING),
        (reply(403, REFUSED), logging.WARNING),
        (reply(302, b"", location="/"), logging.WARNING),
        (reply(404, b"<html>no such page"), logging.WARNING),
        (reply(200, b"<html>please log in"), logging.WARNING),
        (reply(500, REFUSED), logging.WARNING),
    ],
    ids=lambda one: f"{one.status} {one.body[:4]!r}" if isinstance(one, Reply) else None,
)
async def test_what_a_caller_can_handle_is_no_warning(
    answer: Reply, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    """INFO for what the API refuses; a wrong key, or what is not the API, will never succeed."""
    caplog.set_level(logging.INFO)
    with pytest.raises(APIError):
        await script(answer, retries=None)()
    assert [one.levelno for one in caplog.records] == [level]


async def test_an_answer_that_is_too_large_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """Who looks for lost answers in the log does not find it among them."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ReplyTooLargeError):
        await script(ReplyTooLargeError("too large"), retries=None)()
    (text,) = records(caplog, logging.DEBUG)
    assert text == "PATCH /v1/subscribers/u1/credentials: an answer that is too large"


async def test_success_is_silent_above_debug(caplog: pytest.LogCaptureFixture) -> None:
    """A call that succeeds, also after retries, says nothing at INFO or above."""
    caplog.set_level(logging.INFO)
    await script(reply(503), reply())()
    assert caplog.records == []


async def test_a_library_is_silent_where_nobody_listens() -> None:
    """The logger of the package has a NullHandler and sets no level of its own."""
    logger = logging.getLogger("novu_async")
    assert any(isinstance(handler, logging.NullHandler) for handler in logger.handlers)
    assert logger.level == logging.NOTSET
    assert logger.propagate is True


async def test_a_line_of_the_log_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Neither a message of the server nor an id can begin a line of its own in a log."""
    caplog.set_level(logging.INFO)
    body = b'{"statusCode":400,"message":"one\\r\\nERROR two\\u2028three"}'
    with pytest.raises(APIError):
        await script(reply(400, body), retries=None)()
    assert records(caplog, logging.INFO)
    for text in records(caplog, logging.INFO):
        assert len(text.splitlines()) == 1


async def test_no_secret_is_logged_when_a_call_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nor by a caller that logs the traceback of a wrong key or of a wrong argument."""
    caplog.set_level(logging.DEBUG)
    async with LocalNovu() as local, Novu(KEY, server_url=local.url) as novu:
        append = novu.subscribers.credentials.append
        with pytest.raises(NovuError) as wrong_key:
            await append("u1", BOTH)
        with pytest.raises(InvalidRequestError) as wrong_request:
            await append("u1", {"provider_id": "fcm", "credentials": {"device_tokens": TOKEN}})
        for caught in (wrong_key, wrong_request):
            logging.getLogger("caller").error("failed", exc_info=caught.value)
    assert_no_secret(caplog)


def assert_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Look through every record: text, arguments, extras and traceback."""
    assert caplog.records
    logged = caplog.text + " ".join(repr(vars(one)) for one in caplog.records)
    for secret in (KEY, TOKEN, WEBHOOK):
        assert secret not in logged


async def test_fields_that_the_server_drops_are_warned_of_once(
    caplog: pytest.LogCaptureFixture, local: LocalNovu, novu: Novu
) -> None:
    """The fields of Grafana are accepted and not stored: a client says so once, by their names."""
    request = {"provider_id": "slack", "credentials": {"webhook_url": WEBHOOK, "title": "t"}}
    for _ in range(3):
        await novu.subscribers.credentials.append("u1", request)
    (warning,) = records(caplog, logging.WARNING)
    assert warning == "the API accepts but does not store title"
    assert len(local.requests) == 3


async def test_a_key_in_clear_text_is_warned_of_once_for_each_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also where single calls go elsewhere; nothing listens there, so the calls themselves fail."""
    async with Novu(api_key="key", server_url="http://0.0.0.0:9", retries=None) as novu:
        for url in (None, "http://0.0.0.0:10", "http://0.0.0.0:10", "http://0.0.0.0:9/"):
            with contextlib.suppress(APIConnectionError):
                await novu.subscribers.credentials.delete("u", "fcm", server_url=url)
    warnings = [one for one in records(caplog, logging.WARNING) if "clear text" in one]
    assert [text.split()[9] for text in warnings] == ["http://0.0.0.0:9:", "http://0.0.0.0:10:"]
