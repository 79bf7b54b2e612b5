"""How a reply reaches the client, or does not: the input and output side of faults."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Final

from attrs import evolve, frozen

from novu_async.testing._answers import (
    Answer,
    ApiError,
    make_internal_error,
    make_rate_limit_error,
    make_unavailable_error,
)
from novu_async.testing._http1 import RawRequest, make_reply
from novu_async.testing.faults import Fault

_SLOW_PIECE_BYTES: Final = 16
_SILENT: Final = ("reset_before", "drop_before_reply", "stall", "stall_after_write")
_PROXY_PAGE: Final = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n"
    b"</body>\r\n</html>\r\n"
)


@frozen
class Exchange:
    """Hold one request with the streams of its connection."""

    request: RawRequest
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


Work = Callable[[], Awaitable[Answer]]
Refusal = Callable[[ApiError], Answer]


def reset_connection(writer: asyncio.StreamWriter) -> None:
    """Break a connection: the client sees a reset, not an orderly end."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def make_faulty_answer(fault: Fault, work: Work, refuse: Refusal) -> Answer | None:
    """Carry out the request if the fault says so, and give what shall be sent; None for nothing.

    `work` makes the real answer; `refuse` renders an error of the API in its era.
    """
    answer = await work() if fault.applied else Answer(200)
    return None if fault.kind in _SILENT else _disturb(fault, answer, refuse)


async def deliver(exchange: Exchange, answer: Answer) -> bool:
    """Send an answer as it is; True when the connection goes on."""
    exchange.writer.write(make_reply(exchange.request, answer))
    await exchange.writer.drain()
    return exchange.request.keep_alive


async def deliver_with_fault(exchange: Exchange, fault: Fault, answer: Answer | None) -> bool:
    """Send an answer as the fault wants it, or nothing; True when the connection goes on."""
    if answer is not None:
        return await _send(exchange, fault, answer)
    if fault.kind in ("stall", "stall_after_write"):
        await _wait_for_the_end(exchange.reader)
    else:
        reset_connection(exchange.writer)
    return False


async def _wait_for_the_end(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(65_536):
            pass


async def _send(exchange: Exchange, fault: Fault, answer: Answer) -> bool:
    request, writer = exchange.request, exchange.writer
    if fault.kind == "oversized_reply":
        request = evolve(request, headers={**request.headers, "accept-encoding": ""})
    reply = make_reply(request, answer)
    if fault.kind in ("reset_during_reply", "reset_after_reply"):
        half = fault.kind == "reset_during_reply"
        await _send_and_reset(writer, reply[: len(reply) // 2] if half else reply)
        return False
    if fault.kind == "slow_reply":
        await _send_slowly(writer, reply)
    else:
        writer.write(reply)
        await writer.drain()
    return request.keep_alive and fault.kind != "close_idle"


async def _send_and_reset(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Reset once the bytes have left this process: a reset at once would throw them away."""
    writer.transport.set_write_buffer_limits(high=0)
    writer.write(data)
    await writer.drain()
    reset_connection(writer)


async def _send_slowly(writer: asyncio.StreamWriter, reply: bytes) -> None:
    for start in range(0, len(reply), _SLOW_PIECE_BYTES):
        writer.write(reply[start : start + _SLOW_PIECE_BYTES])
        await writer.drain()
        await asyncio.sleep(0)


def _disturb(fault: Fault, answer: Answer, refuse: Refusal) -> Answer:
    """Replace or damage an answer; one that only its delivery disturbs is returned as it is."""
    wait = (("Retry-After", str(fault.retry_after)),)
    body = answer.body or b""
    match fault.kind:
        case "truncated_json":
            return evolve(answer, body=body[: len(body) // 2])
        case "wrong_content_type":
            return evolve(answer, content_type="text/html; charset=utf-8")
        case "oversized_reply":
            padded = body[:-1] + b" " * max(0, fault.size_bytes - len(body)) + body[-1:]
            return evolve(answer, body=padded or None)
        case "html_error":
            return Answer(502, _PROXY_PAGE, content_type="text/html", from_api=False)
        case "error_502" | "error_504":
            return Answer(int(fault.kind[-3:]), b"", content_type="text/plain", from_api=False)
        case "too_many_requests":
            return evolve(refuse(make_rate_limit_error()), headers=wait)
        case "error_500":
            return refuse(make_internal_error())
        case "error_503":
            return evolve(refuse(make_unavailable_error()), headers=wait)
        case "redirect":
            there = (("Location", fault.location),)
            return Answer(307, b"", there, content_type="text/plain", from_api=False)
    return answer
