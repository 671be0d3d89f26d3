"""signal: waiting for signals that are blocked. Handlers run in the main thread's first goroutine as ever."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from typing import Any

from ecru import _native
from ecru._patch._registry import Registry

_LOOK_SECONDS = 0.005  # nothing tells of a signal that only this thread may take
_sigtimedwait = getattr(signal, "sigtimedwait", None)


def sigtimedwait(sigset: Iterable[int], timeout: float | None, /) -> Any:
    """As signal.sigtimedwait; timeout None: no limit."""
    if timeout is not None and timeout < 0:
        raise ValueError("timeout must be non-negative")
    wanted = set(sigset)
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        found = _sigtimedwait(wanted, 0)  # type: ignore[misc]
        if found is not None or (end is not None and time.monotonic() >= end):
            return found
        _native.sleep(_LOOK_SECONDS)


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


def install(registry: Registry) -> None:
    """Replaces sigwait and its like, where the system has them."""
    if _sigtimedwait is None:
        return
    registry.replace(signal, "sigtimedwait", sigtimedwait)
    registry.replace(signal, "sigwaitinfo", sigwaitinfo)
    registry.replace(signal, "sigwait", sigwait)
