"""Daemon threads for what would block the loop: the resolving of host names."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonExecutor(ThreadPoolExecutor):
    """Runs each job in a daemon thread of its own.

    The threads of ThreadPoolExecutor would hold up `close()` and the end of the program while a
    name server does not answer, and refuse jobs once the main thread has ended.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start a thread that runs the job."""
        future: Future[T] = Future()
        job = partial(fn, *args, **kwargs)
        Thread(target=_run, args=(job, future), name="novu_sync resolver", daemon=True).start()
        return future


def _run(job: Callable[[], T], future: Future[T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(job())
    except BaseException as error:
        future.set_exception(error)
