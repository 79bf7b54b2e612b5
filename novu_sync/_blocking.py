"""Blocking methods made of awaited ones: `update = blocking(async_credentials.Credentials.update)`.

At run time each is a plain function, so that `help()`, `inspect.signature` and completion show the
parameters, defaults and docstring of the awaited method. Type checkers see a descriptor that keeps
them too. Neither holds where a method is overloaded or has type variables of its own.
"""

import inspect
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from functools import update_wrapper
from os import PathLike
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    cast,
    get_args,
    get_origin,
    overload,
)

from novu_sync._calls import Feed

if TYPE_CHECKING:
    from novu_async import Novu as AsyncNovu
    from novu_sync._bridge import Bridge

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Resource:
    """A group of blocking calls, over the group of the asynchronous client that `find` finds."""

    __slots__ = ("_bridge", "_find")

    def __init__(self, bridge: "Bridge[AsyncNovu]", find: "Callable[[AsyncNovu], Any]") -> None:
        self._bridge = bridge
        self._find = find


class BlockingMethod(Protocol[P, R_co]):
    """What a type checker sees: a method with the parameters `P` that returns `R_co`."""

    @overload
    def __get__(self, instance: None, owner: type[object], /) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[object], /) -> Callable[P, R_co]: ...


def blocking(
    method: Callable[Concatenate[A, P], Coroutine[Any, Any, R]], *, reads: str = ""
) -> BlockingMethod[P, R]:
    """Make the blocking form of a coroutine method.

    `reads` names the parameter whose iterable is to be read in the caller's thread.
    """

    def call(self: Resource, /, *args: Any, **kwargs: Any) -> R:
        find, feed = self._find, None
        if reads:
            args, kwargs, feed = _read_here(signature, reads, args, kwargs)
        return self._bridge.call(lambda core: method(find(core), *args, **kwargs), feed)

    signature = _imitate(call, method)
    return cast("BlockingMethod[P, R]", call)


def blocking_iterator(
    method: Callable[Concatenate[A, P], AsyncIterator[T]], *, reads: str = ""
) -> BlockingMethod[P, Generator[T, None, None]]:
    """Make the blocking form of an asynchronous generator method: a generator.

    It runs while it is iterated over; to leave it early, break out of the loop or `close()` it.
    `reads` names the parameter whose iterable is to be read in the caller's thread.
    """

    def call(self: Resource, /, *args: Any, **kwargs: Any) -> Generator[T, None, None]:
        find, feed = self._find, None
        if reads:
            args, kwargs, feed = _read_here(signature, reads, args, kwargs)
        return self._bridge.iterate(lambda core: method(find(core), *args, **kwargs), feed)

    signature = _imitate(call, method)
    return cast("BlockingMethod[P, Generator[T, None, None]]", call)


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
    returned = _blocking_type(signature.return_annotation)
    imitation = cast("Any", update_wrapper(function, method))
    del imitation.__wrapped__  # a framework that unwraps it would await it
    imitation.__module__ = module
    imitation.__signature__ = signature.replace(return_annotation=returned)
    imitation.__annotations__ = {**method.__annotations__, "return": returned}
    return signature


def _blocking_type(returned: Any) -> Any:
    if isinstance(returned, str):
        return returned.replace("AsyncIterator[", "Iterator[")
    if get_origin(returned) is AsyncIterator:
        return cast("Any", Iterator)[get_args(returned)]
    return returned


def _read_here(
    signature: inspect.Signature, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], Feed[Any] | None]:
    """Replace the iterable called `name` by a feed, unless it is a collection or a path."""
    bound = signature.bind(None, *args, **kwargs)
    items = bound.arguments[name]
    if isinstance(items, Collection | PathLike | AsyncIterable) or not isinstance(items, Iterable):
        return args, kwargs, None
    feed = bound.arguments[name] = Feed(items)
    return bound.args[1:], bound.kwargs, feed
