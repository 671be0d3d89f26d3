"""The life of a host: how a thread begins to run goroutines and ends, and what reaches its first one.

The main thread becomes a host by itself when it first has to do with goroutines; its own code is the first goroutine.
Any other thread is one during `run`. At the end of either everything that is left is cancelled and waited for.
"""

from __future__ import annotations

import atexit
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import ParamSpec, TypeVar

from ecru import _native
from ecru._native import Task

P = ParamSpec("P")
R = TypeVar("R")

GRACE = 10.0
"""Seconds that goroutines are given to end, once they are cancelled because `run` or the program ends."""


def run(f: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `f(*args, **kwargs)` as the first goroutine of this thread, which runs others meanwhile; what it returns.

    Those left at its end are cancelled and waited for. What has not ended after `GRACE` seconds is reported on stderr;
    then the main thread goes on without it, any other waits on, since a thread cannot end before its goroutines.
    If the thread runs goroutines already, `f` is just called.
    """
    if _native.is_home():
        return f(*args, **kwargs)
    _native.enter_home()
    _entered()
    try:
        return f(*args, **kwargs)
    finally:
        _leave()


def excepthook(task: Task[object], error: BaseException, /) -> None:
    """Called with an error of a goroutine that nobody has asked for: prints it. `ecru.excepthook` may be replaced.

    `Cancelled` is none. SystemExit and KeyboardInterrupt are raised in the thread's first goroutine instead.
    """
    if sys.stderr is None:
        return
    print(f"Exception in goroutine {task.name}:", file=sys.stderr)
    traceback.print_exception(error, file=sys.stderr)


def _leave() -> None:
    _native.cancel_home()
    in_main = threading.current_thread() is threading.main_thread()
    if not _drain(GRACE):
        _report()
        if in_main:
            return
        while not _drain(None):
            pass
    _native.leave_home()
    if in_main:
        _give_sigint_back()


def _drain(seconds: float | None) -> bool:
    """Wait until all goroutines of this thread have ended, for so long; whether they have."""
    end = None if seconds is None else time.monotonic() + seconds
    pause = 0.0
    while _native.goroutine_count() > 0:
        if end is not None and time.monotonic() >= end:
            return False
        _native.sleep(pause)
        pause = min(0.01, pause + 0.0001)
    return True


def _report() -> None:
    count = _native.goroutine_count()
    if sys.stderr is not None:
        print(f"ecru: {count} goroutine{'s' if count != 1 else ''} did not end within {GRACE:g} s", file=sys.stderr)


# ---- Ctrl-C ---------------------------------------------------------------------------------------------------------


def _on_sigint(number: int, frame: FrameType | None, /) -> None:
    """Raise KeyboardInterrupt in the main thread's first goroutine; whoever runs at the moment lets it go first."""
    _native.interrupt_first(KeyboardInterrupt())
    with _native.Token(shield=True):
        _native.yield_()


def _entered() -> None:
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_sigint)


def _give_sigint_back() -> None:
    if signal.getsignal(signal.SIGINT) is _on_sigint:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# ---- the end --------------------------------------------------------------------------------------------------------


def _at_exit() -> None:
    if _native.is_home():
        try:
            _leave()
        except KeyboardInterrupt:
            _report()
    alone = threading.active_count() == 1  # else the others would be told, and say so
    _native.shut_down(alone)


_native.on_entered(_entered)
atexit.register(_at_exit)
