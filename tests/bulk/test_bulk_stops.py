"""When a failure is the whole job's and not the row's."""

import pytest

from novu_async import errors
from novu_async.bulk.plan import Write
from novu_async.bulk.reasons import explain
from novu_async.bulk.stops import StopRule, may_be_mistyped
from novu_async.errors import NovuError


def write(number: int = 0, provider_id: str = "fcm", identifier: str | None = None) -> Write:
    """Make a write of one row."""
    return Write(f"u{number}", provider_id, identifier, (number,), (f"t{number}",))


@pytest.mark.parametrize(
    "error",
    [errors.AuthenticationError(), errors.PermissionDeniedError(), errors.ClientClosedError()],
)
def test_a_refused_key_stops_at_once(error: NovuError) -> None:
    """No row failed by it: all wait for the next run."""
    rule = StopRule(10)
    assert rule.failed([write()], error, 0, 0.0) == []
    assert rule.cause is error
    assert rule.finish() == []


@pytest.mark.parametrize(("asked", "stops"), [(None, False), (60.0, False), (61.0, True)])
def test_a_server_that_asks_to_wait_for_too_long_stops_at_once(
    asked: float | None, stops: bool
) -> None:
    """Longer than a silent server is waited for; the rows wait for the next run."""
    rule = StopRule(10, patience=60.0)
    rule.succeeded(write(), 0)
    error = errors.RateLimitError(retry_after=asked)
    assert rule.failed([write()], error, 0, 0.0) == []
    assert (rule.cause is error) is stops


@pytest.mark.parametrize(
    "error", [errors.APIConnectionError(), errors.ServerError(), errors.RateLimitError()]
)
def test_a_silent_server_stops_after_so_many(error: NovuError) -> None:
    """The failures in a row are held back, and none of them is a row's own."""
    rule = StopRule(3)
    assert rule.failed([write(1)], error, 0, 0.0) == rule.failed([write(2)], error, 0, 0.0) == []
    assert rule.cause is None
    assert rule.failed([write(3)], error, 0, 0.0) == []
    assert rule.cause is error
    assert rule.finish() == []


def test_a_server_that_answered_before_may_be_silent_for_a_while() -> None:
    """It is stopped at, only after so many failures and so many seconds without an answer."""
    rule = StopRule(2, patience=30.0)
    error = errors.ServerError()
    rule.succeeded(write(), 0)
    for now in (100.0, 101.0, 129.9):
        rule.failed([write()], error, rule.begin(), now)
    assert rule.is_outage
    assert rule.cause is None
    rule.succeeded(write(), rule.begin())
    assert not rule.is_outage
    rule.failed([write()], error, rule.begin(), 200.0)
    rule.failed([write()], error, rule.begin(), 230.0)
    assert rule.cause is error


@pytest.mark.parametrize("answer", [None, errors.SubscriberNotFoundError()])
def test_an_answer_in_between_starts_again(answer: NovuError | None) -> None:
    """What was held back is the rows' own once the server answers anything."""
    rule = StopRule(2)
    error = errors.ServerError()
    for number in range(5):
        assert rule.failed([write(number)], error, rule.begin(), 0.0) == []
        begun = rule.begin()
        if answer is None:
            assert rule.succeeded(write(9), begun) == [([write(number)], error)]
        else:
            own = rule.failed([write(9)], answer, begun, 0.0)
            assert own == [([write(number)], error), ([write(9)], answer)]
    assert rule.cause is None


def test_an_answer_to_an_earlier_write_proves_nothing() -> None:
    """While a server goes down, late answers mix with the first failures: those still wait."""
    rule = StopRule(2)
    error = errors.APIConnectionError()
    early = rule.begin()
    rule.failed([write(1)], error, early, 0.0)
    assert rule.succeeded(write(2), early) == []
    rule.failed([write(3)], error, early, 0.0)
    rule.failed([write(4)], error, rule.begin(), 0.0)
    assert rule.cause is error
    assert rule.finish() == []


def test_an_integration_that_is_not_there_is_refused() -> None:
    """Also while another provider's writes succeed in between; the job goes on without it."""
    rule = StopRule(3)
    error = errors.IntegrationNotFoundError()
    for number in range(3):
        assert rule.succeeded(write(9, "apns"), rule.begin()) == []
        assert rule.refused == {}
        assert rule.failed([write(number)], error, rule.begin(), 0.0) == []
    assert rule.refused == {("fcm", ""): error}
    assert rule.cause is None
    assert rule.finish() == []


@pytest.mark.parametrize("failures", [1, 3])
@pytest.mark.parametrize("identifier", [None, "fcm-eu"])
def test_an_integration_that_is_there_again_is_refused_no_more(
    identifier: str | None, failures: int
) -> None:
    """What failed before waits to be sent again; another integration shows nothing."""
    rule = StopRule(2)
    error = errors.IntegrationNotFoundError()
    other = write(3, "fcm", "fcm-ue")
    early = rule.begin()
    for number in range(failures):
        assert rule.failed([write(number, "fcm", identifier)], error, early, 0.0) == []
    assert list(rule.refused) == [("fcm", identifier or "")] * (failures > 2)
    assert rule.failed([other], error, early, 0.0) == []
    assert not rule.recovered
    assert rule.succeeded(write(9, "fcm", identifier), early) == []
    assert rule.recovered
    assert rule.refused == {}
    assert rule.finish() == [([other], error)]


@pytest.mark.parametrize(
    ("integration", "expected"),
    [(("fcm", ""), False), (("fcm", "fcm-eu"), True), (("fmc", ""), True)],
)
def test_rows_may_have_names_wrong(integration: tuple[str, str], expected: bool) -> None:
    """A known provider without an identifier can only be missing in the environment."""
    assert may_be_mistyped(integration) is expected


def test_the_end_hands_out_what_was_held_back() -> None:
    """Too few failures to judge are their rows' own at the end."""
    rule = StopRule(9)
    missing, silent = errors.IntegrationNotFoundError(), errors.APIConnectionError()
    rule.failed([write(1, "expo")], missing, 0, 0.0)
    rule.succeeded(write(2), 0)
    rule.failed([write(3)], silent, 0, 0.0)
    assert rule.finish() == [([write(1, "expo")], missing), ([write(3)], silent)]
    assert rule.cause is None


def test_a_short_job_that_got_no_answer_at_all_is_stopped() -> None:
    """Its rows wait, however few they are."""
    rule = StopRule(9)
    rule.failed([write(1)], errors.APIConnectionError("refused"), 0, 0.0)
    assert rule.finish() == []
    assert str(rule.cause) == "refused"


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (errors.SubscriberNotFoundError("SubscriberId: u not found"), "no such subscriber", False),
        (errors.APITimeoutError("x"), "no answer in time", True),
        (errors.APIConnectionError("x"), "no connection", True),
        (
            errors.ReplyTooLargeError("x"),
            "the answer is over max_reply_bytes of the client",
            False,
        ),
        (errors.UnreadableReplyError("x"), "the answer was cut off", True),
        (errors.LegacyValidationError("x"), "refused by the API", False),
        (errors.PayloadTooLargeError("x", status_code=500), "too large for the API", False),
        (errors.ServerError("x", status_code=503), "status 503", True),
        (errors.ErrorDto("x", status_code=418), "status 418", False),
        (errors.BulkError("x"), "BulkError", False),
    ],
)
def test_reasons_group_and_say_whether_to_try_again(
    error: NovuError, reason: str, retryable: bool
) -> None:
    """Each class of error has one phrase; the message of this time is the detail."""
    failure = explain(error)
    assert (failure.reason, failure.retryable) == (reason, retryable)
    assert failure.detail == error.message


def test_details_are_one_short_line() -> None:
    """A page of HTML does not fill the job file."""
    assert explain(errors.APIError("a\n b" + "x" * 1000)).detail == "a b" + "x" * 297
