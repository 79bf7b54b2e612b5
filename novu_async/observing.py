"""Hooks around calls and attempts; `novu_async.otel` makes OpenTelemetry spans of them."""

from contextlib import AbstractContextManager, nullcontext
from urllib.parse import urlsplit

from attrs import define

from novu_async._endpoints import Endpoint

__all__ = ["AttemptInfo", "CallInfo", "Observer"]


@define
class CallInfo:
    """What an observer learns of a call: never an id, a token or a header.

    - `operation`: "update", "append", "delete", "get", "create" or "integrations".
    - `url_template`: the path with placeholders, `/v1/subscribers/{subscriber_id}/credentials`.
    - `server_address`, `server_port`: where it is sent to.
    """

    operation: str
    method: str
    url_template: str
    server_address: str
    server_port: int | None


@define
class AttemptInfo:
    """One attempt of a call: `number` counts from 1; `status_code` is set once there is one.

    Where a connection is closed before the answer begins, the request is sent once more within the
    attempt, on another one.
    """

    call: CallInfo
    number: int
    status_code: int | None = None


class Observer:
    """Base class of what is given to `Novu(observer=...)`.

    Each method returns a context manager that is entered before and left after what it is about,
    with the exception if there was one, which it must not suppress. It runs in the event loop and
    should return quickly; what it raises fails the call, and breaks off a verb of several requests
    where it stands, a repair between deleting and writing anew: it had better raise nothing.
    """

    def call(self, call: CallInfo) -> AbstractContextManager[object]:
        """Surround a call with its retries; its turn in the subscriber's line comes before."""
        return nullcontext()

    def attempt(self, attempt: AttemptInfo) -> AbstractContextManager[object]:
        """Surround one attempt: its wait at the gate, the request and the answer."""
        return nullcontext()


def make_call_info(endpoint: Endpoint, url: str) -> CallInfo:
    """Describe a call by its endpoint and the server of its URL."""
    parts = urlsplit(url)
    # what stands before the endpoint's own path is the prefix of the server's URL
    prefix = "/".join(parts.path.split("/")[: -endpoint.path.count("/")])
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return CallInfo(
        endpoint.name, endpoint.method, prefix + endpoint.path, parts.hostname or "", port
    )
