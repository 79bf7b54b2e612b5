"""Raw HTTP for the tests of LocalNovu: what is sent and received is exactly what is written."""

import asyncio
import contextlib
import json
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from attrs import frozen

from novu_async.testing import LocalNovu


@frozen
class Reply:
    """Hold a reply: `headers` have lower-case names, `raw` is the body before decoding."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    raw: bytes

    @property
    def json(self) -> Any:
        """Give the parsed body."""
        return json.loads(self.body)

    @property
    def message(self) -> Any:
        """Give the `message` of an error."""
        return self.json["message"]

    @property
    def channels(self) -> list[dict[str, Any]]:
        """Give the channels of a subscriber, without the ids of integrations."""
        found: list[dict[str, Any]] = self.json["data"]["channels"]
        return [{k: v for k, v in one.items() if k != "_integrationId"} for one in found]


async def read_reply(reader: asyncio.StreamReader, *, head_only: bool = False) -> Reply:
    """Read one reply from a connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    start, *lines = head.decode("latin-1").rstrip().split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
    raw = b""
    if not head_only:
        if "content-length" in headers:
            raw = await reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                raw += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
    coding = headers.get("content-encoding")
    body = zlib.decompress(raw, wbits=47) if coding in ("gzip", "deflate") else raw
    return Reply(int(start.split(" ")[1]), headers, body, raw)


def make_request(
    local: LocalNovu,
    method: str,
    path: str | bytes,
    *,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    key: str | None = "",
) -> bytes:
    """Write a request. `body` is bytes as they are, or a value to send as JSON."""
    content = (
        body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    )
    wanted: dict[str, str] = {"Host": "local"}
    if key is not None:
        wanted["Authorization"] = f"ApiKey {key or local.api_key}"
    if body is not None:
        wanted |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
    wanted |= headers or {}
    lines = "".join(f"{name}: {value}\r\n" for name, value in wanted.items() if value is not None)
    target = path if isinstance(path, bytes) else path.encode()
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method.encode(), target, lines.encode(), content)


@contextlib.asynccontextmanager
async def connect(
    local: LocalNovu,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to a LocalNovu for the length of a block."""
    host, _, port = local.url.removeprefix("http://").partition("/")[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def send(local: LocalNovu, method: str, path: str | bytes, **options: Any) -> Reply:
    """Send one request on a connection of its own; the options are those of `make_request`."""
    async with connect(local) as (reader, writer):
        writer.write(make_request(local, method, path, **options))
        return await read_reply(reader, head_only=method == "HEAD")


async def put(
    local: LocalNovu,
    subscriber_id: str,
    provider_id: str,
    credentials: Any,
    *,
    method: str = "PUT",
    identifier: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Write credentials: put(local, "u1", "fcm", {...}, method="PATCH")."""
    body = {"providerId": provider_id, "credentials": credentials}
    if identifier is not None:
        body["integrationIdentifier"] = identifier
    path = f"/v1/subscribers/{subscriber_id}/credentials"
    return await send(local, method, path, body=body, headers=headers)
