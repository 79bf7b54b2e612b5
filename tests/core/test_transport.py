"""One exchange over real connections, and everything that can go wrong with it."""

import asyncio
import contextlib
import gc
import gzip
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from core_doubles import KEY, PUSH, STORED, RawServer, http, serve

from novu_async import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    ConfigurationError,
    NovuError,
    ReplyTooLargeError,
    ServerError,
)
from novu_async import (
    Novu as RealNovu,
)
from novu_async._retry import DEFAULT_RETRIES
from novu_async.testing import LocalNovu
from novu_async.utils import BackoffStrategy, RetryConfig

pytestmark = pytest.mark.anyio

BACKOFF = BackoffStrategy(0, 0, 1, 0)
AT_ONCE = RetryConfig("backoff", BACKOFF)
"""No time for a retry, only for a connection to be replaced."""


def Novu(server: RawServer | str, **options: Any) -> RealNovu:  # noqa: N802, stands in for it
    """Make a client that sends once, to a raw server or a URL."""
    url = server if isinstance(server, str) else server.url
    return RealNovu(KEY, server_url=url, **{"retries": None, **options})


async def append(novu: RealNovu, subscriber_id: str = "u1", **options: Any) -> Any:
    """Send one append."""
    return await novu.subscribers.credentials.append(subscriber_id, PUSH, **options)


async def fail(novu: RealNovu, subscriber_id: str = "u1", **options: Any) -> Any:
    """Send one append that must end in an error of ours, and return it."""
    with pytest.raises(NovuError) as caught:
        await append(novu, subscriber_id, **options)
    return caught.value


def all_texts(error: BaseException | None) -> str:
    """Collect the texts of an error and of whatever led to it."""
    if error is None:
        return ""
    own = [str(error), repr(error), repr(vars(error)), repr(error.args)]
    return " ".join([*own, all_texts(error.__cause__), all_texts(error.__context__)])


@pytest.fixture
def refused_url() -> str:
    """Give a URL at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def https_url(server: asyncio.Server) -> str:
    return f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def close(writer: asyncio.StreamWriter) -> None:
    """Answer nothing and close."""
    writer.close()


async def reset(writer: asyncio.StreamWriter) -> None:
    """Answer nothing and break off."""
    writer.transport.abort()


def cut(answer: bytes) -> Any:
    """Make an answer that ends where the bytes end."""

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    return send


def hang(*answer: bytes) -> Any:
    """Make an answer that never ends."""

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.writelines(answer)
        await asyncio.Event().wait()

    return send


async def test_nobody_listens(refused_url: str) -> None:
    """A refused connection is a connection error that says what to check; nothing was applied."""
    async with Novu(refused_url) as novu:
        error = await fail(novu)
    assert type(error) is APIConnectionError
    assert "check server_url and the network" in str(error)
    assert error.may_have_applied is False
    assert error.request.path == "/v1/subscribers/u1/credentials"


async def test_a_server_that_does_not_speak_tls() -> None:
    """https to a port of plain HTTP is said at once: trying again would change nothing."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(status="400 Bad Request"))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, Novu(https_url(server), retries=DEFAULT_RETRIES) as novu:
        error = await fail(novu)
    assert type(error) is APIConnectionError
    assert "cannot set up TLS, check server_url" in str(error)
    assert (error.attempts, error.may_have_applied) == (1, False)


async def test_a_server_that_ends_the_connection_before_tls() -> None:
    """The error names TLS; it is tried again, because a server that is restarted does the same."""

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    twice = RetryConfig("backoff", BackoffStrategy(0, 0, 1, 60_000), max_attempts=2)
    async with server, Novu(https_url(server), retries=twice) as novu:
        error = await fail(novu)
    assert "cannot set up TLS, check server_url" in str(error)
    assert error.attempts == 2


@pytest.fixture
def own_certificate(tmp_path: Path) -> ssl.SSLContext:
    """Give the context of a server whose certificate nobody has signed."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    made, certificate = tmp_path / "made.pem", tmp_path / "cert.pem"
    request = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=novu"]
    subprocess.run(
        [*request, "-keyout", made, "-out", certificate], check=True, capture_output=True
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, made)
    return context


async def test_a_certificate_that_nobody_has_signed(own_certificate: ssl.SSLContext) -> None:
    """It is refused at once, and the error says why."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)  # the server's side of the handshake
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=own_certificate)
    async with server, Novu(https_url(server), retries=DEFAULT_RETRIES) as novu:
        error = await fail(novu)
    assert re.search("cannot set up TLS.*self.signed certificate", str(error))
    assert error.attempts == 1


async def test_a_server_that_wants_a_certificate_of_ours(own_certificate: ssl.SSLContext) -> None:
    """TLS 1.3 says so after the handshake: it is told as that, at once, and nothing was applied."""
    own_certificate.verify_mode = ssl.CERT_REQUIRED
    own_certificate.minimum_version = ssl.TLSVersion.TLSv1_3

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = own_certificate.wrap_bio(incoming, outgoing, server_side=True)
        for least in (1, 300):  # the second time with the request, which is longer
            received = b""
            while len(received) < least:
                received += await reader.read(65_536)
            incoming.write(received)
            with contextlib.suppress(ssl.SSLError):
                tls.do_handshake()
            writer.write(outgoing.read())
        writer.close()

    trusting = ssl._create_unverified_context()  # noqa: S323, this one server
    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server, Novu(https_url(server), retries=DEFAULT_RETRIES, ssl=trusting) as novu:
        error = await fail(novu)
    assert "check the client's certificate, which ssl may hold" in str(error)
    assert (error.attempts, error.may_have_applied) == (1, False)


async def test_a_name_that_does_not_resolve() -> None:
    """A host that does not exist is a connection error that names it; nothing was applied."""
    async with Novu("http://novu.invalid") as novu:
        error = await fail(novu, timeout=20)
    assert type(error) is APIConnectionError
    assert "novu.invalid" in str(error)
    assert error.may_have_applied is False


@pytest.mark.parametrize("end", [close, reset, hang()])
async def test_where_one_kept_connection_is_dead_the_others_are_not_used(end: Any) -> None:
    """A firewall, or a proxy that is restarted, forgets all of them: a retry takes a new one."""
    seen, all_made = set[asyncio.StreamWriter](), asyncio.Event()

    async def answer_once(writer: asyncio.StreamWriter) -> None:
        if writer in seen:
            await end(writer)
            return
        seen.add(writer)
        if len(seen) == 8:
            all_made.set()
        await all_made.wait()
        writer.write(http())

    once_more = RetryConfig("backoff", BackoffStrategy(0, 0, 1, 60_000), max_attempts=2)
    async with serve([answer_once]) as server, Novu(server, retries=once_more, timeout=0.5) as novu:
        await asyncio.gather(*(append(novu, f"u{i}") for i in range(8)))
        await novu.subscribers.retrieve("u1")
        assert len(server.requests) == 10


async def test_closing_waits_for_no_dead_connection(own_certificate: ssl.SSLContext) -> None:
    """TLS waits half a minute for the other side's word, which those closed as dead do not give."""
    made, all_made = list[asyncio.StreamWriter](), asyncio.Event()

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(writer)
        await reader.readuntil(b"}}")
        if len(made) == 2:
            all_made.set()
        await all_made.wait()
        writer.write(http())
        writer.transport.pause_reading()  # type: ignore[attr-defined]

    trusting = ssl._create_unverified_context()  # noqa: S323, this one server
    server = await asyncio.start_server(answer_once, "127.0.0.1", 0, ssl=own_certificate)
    async with server:
        try:
            async with (
                asyncio.timeout(5),
                Novu(https_url(server), ssl=trusting, timeout=0.3) as novu,
            ):
                await asyncio.gather(append(novu, "u1"), append(novu, "u2"))
                assert type(await fail(novu)) is APITimeoutError
        finally:
            for writer in made:
                writer.transport.abort()


@pytest.mark.parametrize("drop", [close, reset])
@pytest.mark.parametrize("method", ["append", "update", "delete"])
async def test_a_dropped_connection_is_tried_once_more(drop: Any, method: str) -> None:
    """Each of the three calls is sent twice at most where its connection is dropped unanswered."""
    async with serve([drop, drop, http()]) as server, Novu(server, retries=AT_ONCE) as novu:
        call = getattr(novu.subscribers.credentials, method)
        with pytest.raises(APIConnectionError) as caught:
            await call("u1", "fcm" if method == "delete" else PUSH)
        assert caught.value.may_have_applied is True
        assert caught.value.attempts == len(server.requests) == 2


@pytest.mark.parametrize(
    "retries",
    [
        None,
        RetryConfig("none", None),  # type: ignore[arg-type]
        RetryConfig("backoff", BACKOFF, retry_connection_errors=False),
        RetryConfig("backoff", BACKOFF, max_attempts=1),
    ],
)
@pytest.mark.parametrize("method", ["append", "update", "delete"])
async def test_a_call_that_is_to_be_sent_once_is(method: str, retries: RetryConfig | None) -> None:
    """Also where the connection is dropped, a new one or a kept one."""
    async with serve([http(), close, close]) as server, Novu(server, retries=retries) as novu:
        await append(novu)
        for subscriber_id in ("u2", "u3"):
            call = getattr(novu.subscribers.credentials, method)
            with pytest.raises(APIConnectionError) as caught:
                await call(subscriber_id, "fcm" if method == "delete" else PUSH)
            assert caught.value.attempts == 1
        assert [one.line.split("/")[3] for one in server.requests] == ["u1", "u2", "u3"]


@pytest.mark.parametrize("method", ["append", "update", "delete"])
async def test_a_kept_connection_that_is_gone_is_replaced(method: str) -> None:
    """A keep-alive connection that the server closes on the next request costs no error."""
    async with serve([http(), close, http()]) as server, Novu(server, retries=AT_ONCE) as novu:
        await append(novu)
        call = getattr(novu.subscribers.credentials, method)
        await call("u2", "fcm" if method == "delete" else PUSH)
        assert server.connections == 2
        assert [one.line.split("/")[3] for one in server.requests] == ["u1", "u2", "u2"]


@pytest.mark.parametrize(
    "stray",
    [http(), http(b"{}", "408 Request Timeout"), b"\0"],
    ids=["success", "408", "no HTTP"],
)
async def test_an_answer_that_nobody_asked_for_is_not_the_next_calls(stray: bytes) -> None:
    """Where one came on a kept connection, the next call takes another connection, once."""
    writers: list[asyncio.StreamWriter] = []

    async def keep(writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(http())
        await writer.drain()

    async with serve([keep]) as server, Novu(server, retries=None) as novu:
        await append(novu)
        writers[0].write(stray)
        for _ in range(50):
            await asyncio.sleep(0)
        await novu.subscribers.credentials.append("u2", PUSH)
        assert [one.line.split("/")[3] for one in server.requests] == ["u1", "u2"]
        assert server.connections == 2


async def test_connections_are_kept() -> None:
    """Calls one after another share one connection."""
    async with serve() as server, Novu(server) as novu:
        for _ in range(5):
            await append(novu)
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b",
    ],
)
async def test_an_answer_that_is_cut_off(answer: bytes) -> None:
    """Half of a body is a connection error, the write may have been made, and it is sent once."""
    async with serve([cut(answer)]) as server, Novu(server) as novu:
        error = await fail(novu)
        assert type(error) is APIConnectionError
        assert error.may_have_applied is True
        assert len(server.requests) == 1
        assert "400" not in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 twohundred OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        http(b"this is no gzip", "200 OK", "Content-Encoding: gzip"),
        http(gzip.compress(b"x")[:-9] + b"????????", "200 OK", "Content-Encoding: deflate"),
        http(b"x", "200 OK", "Content-Encoding: br"),
    ],
)
async def test_an_answer_that_is_not_http(answer: bytes) -> None:
    """Bytes that are no HTTP are a connection error after sending; the key is not in its chain."""
    async with serve([cut(answer)]) as server, Novu(server) as novu:
        error = await fail(novu)
    assert type(error) is APIConnectionError
    assert error.may_have_applied is True
    assert KEY not in all_texts(error)
    assert "\n" not in str(error)
    assert "400" not in str(error)


@pytest.mark.parametrize(
    "answer",
    [hang(), hang(b"HTTP/1.1 200 OK\r\nContent-Le"), hang(http()[:-5])],
    ids=["silent", "in the head", "in the body"],
)
async def test_an_answer_that_takes_too_long(answer: Any) -> None:
    """Silence at any point ends in a timeout error after the seconds of the call."""
    async with serve([answer]) as server, Novu(server, timeout=60) as novu:
        error = await fail(novu, timeout=0.0512345)
        assert type(error) is APITimeoutError
        assert isinstance(error, TimeoutError)
        assert error.may_have_applied is True
        assert "no complete answer within 0.0512 s" in str(error)
        assert KEY not in all_texts(error)


@pytest.mark.parametrize(
    "answer",
    [hang(), cut(http()[:-5]), cut(b""), b"nonsense\r\n\r\n", http(STORED + b" " * 5_000)],
    ids=["silent", "cut off", "dropped", "not HTTP", "too large"],
)
async def test_a_read_whose_answer_fails_has_changed_nothing(answer: Any) -> None:
    """Only a write may have been applied."""
    limits = {"max_reply_bytes": 5_000, "timeout": 0.2}
    async with serve([answer]) as server, Novu(server, **limits) as novu:
        with pytest.raises(APIConnectionError) as caught:
            await novu.subscribers.retrieve("u1")
    assert caught.value.may_have_applied is False


async def test_a_slow_answer_within_the_timeout_arrives(local: LocalNovu) -> None:
    """An answer in pieces of a few bytes is read to its end."""
    local.faults.next("slow_reply")
    async with RealNovu(local.api_key, server_url=local.url) as novu:
        assert (await append(novu)).result.subscriber_id == "u1"


async def test_an_answer_that_is_too_long() -> None:
    """An answer over `max_reply_bytes` is given up, and the connection with it."""
    body = STORED + b" " * 5_000
    async with serve([http(body), http()]) as server:
        async with Novu(server, max_reply_bytes=5_000) as novu:
            error = await fail(novu)
            assert type(error) is ReplyTooLargeError
            assert "larger than 5,000 bytes" in str(error)
            await append(novu)
        async with Novu(server, max_reply_bytes=len(body)) as novu:
            await append(novu)


async def test_an_answer_with_a_long_header() -> None:
    """What a proxy adds to the answer of a write makes no failure of it."""
    long = http(STORED, "200 OK", f"Content-Security-Policy: {'x' * 60_000}")
    async with serve([long]) as server, Novu(server) as novu:
        assert (await append(novu)).result.subscriber_id == "u1"


async def test_an_answer_with_many_headers() -> None:
    """Neither does it if it adds some hundreds of lines."""
    many = http(STORED, "200 OK", *(f"X-Trace-{n}: x" for n in range(900)))
    async with serve([many]) as server, Novu(server) as novu:
        assert (await append(novu)).result.subscriber_id == "u1"


async def test_an_answer_without_end() -> None:
    """Reading stops at `max_reply_bytes`, not when the server stops."""

    async def stream(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"4000\r\n" + bytes(0x4000) + b"\r\n")
            await writer.drain()

    async with serve([stream]) as server, Novu(server, max_reply_bytes=100_000) as novu:
        assert type(await fail(novu, timeout=2)) is ReplyTooLargeError


async def test_a_gzip_bomb_is_given_up() -> None:
    """The limit counts decompressed bytes, so a small bomb does not fill the memory."""
    bomb = gzip.compress(gzip.compress(bytes(1 << 26), 9), 9)
    plain = gzip.compress(bytes(1 << 26), 9)
    for body in (plain, bomb):
        answer = http(body, "200 OK", "Content-Encoding: gzip")
        async with serve([answer]) as server, Novu(server, max_reply_bytes=60_000) as novu:
            assert type(await fail(novu)) is ReplyTooLargeError


async def test_compressed_answers_are_read() -> None:
    """An answer above a kilobyte comes compressed and in chunks, as from the API."""
    body = gzip.compress(STORED)
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    head = ("Content-Encoding: gzip", "Transfer-Encoding: chunked")
    async with serve([http(chunked, "200 OK", *head)]) as server, Novu(server) as novu:
        assert (await append(novu)).body == STORED


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
async def test_a_redirect_is_not_followed(status: str) -> None:
    """The key goes to no other host than that of server_url; the error says what to do."""
    async with serve() as elsewhere:
        answer = http(b"", status, f"Location: {elsewhere.url}/v1/x")
        async with serve([answer]) as server, Novu(server) as novu:
            error = await fail(novu)
        assert type(error) is APIError
        assert "set server_url to where the API is" in str(error)
        assert elsewhere.requests == []
        assert elsewhere.connections == 0


async def test_cookies_are_not_sent_back() -> None:
    """What one answer sets is no part of the next request."""
    async with serve([http(STORED, "200 OK", "Set-Cookie: a=b; Path=/")]) as server:
        async with Novu(server.url.replace("127.0.0.1", "localhost")) as novu:
            await append(novu)
            await append(novu)
        assert server.requests[1].header("cookie") == []


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Bring a session of the caller's own."""
    async with aiohttp.ClientSession(headers={"X-Own": "1"}, raise_for_status=True) as session:
        yield session


async def test_a_session_of_the_caller_stays_the_callers(session: aiohttp.ClientSession) -> None:
    """An injected session stays open, and no default of it ever holds the key."""
    async with serve() as server:
        async with Novu(server, session=session) as novu:
            await append(novu)
            assert KEY not in repr(session.headers)
        assert not session.closed
        async with session.get(server.url) as answer:
            assert answer.status == 200
        first, second = server.requests
        assert first.header("authorization") == [f"ApiKey {KEY}"]
        assert first.header("x-own") == ["1"]
        assert second.header("authorization") == []


async def test_a_session_that_raises_for_status_does_not(session: aiohttp.ClientSession) -> None:
    """An injected session's own ideas about errors do not replace ours."""
    async with serve([http(b"", "503 No")]) as server, Novu(server, session=session) as novu:
        assert type(await fail(novu)) is ServerError


@pytest.mark.parametrize(
    "options",
    [{"headers": {"content-type": "text/plain"}}, {"skip_auto_headers": ["Content-Type"]}],
    ids=["another one", "none"],
)
async def test_a_session_with_its_own_content_type_sends_json(options: Any) -> None:
    """An injected session's default would have the API take every body for an empty one."""
    async with serve() as server, aiohttp.ClientSession(**options) as session:
        await append(Novu(server, session=session))
        assert server.requests[0].header("content-type") == ["application/json"]


async def test_a_session_that_is_closed(session: aiohttp.ClientSession) -> None:
    """An injected session that the caller closed is said to be closed, first call or later."""
    await session.close()
    async with Novu("http://127.0.0.1:9", session=session) as novu:
        assert "session that was passed in is closed" in str(await fail(novu))


async def test_a_proxy_sees_the_request_and_its_password_is_kept_quiet(refused_url: str) -> None:
    """Requests go through the proxy; its password is in no error of a proxy that fails."""
    user = "//me:pass-that-no-text-may-hold@"
    async with serve() as proxy, Novu("http://novu.invalid", proxy=proxy.url) as novu:
        await append(novu)
        assert proxy.requests[0].line.startswith("PATCH http://novu.invalid/v1/subscribers/u1/")
    async with Novu("http://novu.invalid", proxy=refused_url.replace("//", user)) as novu:
        error = await fail(novu)
        assert type(error) is APIConnectionError
        assert "check proxy and the network" in str(error)
        assert "pass-that-no-text-may-hold" not in all_texts(error)
    async with (
        serve([cut(b"HTTP/1.1 200 OK\r\n\r\n")]) as proxy,
        Novu("https://novu.invalid", proxy=proxy.url.replace("//", user)) as novu,
    ):
        error = await fail(novu)
        assert "cannot set up TLS, check server_url" in str(error)
        assert "pass-that-no-text-may-hold" not in all_texts(error)


async def test_a_proxy_that_opens_a_tunnel_learns_nothing_of_the_request() -> None:
    """To reach https it is asked to connect, with no header of ours: neither the key nor others."""
    for status, kind in ((407, ConfigurationError), (502, APIConnectionError)):
        async with (
            serve([http(b"", f"{status} No")]) as proxy,
            Novu("https://novu.invalid", proxy=proxy.url, headers={"X-Tenant": "shop"}) as novu,
        ):
            error = await fail(novu)
        asked = proxy.requests[0]
        assert asked.line.startswith("CONNECT novu.invalid:443")
        assert KEY not in repr(asked)
        assert "shop" not in repr(asked)
        assert type(error) is kind
        assert f"the proxy answered {status}" in str(error)
        assert not getattr(error, "may_have_applied", False)


async def test_an_answer_that_ends_among_its_headers() -> None:
    """What it has echoed so far is in no text, and a write that was answered is not sent again."""

    async def cut(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 401 No\r\nX-Echo: ApiKey {KEY}\r\n".encode())
        writer.close()

    async with serve([cut]) as server, Novu(server) as novu:
        error = await fail(novu)
    assert KEY not in all_texts(error)
    assert "ended among its headers" in str(error)
    assert error.may_have_applied
    assert len(server.requests) == 1


async def test_a_call_that_is_cancelled_leaves_the_pool_usable(local: LocalNovu) -> None:
    """With a single connection, cancelled calls give it back when the server has answered."""
    url = local.url
    async with RealNovu(local.api_key, server_url=url, max_connections=1, timeout=5) as novu:
        for number in range(20):
            task = asyncio.create_task(append(novu, f"u{number % 3}"))
            for _ in range(number):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert (await append(novu)).result.subscriber_id == "u1"
        read = asyncio.create_task(novu.subscribers.retrieve("u1"))
        await asyncio.sleep(0)
        read.cancel()
        assert (await novu.subscribers.retrieve("u1")).subscriber_id == "u1"


async def test_a_call_that_got_no_connection_was_not_sent(local: LocalNovu) -> None:
    """All of them are in use, by programs that share the session: the error says so."""
    local.faults.next("stall")
    connector = aiohttp.TCPConnector(limit=1)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        RealNovu(local.api_key, server_url=local.url, session=session, retries=None) as novu,
    ):
        first = asyncio.create_task(append(novu))
        while not local.requests:
            await asyncio.sleep(0)
        error = await fail(novu, subscriber_id="u2", timeout=0.5)
        first.cancel()
    assert type(error) is APITimeoutError
    assert not error.may_have_applied
    assert "no connection within 0.5 s" in str(error)
    assert len(local.requests) == 1


async def test_a_cancelled_call_keeps_its_place_until_its_request_has_ended(
    local: LocalNovu,
) -> None:
    """Its connection is in use: the next call would wait for one, and time out there."""
    local.faults.next("stall", times=2)
    url = local.url
    async with RealNovu(local.api_key, server_url=url, max_connections=2, retries=None) as novu:
        calls = [asyncio.create_task(append(novu, f"u{n}", timeout=0.3)) for n in range(2)]
        while len(local.requests) < 2:
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await append(novu, "u3", timeout=0.1)


async def test_at_most_max_connections_are_open(local: LocalNovu) -> None:
    """Calls beyond the limit wait for a connection instead of opening another."""
    async with RealNovu(local.api_key, server_url=local.url, max_connections=2) as novu:
        await asyncio.gather(*(append(novu, f"u{i}") for i in range(12)))
    assert {one.connection for one in local.requests} <= {1, 2}


@pytest.mark.filterwarnings("ignore:a Novu made at")
async def test_a_client_that_is_collected_in_another_thread(local: LocalNovu) -> None:
    """Its connections are closed in their own, which debugging event loops insist on."""
    asyncio.get_running_loop().set_debug(True)
    box = [RealNovu(local.api_key, server_url=local.url)]
    await append(box[0])
    connector = box[0]._pipeline._transport._session._connector  # type: ignore[union-attr]

    def collect() -> None:
        box.clear()
        gc.collect()

    await asyncio.to_thread(collect)
    await asyncio.sleep(0)
    assert connector is not None
    assert connector.closed
    assert connector._conns == {}
