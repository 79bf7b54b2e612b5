"""A server that answers as fast as Python can, so that what is measured is the client.

It runs in a process of its own, stores nothing, and answers every write with a subscriber whose
only channel has the tokens just sent. With `rate` it keeps the API's token bucket. `GET /counts`
is for the benchmarks.
"""

import argparse
import asyncio
import math
import time
from typing import Any

import orjson
import uvloop

_SUBSCRIBER = (
    b'{"data":{"_id":"6710c8f1b2a3c4d5e6f70819","_organizationId":"6710c8f1b2a3c4d5e6f70001",'
    b'"_environmentId":"6710c8f1b2a3c4d5e6f70002","firstName":"Ada","lastName":"Lovelace",'
    b'"email":"ada@example.com","locale":"en","subscriberId":%s,"channels":[{"credentials":'
    b'{"deviceTokens":%s},"_integrationId":"6710c8f1b2a3c4d5e6f70003","providerId":%s}],'
    b'"deleted":false,"createdAt":"2026-01-01T10:00:00.000Z",'
    b'"updatedAt":"2026-01-01T10:00:00.000Z","__v":0}}'
)
_LIMITED = (
    b'{"statusCode":429,"timestamp":"2026-01-01T10:00:00.000Z","path":"/v1/subscribers",'
    b'"message":"API rate limit exceeded","ctx":{}}'
)
_WINDOW_SECONDS = 5
_BURST = 1.1


class Bucket:
    """The API's token bucket: it is refilled only when too few tokens are left."""

    def __init__(self, per_second: int) -> None:
        self.limit = per_second * _WINDOW_SECONDS
        self.burst = math.floor(self.limit * _BURST)
        self._per_ms = per_second / 1000
        self._tokens = self.burst
        self._last_refill = 0.0
        self._blocked_until = 0.0
        self._policy = f'{self.limit};w={_WINDOW_SECONDS};burst={self.burst};comment="token bucket"'

    def take(self) -> tuple[bool, bytes]:
        """Return whether a request passes, and the headers that say so."""
        now = time.monotonic() * 1000
        self._last_refill = self._last_refill or now
        accepted = now >= self._blocked_until and self._take(now)
        if not accepted and now >= self._blocked_until:
            self._blocked_until = self._last_refill + 1 / self._per_ms
        wait = 0 if self._tokens else self._last_refill + 1 / self._per_ms - now
        seconds = max(0 if accepted else 1, math.ceil(wait / 1000))
        headers = (
            f"RateLimit-Limit: {self.limit}\r\nRateLimit-Remaining: {self._tokens}\r\n"
            f"RateLimit-Reset: {seconds}\r\nRateLimit-Policy: {self._policy}\r\n"
        )
        return accepted, (headers if accepted else f"{headers}Retry-After: {seconds}\r\n").encode()

    def _take(self, now: float) -> bool:
        if not self._tokens:
            added = math.floor((now - self._last_refill) * self._per_ms)
            if not added:
                return False
            self._tokens = min(self.burst, added)
            self._last_refill += added / self._per_ms
        self._tokens -= 1
        return True


class Answerer:
    """Answers requests and counts them."""

    def __init__(self, rate: int | None) -> None:
        self._bucket = Bucket(rate) if rate else None
        self._accepted = self._rejected = 0

    def answer(self, path: bytes, body: bytes) -> bytes:
        """Return the whole answer to one request."""
        if path == b"/counts":
            counts = {"accepted": self._accepted, "rejected": self._rejected}
            return _render(b"200 OK", orjson.dumps(counts))
        accepted, headers = self._bucket.take() if self._bucket else (True, b"")
        if not accepted:
            self._rejected += 1
            return _render(b"429 Too Many Requests", _LIMITED, headers)
        self._accepted += 1
        return _render(b"200 OK", _echo(path, body), headers)


def _echo(path: bytes, body: bytes) -> bytes:
    sent = orjson.loads(body) if body else {}
    tokens = sent.get("credentials", {}).get("deviceTokens", [])
    subscriber_id = path.split(b"/")[3].decode()
    return _SUBSCRIBER % (
        orjson.dumps(subscriber_id),
        orjson.dumps(tokens),
        orjson.dumps(sent.get("providerId", "fcm")),
    )


def _render(status: bytes, body: bytes, headers: bytes = b"") -> bytes:
    return (
        b"HTTP/1.1 %b\r\nContent-Type: application/json; charset=utf-8\r\n%bContent-Length: %d\r\n"
        b"Connection: keep-alive\r\n\r\n%b"
    ) % (status, headers, len(body), body)


class Connection(asyncio.Protocol):
    """Reads requests with a Content-Length or none, also when they arrive in pieces."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        """Remember where the answers go."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            end += 4 + _body_length(head)
            if len(self._buffer) < end:
                return
            _, path, _ = head[: head.index(b"\r\n")].split(b" ")
            body = self._buffer[len(head) + 4 : end]
            self._buffer = self._buffer[end:]
            self._transport.write(self._answerer.answer(path, body))


def _body_length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


async def _serve(rate: int | None) -> None:
    answerer = Answerer(rate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answerer), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, help="requests per second; none without it")
    uvloop.run(_serve(parser.parse_args().rate))
