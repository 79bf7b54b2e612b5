"""The log of requests that a LocalNovu received."""

import json
import threading
import zlib
from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen

from novu_async.testing._http1 import RawRequest
from novu_async.testing._routes import find_subscriber_id


class Headers(dict[str, str]):
    """Hold request headers under lower-case names; looking one up ignores case."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        """Give a header, or the default."""
        return super().get(name.lower(), default)


@frozen
class RecordedRequest:
    """Hold one request as it arrived, and what became of it.

    `path` is the raw target, never decoded or normalised. `connection` numbers the connections in
    order of arrival. `started` and `finished` are the clock's seconds. `status` is the status that
    was sent, None while it runs or when nothing was answered. `fault` names the injected fault.
    """

    number: int
    connection: int
    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    started: float
    finished: float | None = None
    status: int | None = None
    fault: str | None = None

    @property
    def subscriber_id(self) -> str | None:
        """Give the decoded subscriber id of the path, if the path has one."""
        return find_subscriber_id(self.path)

    @property
    def json(self) -> Any:
        """Give the parsed body; None when there is none or when it is not JSON."""
        body = self.body
        try:
            if self.headers.get("content-encoding") == "gzip":
                body = zlib.decompress(body, wbits=31)
            return json.loads(body)
        except (ValueError, zlib.error):
            return None


class RequestLog:
    """Keep the requests in order of arrival; the oldest are dropped beyond `limit`."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._records: dict[int, RecordedRequest] = {}
        self._lock = threading.Lock()
        self._total = 0

    def begin(self, connection: int, request: RawRequest, now: float) -> int:
        """Log a request that has arrived and return its number."""
        number = self._total = self._total + 1
        record = RecordedRequest(
            number,
            connection,
            request.method,
            request.target,
            Headers(request.headers),
            request.body,
            now,
        )
        with self._lock:
            self._records[number] = record
            if self._limit is not None and len(self._records) > self._limit:
                del self._records[next(iter(self._records))]
        return number

    def finish(self, number: int, status: int | None, fault: str | None, now: float) -> None:
        """Note what is answered; only the first note of a request counts."""
        with self._lock:
            record = self._records.get(number)
            if record is not None and record.finished is None:
                self._records[number] = evolve(record, status=status, fault=fault, finished=now)

    def list(self) -> list[RecordedRequest]:
        """Copy the log; safe from any thread."""
        with self._lock:
            return [*self._records.values()]

    def clear(self) -> None:
        """Drop all records."""
        with self._lock:
            self._records.clear()
            self._total = 0
