"""HTTP/1.1 on asyncio streams, as strict and as lenient as the API's own server (Node 20).

A server of its own, because the raw bytes matter: the target is never normalised (`..`, `%2F` and
`%` must arrive as they were sent), a request line that is too long is answered 431 without a
body, and a fault may cut a reply at any byte.
"""

import asyncio
import base64
import email.utils
import hashlib
import re
import zlib
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from novu_async.testing._answers import Answer, find_reason

# Node's limit for the request line and the headers together.
HEAD_LIMIT: Final = 16_384
KEEP_ALIVE_SECONDS: Final = 61
_GZIP_FROM: Final = 1024
# What the log keeps of a body that is read and thrown away anyway.
_BODY_KEPT: Final = 1 << 20
_METHOD: Final = re.compile(rb"[A-Z-]+")
_CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]+")
_HEADER_LINE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\0\r\n]*")
_API_HEADERS: Final = (
    "Content-Security-Policy: default-src 'self';base-uri 'self';font-src 'self' https: data:;"
    "form-action 'self';frame-ancestors 'self';img-src 'self' data:;object-src 'none';"
    "script-src 'self';script-src-attr 'none';style-src 'self' https: 'unsafe-inline';"
    "upgrade-insecure-requests\r\n"
    "Cross-Origin-Embedder-Policy: require-corp\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Origin-Agent-Cluster: ?1\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Strict-Transport-Security: max-age=15552000; includeSubDomains\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-DNS-Prefetch-Control: off\r\n"
    "X-Download-Options: noopen\r\n"
    "X-Frame-Options: SAMEORIGIN\r\n"
    "X-Permitted-Cross-Domain-Policies: none\r\n"
    "X-XSS-Protection: 0\r\n"
    "Vary: Origin, Accept-Encoding\r\n"
)


class BadRequestError(Exception):
    """Refuse a request that cannot be read; `status` is 400 or 431, and there is no body."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@frozen
class RawRequest:
    """Hold a request as it came: `headers` have lower-case names, `target` is not decoded."""

    method: str
    target: str
    version: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def keep_alive(self) -> bool:
        """Say whether the client wants the connection kept."""
        wanted = self.headers.get("connection", "").lower()
        return wanted == "keep-alive" if self.version == "HTTP/1.0" else wanted != "close"


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> RawRequest | None:
    """Read the next request of a connection; None when the client closed it.

    Raises BadRequestError for bytes that are not HTTP, and for a head or a line above 16 KiB.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise BadRequestError(431) from None
    except asyncio.IncompleteReadError as error:
        if b"\n" in error.partial.strip():
            raise BadRequestError(400) from None
        return None
    method, target, version, headers = _parse_head(head.lstrip(b"\r\n"))
    if "100-continue" in headers.get("expect", "").lower():
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = _read_length(headers)
    try:
        if "transfer-encoding" in headers:
            body = await _read_chunks(reader)
        else:
            body = await _read_body(reader, length)
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError:
        raise BadRequestError(400) from None
    return RawRequest(method, target, version, headers, body)


def _parse_head(head: bytes) -> tuple[str, str, str, dict[str, str]]:
    if len(head) > HEAD_LIMIT:
        raise BadRequestError(431)
    line, *lines = head[:-4].split(b"\r\n")
    parts = line.split(b" ")
    if len(parts) != 3 or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise BadRequestError(400)
    if not _METHOD.fullmatch(parts[0]) or not parts[1]:
        raise BadRequestError(400)
    headers = _parse_headers(lines)
    if parts[2] == b"HTTP/1.1" and "host" not in headers:
        raise BadRequestError(400)
    return parts[0].decode(), _decode_target(parts[1]), parts[2].decode(), headers


def _decode_target(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _parse_headers(lines: list[bytes]) -> dict[str, str]:
    """Read header lines: of a repeated one the first counts for some names, else all, joined."""
    headers: dict[str, str] = {}
    for line in lines:
        raw_name, _, raw_value = line.partition(b":")
        if not _HEADER_LINE.fullmatch(line):
            raise BadRequestError(400)
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip(" \t")
        if name not in headers:
            headers[name] = value
        elif name == "content-length" and headers[name] != value:
            raise BadRequestError(400)
        elif name not in ("authorization", "content-length", "content-type", "host"):
            headers[name] += f", {value}"
    return headers


def _read_length(headers: Mapping[str, str]) -> int:
    declared = headers.get("content-length")
    if declared is None:
        return 0
    if not declared.isascii() or not declared.isdigit() or "transfer-encoding" in headers:
        raise BadRequestError(400)
    return int(declared)


async def _read_body(reader: asyncio.StreamReader, length: int) -> bytes:
    """Read a body; of a huge one only the beginning is kept."""
    kept = await reader.readexactly(min(length, _BODY_KEPT))
    left = length - len(kept)
    while left > 0:
        left -= len(await reader.readexactly(min(left, 65_536)))
    return kept


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        digits = line.split(b";")[0].strip()
        if not _CHUNK_SIZE.fullmatch(digits):
            raise BadRequestError(400)
        size = int(digits, 16)
        if size == 0:
            break
        chunk = (await reader.readexactly(size + 2))[:-2]
        body += chunk[: max(0, _BODY_KEPT - len(body))]
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return bytes(body)


def make_refusal(status: int) -> bytes:
    """Write the answer to a request that could not be read: no headers of the API, no body."""
    return f"HTTP/1.1 {status} {find_reason(status)}\r\nConnection: close\r\n\r\n".encode()


def _make_etag(body: bytes) -> str:
    """Make the weak validator that the API's framework sends."""
    digest = base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest())
    return f'W/"{len(body):x}-{digest[:27].decode()}"'


def make_reply(request: RawRequest, answer: Answer) -> bytes:
    """Write an answer with all headers that the API adds: ETag, Vary, Keep-Alive and the rest."""
    body = answer.body
    head = [_API_HEADERS if answer.from_api else "Server: nginx\r\n"]
    head += [f"{name}: {value}\r\n" for name, value in answer.headers]
    if body is not None:
        head.append(f"Content-Type: {answer.content_type}\r\n")
        if answer.from_api:
            head.append(f"ETag: {_make_etag(body)}\r\n")
        if _is_packed(request, body):
            head.append("Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n")
            packed = zlib.compress(body, wbits=31)
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed)
        else:
            head.append(f"Content-Length: {len(body)}\r\n")
    head.append(f"Date: {email.utils.formatdate(usegmt=True)}\r\n")
    head.append(_make_connection(request))
    start = f"HTTP/1.1 {answer.status} {find_reason(answer.status)}\r\n{''.join(head)}\r\n"
    sent = b"" if body is None or request.method == "HEAD" else body
    return start.encode("latin-1", "replace") + sent


def _make_connection(request: RawRequest) -> str:
    if not request.keep_alive:
        return "Connection: close\r\n"
    return f"Connection: keep-alive\r\nKeep-Alive: timeout={KEEP_ALIVE_SECONDS}\r\n"


def _is_packed(request: RawRequest, body: bytes) -> bool:
    accepts_gzip = "gzip" in request.headers.get("accept-encoding", "").lower()
    return accepts_gzip and len(body) >= _GZIP_FROM and request.method != "HEAD"
