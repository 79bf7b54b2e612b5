"""The tree of errors: caught by every base, shown, pickled and copied without a secret."""

import copy
import inspect
import pickle
import re
from typing import Any

import pytest
from core_doubles import KEY, PUSH, TOKEN, serve

import novu_async
from novu_async import errors, models
from novu_async.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    BulkError,
    ConfigurationError,
    DeviceTokensNotStoredError,
    ErrorDto,
    InvalidRequestError,
    NovuError,
    RateLimitError,
    RequestInfo,
    ServerError,
    ValidationErrorDto,
)
from novu_async.testing import LocalNovu

REQUEST = RequestInfo("PATCH", "https://api.novu.co/v1/subscribers/u%2F1/credentials")
CLASSES = [cls for name in errors.__all__ if issubclass(cls := getattr(errors, name), NovuError)]


def make(cls: type[NovuError]) -> NovuError:
    """Make an error as the package does, with everything that it can carry."""
    if issubclass(cls, APIError):
        error: Any = cls(
            "it failed", status_code=418, headers={"a": "b"}, body="text", request=REQUEST,
            data={"errorId": "e-1", "message": ["m"]}, retry_after=1.5, may_have_applied=True,
        )  # fmt: skip
    elif issubclass(cls, APIConnectionError):
        error = cls("it failed", request=REQUEST, may_have_applied=True)
    elif issubclass(cls, InvalidRequestError):
        error = cls("it failed", "credentials.device_tokens[2]")
    elif issubclass(cls, DeviceTokensNotStoredError):
        error = cls("it failed", [TOKEN, "t2"], requests=3)
    else:
        error = cls("it failed")
    if isinstance(error, APIError | APIConnectionError):
        error.attempts = 4
    error.add_note("tried 4 times")
    return error


def test_the_tree_is_the_one_that_is_documented() -> None:
    """The tree in the docstring names every class, below the base that it is drawn under."""
    lines = re.findall(r"(?m)^    ([│├└─ ]*)(\w+)", errors.__doc__ or "")
    drawn = [(len(indent) // 4, name) for indent, name in lines]
    assert {name for _, name in drawn} == {cls.__name__ for cls in CLASSES}
    path: list[type] = []
    for depth, name in drawn:
        cls = getattr(errors, name)
        del path[depth:]
        assert not path or issubclass(cls, path[-1]), name
        path.append(cls)


def test_every_error_is_public() -> None:
    """Every class can be imported from the package; the seeds' names from `models` too."""
    for cls in CLASSES:
        assert getattr(novu_async, cls.__name__) is cls
        assert cls.__name__ in novu_async.__all__
        assert inspect.getdoc(cls)
    for name in ("APIError", "ErrorDto", "ValidationErrorDto", "NovuError"):
        assert getattr(models, name) is getattr(errors, name)


def test_errors_are_also_what_python_calls_them() -> None:
    """A timeout is a TimeoutError, a refused argument a ValueError."""
    assert issubclass(APITimeoutError, TimeoutError)
    assert issubclass(InvalidRequestError, ValueError)
    assert issubclass(ErrorDto, APIError)
    assert issubclass(ValidationErrorDto, APIError)
    assert not issubclass(RateLimitError, ErrorDto)
    assert not issubclass(ConfigurationError, ValueError)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(
    "through",
    [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy],  # noqa: S301
    ids=["pickle", "copy", "deepcopy"],
)
def test_every_error_survives_pickling_and_copying(cls: type[NovuError], through: Any) -> None:
    """Class, texts, notes and attributes come through, tokens never do."""
    error = make(cls)
    again = through(error)
    assert type(again) is cls
    assert again.message == "it failed"
    assert again.__notes__ == ["tried 4 times"]
    if cls is not DeviceTokensNotStoredError:
        assert str(again) == str(error)
        assert vars(again) == vars(error)
    assert TOKEN not in repr(vars(again))


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_can_be_made_without_arguments(cls: type[NovuError]) -> None:
    """A test of a caller may raise any of them bare."""
    error = cls()
    assert isinstance(str(error), str)
    assert isinstance(repr(error), str)


def test_an_api_error_names_the_request_and_what_was_tried() -> None:
    """`str()` has the message, method, path, status, attempts and error id; never the host."""
    assert str(make(ServerError)) == (
        "it failed [PATCH /v1/subscribers/u%2F1/credentials, status 418, 4 attempts, errorId e-1]"
    )
    assert str(make(APITimeoutError)) == (
        "it failed [PATCH /v1/subscribers/u%2F1/credentials, 4 attempts]"
    )
    assert str(ServerError("made by hand", status_code=500)) == "made by hand [status 500]"
    assert str(ServerError("bare")) == "bare"


def test_every_call_that_failed_can_be_caught_as_one() -> None:
    """With the request, how often it was sent, and whether it may have been carried out."""
    for error in (make(ServerError), make(APITimeoutError)):
        try:
            raise error
        except novu_async.CallError as caught:
            found = caught
        assert found.request == REQUEST
        assert (found.attempts, found.may_have_applied) == (4, True)


@pytest.mark.anyio
async def test_an_error_is_read_as_the_official_sdk_documents_it() -> None:
    """`error.data` has the API's fields as attributes and under their own names."""
    async with (
        LocalNovu(subscribers=["u1"]) as local,
        novu_async.Novu(local.api_key, server_url=local.url) as novu,
    ):
        with pytest.raises(ErrorDto) as missing:
            await novu.subscribers.credentials.delete("ghost", "fcm")
        with pytest.raises(ValidationErrorDto) as refused:
            await novu.subscribers.credentials.append("u1", {**PUSH, "provider_id": "nope"})
    data = missing.value.data
    assert (data.status_code, data["statusCode"]) == (404, 404)
    assert data.path == data["path"] == "/v1/subscribers/ghost/credentials/fcm"
    assert "ghost" in data.message
    assert data.timestamp.endswith("Z")
    assert data.error_id is data.errors is None
    with pytest.raises(AttributeError, match=r"no 'reason'; it has .*statusCode"):
        _ = data.reason
    errors = refused.value.data.errors
    assert [type(field.messages) for field in errors.values()] == [list]
    assert refused.value.errors == errors


@pytest.mark.parametrize("copied", [lambda e: e, lambda e: pickle.loads(pickle.dumps(e))])  # noqa: S301
def test_a_handler_of_refused_bodies_works_whatever_came(copied: Any) -> None:
    """`data.errors` is a mapping in what stands in for a 422 too, and `value` is optional."""
    legacy = copied(errors.LegacyValidationError(data={"message": ["no provider", "no token"]}))
    assert legacy.data.errors["general"].messages == ["no provider", "no token"]
    assert legacy.data.errors["general"].value is None
    assert legacy.errors == legacy.data.errors
    reused = copied(errors.IdempotencyKeyReusedError(data={"message": "Request with key k"}))
    assert reused.data.errors == reused.errors == {}
    bare = copied(ValidationErrorDto(data={"errors": {"x": {"messages": ["m"]}, "errors": {}}}))
    assert bare.data.errors["x"].value is None
    assert bare.data.errors["errors"].errors is None
    assert bare.errors == bare.data.errors == bare.data["errors"]
    assert isinstance(bare.data, models.ValidationErrorDtoData)


def test_data_that_is_nested_deeply_is_kept() -> None:
    """However deep an answer goes, making an error of it cannot fail."""
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"ctx": deep}
    assert type(APIError(data=deep).data.ctx.ctx.get("ctx")) is dict


@pytest.mark.parametrize("name", ["Content-Type", "content-type", "CONTENT-TYPE"])
def test_headers_are_found_by_a_name_in_any_case(name: str) -> None:
    """As HTTP has it; also after pickling, and an unknown one is a KeyError."""
    made = ServerError(headers={"Content-type": "text/html"})
    for error in (made, pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):  # noqa: S301
        assert error.headers[name] == error.headers.get(name) == "text/html"
        assert name in error.headers
        assert error.headers.get("etag") is None
        with pytest.raises(KeyError):
            _ = error.headers["etag"]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_has_status_body_and_headers(cls: type[NovuError]) -> None:
    """So `except NovuError` may look at them, whether there was an answer or not."""
    error = cls()
    assert (error.status_code, error.body, dict(error.headers)) == (0, "", {})


def test_tokens_that_were_not_stored_are_named_but_not_shown() -> None:
    """The tokens are an attribute, in order; text, repr and pickle have fingerprints."""
    error = DeviceTokensNotStoredError("lost", [TOKEN, "t2", "t3", "t4"], requests=3)
    assert error.device_tokens == (TOKEN, "t2", "t3", "t4")
    assert len(error.fingerprints) == 4
    for text in (str(error), repr(error), str(pickle.dumps(error))):
        assert TOKEN not in text
    assert error.fingerprints[0] in str(error)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert again.device_tokens == ()
    assert again.fingerprints == error.fingerprints
    assert again.requests == 3


def test_a_bulk_error_carries_its_report() -> None:
    """`report` says how far the registration came, also after pickling."""
    error = pickle.loads(pickle.dumps(BulkError("stopped", {"stored": 5})))  # noqa: S301
    assert error.report == {"stored": 5}


def everything_behind(error: BaseException | None) -> str:
    """Collect the texts of an error, of its causes and of its contexts."""
    if error is None:
        return ""
    texts = [str(error), repr(error), repr(error.args), repr(vars(error))]
    return " ".join(
        [*texts, everything_behind(error.__cause__), everything_behind(error.__context__)]
    )


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [
        b"this is %b\r\n\r\n",
        b"HTTP/1.1 500 E\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 O\r\nContent-Len",
        b"HTTP/1.1 200 O\r\nno header %b\r\n\r\n",
        b"HTTP/1.1 200 O\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n",
        b'HTTP/1.1 401 U\r\nContent-Length: 15\r\n\r\n{"message":"bad %b"}',
    ],
)
async def test_no_cause_of_an_error_holds_the_key(answer: bytes) -> None:
    """What aiohttp raised may be chained, but never with the request's headers."""

    async def send(writer: Any) -> None:
        writer.write(answer.replace(b"%b", KEY.encode()))
        writer.close()

    async with (
        serve([send]) as server,
        novu_async.Novu(KEY, server_url=server.url, retries=None) as novu,
    ):
        with pytest.raises(NovuError) as caught:
            await novu.subscribers.credentials.append("u1", PUSH)
    assert KEY not in everything_behind(caught.value)
    assert TOKEN not in everything_behind(caught.value)
    assert KEY not in str(pickle.dumps(caught.value))
