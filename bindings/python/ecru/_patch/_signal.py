"""signal: waiting for signals. Handlers run in the main thread, as ever, and what they raise is raised there."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from ecru import _native
from ecru._patch import _os
from ecru._patch._registry import Registry

_sigtimedwait, _pause = getattr(signal, "sigtimedwait", None), getattr(signal, "pause", None)

# ---- blocked ones ---------------------------------------------------------------------------------------------------

_SET_BYTES = 128  # of the C library's sigset_t
_LOOK_SECONDS = 0.1  # a signal for this thread alone is not shown to another thread that looks after descriptors
_LOOK_SECONDS_WITHOUT = 0.005  # where nothing tells of signals


def _signal_descriptor(numbers: set[int]) -> int | None:
    """A descriptor that can be read when one of these is pending; None: the system has none."""
    import ctypes

    make: Callable[..., int] | None = getattr(ctypes.CDLL(None, use_errno=True), "signalfd", None)
    if make is None:
        return None
    wanted = sum(1 << (number - 1) for number in numbers).to_bytes(_SET_BYTES, "little")
    fd = make(-1, wanted, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd


def sigtimedwait(sigset: Iterable[int], timeout: float | None, /) -> Any:
    """As signal.sigtimedwait; timeout None: no limit."""
    if timeout is not None and timeout < 0:
        raise ValueError("timeout must be non-negative")
    wanted = set(sigset)
    found = _sigtimedwait(wanted, 0)  # type: ignore[misc]
    if found is not None or timeout == 0:
        return found
    fd = _signal_descriptor(wanted)
    try:
        return _await_pending(wanted, fd, None if timeout is None else time.monotonic() + timeout)
    finally:
        if fd is not None:
            _os.close(fd)


def _await_pending(wanted: set[int], fd: int | None, end: float | None) -> Any:
    pause = _LOOK_SECONDS_WITHOUT if fd is None else _LOOK_SECONDS
    while True:
        left = pause if end is None else min(pause, max(end - time.monotonic(), 0))
        if fd is None:
            _native.sleep(left)
        else:
            _native.wait_fd(fd, "r", left)
        found = _sigtimedwait(wanted, 0)  # type: ignore[misc]
        if found is not None or (end is not None and time.monotonic() >= end):
            return found


def sigwaitinfo(sigset: Iterable[int], /) -> Any:
    """As signal.sigwaitinfo."""
    return sigtimedwait(sigset, None)


def sigwait(sigset: Iterable[int], /) -> signal.Signals | int:
    """As signal.sigwait."""
    number: int = sigtimedwait(sigset, None).si_signo
    try:
        return signal.Signals(number)
    except ValueError:
        return number


# ---- any that is handled --------------------------------------------------------------------------------------------


class _Arrivals:
    """While somebody pauses the program's wake-up descriptor is ours; what comes for its own is handed on."""

    def __init__(self) -> None:
        """Nobody does."""
        self._pausing = 0

    def wait(self) -> None:
        """Parks until the handler of a signal has been called."""
        if self._pausing == 0:
            self._begin()
        self._pausing += 1
        try:
            _native.wait_fd(self._reading.fileno(), "r")
        finally:
            self._pausing -= 1
            if self._pausing == 0:
                self._end()

    def _begin(self) -> None:
        self._reading, self._writing = socket.socketpair()
        self._reading.setblocking(False)
        self._writing.setblocking(False)
        self._former = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)

    def _end(self) -> None:
        present = signal.set_wakeup_fd(self._former)
        if present != self._writing.fileno():
            signal.set_wakeup_fd(present)
        elif self._former >= 0:
            self._hand_on()
        self._reading.close()
        self._writing.close()

    def _hand_on(self) -> None:
        try:
            numbers = self._reading.recv(4096)
            os.write(self._former, numbers)
        except OSError:
            pass  # nothing has come, or there is no room


_arrivals = _Arrivals()


def pause() -> None:
    """As signal.pause; whoever's wait a handler ends."""
    if not _native.is_home() or _native.is_forked():
        _pause()  # type: ignore[misc]
    else:
        _arrivals.wait()


# ---- handlers -------------------------------------------------------------------------------------------------------

_set, _get = signal.signal, signal.getsignal


class _OfMain:
    """A handler: what it raises is raised in the main thread's first goroutine, whichever runs when the signal comes.

    Else sys.exit() in a handler would end no more than the thread that happens to run.
    """

    def __init__(self, handler: Callable[[int, FrameType | None], Any]) -> None:
        """handler: the program's."""
        self.handler = handler

    def __call__(self, number: int, frame: FrameType | None, /) -> None:
        """Who is interrupted goes on, once the first had its turn."""
        try:
            self.handler(number, frame)
        except _native.Cancelled:
            raise
        except BaseException as error:
            if _native.current() is None:
                raise
            _native.interrupt_first(error)
            with _native.Token(shield=True):
                _native.yield_()


def _own(handler: Any) -> Any:
    return handler.handler if isinstance(handler, _OfMain) else handler


def set_handler(signalnum: int, handler: Any) -> Any:
    """As signal.signal."""
    return _own(_set(signalnum, _OfMain(handler) if callable(handler) else handler))


def get_handler(signalnum: int) -> Any:
    """As signal.getsignal."""
    return _own(_get(signalnum))


def _change_all(change: Callable[[Any], Any]) -> None:
    for number in signal.valid_signals():
        handler = _get(number)
        if callable(handler):
            _set(number, change(handler))


def install(registry: Registry) -> None:
    """Replaces sigwait and its like, where the system has them, and how handlers are set."""
    registry.replace(signal, "signal", set_handler)
    registry.replace(signal, "getsignal", get_handler)
    _change_all(_OfMain)
    registry.on_undo(lambda: _change_all(_own))
    if _pause is not None:
        registry.replace(signal, "pause", pause)
    if _sigtimedwait is None:
        return
    registry.replace(signal, "sigtimedwait", sigtimedwait)
    registry.replace(signal, "sigwaitinfo", sigwaitinfo)
    registry.replace(signal, "sigwait", sigwait)
