"""Blocking methods made of awaited ones: `update = blocking(async_credentials.Credentials.update)`.

At run time each is a plain function, so that `help()`, `inspect.signature` and completion show the
parameters, defaults and docstring of the awaited method. Type checkers keep them too, but not where
a method is overloaded or has type variables of its own.
"""

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterator,
)
from functools import update_wrapper
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    ParamSpec,
    TypeVar,
    cast,
    get_args,
    get_origin,
)

from novu_sync._bridge import Bridge
from novu_sync._calls import Feed

if TYPE_CHECKING:
    from novu_async import Novu as AsyncNovu

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


Read = Callable[[Any, int], tuple[Any, Feed[Any] | None]]
"""Takes records and how many to read at once; returns what to pass on, and the feed in it if any.
"""

_AT_ONCE = 1000


class Resource:
    """A group of blocking calls, over the group of the asynchronous client that `find` finds."""

    def __init__(self, bridge: "Bridge[AsyncNovu]", find: "Callable[[AsyncNovu], Any]") -> None:
        self._bridge = bridge
        self._find = find


def blocking(
    method: Callable[Concatenate[A, P], Coroutine[Any, Any, R]], *, read: Read | None = None
) -> Callable[Concatenate[Any, P], R]:
    """Make the blocking form of a coroutine method.

    `read` makes a feed of the argument `records` where it is to be read in the caller's thread.
    """
    return _make_method(method, Bridge.call, read, _AT_ONCE)


def blocking_iterator(
    method: Callable[Concatenate[A, P], AsyncIterator[T]], *, read: Read | None = None
) -> Callable[Concatenate[Any, P], Generator[T, None, None]]:
    """Make the blocking form of an asynchronous generator method: a generator.

    To leave it early, break out of the loop or `close()` it. `read` as in `blocking`, except that
    records are read one at a time: they may be slow to come.
    """
    return _make_method(method, Bridge.iterate, read, 1)


def _make_method(
    method: Callable[..., Any], run: Callable[..., Any], read: Read | None, at_once: int
) -> Callable[..., Any]:
    def call(self: Resource, /, *args: Any, **kwargs: Any) -> Any:
        find, feed = self._find, None
        if read is not None:
            bound = signature.bind(self, *args, **kwargs)
            feed = _feed(bound, read, at_once)
            args, kwargs = bound.args[1:], bound.kwargs
        return run(self._bridge, lambda core: method(find(core), *args, **kwargs), feed)

    signature = _imitate(call, method)
    return call


def blocking_function(
    function: Callable[P, Coroutine[Any, Any, R]], *, read: Read
) -> Callable[P, R]:
    """Make the blocking form of a coroutine function that needs no client."""

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        feed = _feed(bound, read, _AT_ONCE)
        bridge = Bridge(_NoClient)
        try:
            return bridge.call(lambda _: function(*bound.args, **bound.kwargs), feed)
        finally:
            bridge.close()

    signature = _imitate(call, function)
    return call


class _NoClient:
    async def aclose(self) -> None:
        """Do nothing: nothing is open."""


def same_parameters(
    model: Callable[P, object],
) -> Callable[[Callable[Concatenate[A, ...], None]], Callable[Concatenate[A, P], None]]:
    """Give the decorated `__init__` the parameters and docstring of another class's."""

    def decorate(init: Callable[Concatenate[A, ...], None]) -> Callable[Concatenate[A, P], None]:
        _imitate(init, cast("Any", model).__init__)
        return init

    return decorate


def _imitate(function: Callable[..., Any], method: Callable[..., Any]) -> inspect.Signature:
    """Let `function` show the name, docstring and parameters of `method`; return these."""
    module, signature = function.__module__, inspect.signature(method)
    returned = signature.return_annotation
    if get_origin(returned) in (AsyncIterator, AsyncGenerator):
        returned = Iterator[get_args(returned)[0]]  # type: ignore[misc]
    imitation = cast("Any", update_wrapper(function, method))
    del imitation.__wrapped__  # a framework that unwraps it would await it
    imitation.__module__ = module
    imitation.__signature__ = signature.replace(return_annotation=returned)
    imitation.__annotations__ = {**method.__annotations__, "return": returned}
    return signature


def _feed(bound: inspect.BoundArguments, read: Read, at_once: int) -> Feed[Any] | None:
    bound.arguments["records"], feed = read(bound.arguments["records"], at_once)
    return feed
