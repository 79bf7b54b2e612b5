"""The blocking client: the parameters, names and behaviour of `novu_async.client`."""

import sys
from functools import cached_property
from operator import attrgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from novu_async import client as awaited
from novu_async._secrets import refuse_copy
from novu_async.client import RateLimit
from novu_async.errors import ConfigurationError
from novu_sync._blocking import Resource, blocking, same_parameters
from novu_sync._bridge import Bridge
from novu_sync.credentials import Credentials
from novu_sync.device_tokens import DeviceTokens

if TYPE_CHECKING:
    from novu_sync.bulk import Bulk

__all__ = ["Novu", "RateLimit", "Subscribers"]


class Subscribers(Resource):
    """`novu.subscribers`: what is kept for one subscriber."""

    def __init__(self, bridge: Bridge[awaited.Novu]) -> None:
        super().__init__(bridge, attrgetter("subscribers"))
        self.credentials = Credentials(bridge, attrgetter("subscribers.credentials"))
        self.device_tokens = DeviceTokens(bridge, attrgetter("subscribers.device_tokens"))

    create = blocking(awaited.Subscribers.create)
    retrieve = blocking(awaited.Subscribers.retrieve)


class Novu:
    """A blocking client of the Novu API for one environment; make one and share it.

    Its calls are those of `subscribers.device_tokens`, `subscribers.credentials`, `subscribers`
    (`retrieve`, `create`) and `bulk`: `help(novu.subscribers.device_tokens)` tells them.

    Any number of threads may use it at the same time, inside a running event loop too, and in
    forked children. Its calls run in an event loop of its own, in a thread that the first call
    starts and that `with` or `close()` ends. Ctrl-C cancels the call under way and no other.

    The arguments are those of `novu_async.Novu`, except that `session` cannot be used: an aiohttp
    session belongs to the event loop in which it was made.
    """

    @same_parameters(awaited.Novu)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        caller = sys._getframe(1)
        made_at = f"{caller.f_code.co_filename}:{caller.f_lineno}"
        try:
            self._bridge = Bridge(lambda: _make_core(args, kwargs), made_at)
        except Exception as error:
            del args, kwargs, self  # as `novu_async` does: tools show the variables of a traceback
            if isinstance(error, ConfigurationError):
                error.__traceback__ = None
            raise
        self.subscribers = Subscribers(self._bridge)

    @cached_property
    def bulk(self) -> "Bulk":
        """Bulk jobs: many rows as few requests."""
        from novu_sync.bulk import Bulk  # not before it is needed: a sixth of the import time

        return Bulk(self._bridge, attrgetter("bulk"))

    @property
    def rate_limit(self) -> RateLimit | None:
        """What the server has said about its rate limit; None where it has announced none."""
        return self._bridge.core.rate_limit

    def close(self) -> None:
        """Close the connections; calls under way end with an error. May be called twice."""
        self._bridge.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    if not TYPE_CHECKING:  # checkers refuse an `async with` that is not there

        def __aenter__(self):
            raise ConfigurationError("novu_sync.Novu needs `with`; to await it use novu_async.Novu")

        def __aexit__(self, *_):
            """Be there, so that `async with` comes to `__aenter__`."""

    __reduce__ = refuse_copy

    def __repr__(self) -> str:
        return repr(self._bridge.core)


def _make_core(args: tuple[Any, ...], kwargs: dict[str, Any]) -> awaited.Novu:
    if kwargs.get("session") is not None:
        raise ConfigurationError(
            "an aiohttp session belongs to its event loop, and novu_sync runs one of its own: "
            "give max_connections, proxy or ssl instead, or use novu_async"
        )
    core = awaited.Novu(*args, **kwargs)
    core._pipeline.is_seldom_cancelled = True
    return core
