"""Running a coroutine to its end, or to the signal that ends it."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from novu_async.cli._errors import EndedBySignalError

T = TypeVar("T")

_ECHO_SECONDS = 0.4
"""Programs such as `timeout` and `uv run` send each signal twice; that is one signal."""

_SHOW_CURSOR = "\x1b[?25h\n"


def run(main: Coroutine[Any, Any, T], on_signal: Callable[[], None] = lambda: None) -> T:
    """Run on an event loop of its own; uvloop's where it is installed.

    The first Ctrl-C, SIGTERM or SIGHUP calls `on_signal` and cancels, so that `main` can end in
    good order, and EndedBySignalError is raised; the second ends the process at once.
    """
    before = {signum: signal.getsignal(signum) for signum in _signals()}
    try:
        with asyncio.Runner(loop_factory=_find_loop_factory()) as runner:
            return runner.run(_until_signal(main, on_signal))
    finally:
        for signum, handler in before.items():
            with suppress(ValueError, TypeError):  # not the main thread, or not set from Python
                signal.signal(signum, handler)


def _find_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _until_signal(main: Coroutine[Any, Any, T], on_signal: Callable[[], None]) -> T:
    task = asyncio.ensure_future(main)
    received: list[int] = []
    received_at = 0.0

    def stop(signum: int) -> None:
        nonlocal received_at
        now = time.monotonic()
        if received:
            if now - received_at > _ECHO_SECONDS:
                _exit_now(signum)
            return
        received.append(signum)
        received_at = now
        on_signal()
        task.cancel()

    for signum in _signals():
        with suppress(NotImplementedError):  # Windows raises KeyboardInterrupt instead
            asyncio.get_running_loop().add_signal_handler(signum, stop, signum)
    try:
        return await task
    except asyncio.CancelledError:
        if received:
            raise EndedBySignalError(received[0]) from None
        raise


def _signals() -> list[signal.Signals]:
    """Return the signals that end the program.

    SIGINT also where a script that started us in the background had it ignored; SIGHUP not under
    nohup.
    """
    signals = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals


def _exit_now(signum: int) -> None:
    with suppress(OSError, ValueError, AttributeError):
        if sys.stderr.isatty():
            sys.stderr.write(_SHOW_CURSOR)
            sys.stderr.flush()
    os._exit(128 + signum)
