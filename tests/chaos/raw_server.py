"""A server that answers every request with the same bytes, whatever they are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import define, field


@define
class RawServer:
    """Where it is, and the heads of the requests that it got."""

    url: str
    answer: bytes
    heads: list[bytes] = field(factory=list)


@asynccontextmanager
async def serve(answer: bytes) -> AsyncIterator[RawServer]:
    """Answer each request on a connection of its own; the client may leave at any time."""
    tasks: set[asyncio.Task[None]] = set()

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            served.heads.append(head)
            if b"content-length: " in head.lower():
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
            writer.write(served.answer)
            await writer.drain()
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(exchange(reader, writer))
        tasks.add(task)
        task.add_done_callback(lambda _: writer.transport.abort())

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    served = RawServer(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", answer)
    try:
        yield served
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


def http(
    body: bytes, *headers: str, status: str = "200 OK", content_type: str = "application/json"
) -> bytes:
    """Make an answer with the right length, and more headers."""
    lines = [
        f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}",
        *headers, "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode("latin-1") + body
