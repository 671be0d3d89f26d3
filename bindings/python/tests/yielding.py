"""Tests yield until the others wait. Where those run on several workers that takes more than one turn."""

import threading
import time

import ecru

SECONDS = 2  # that those are waited for who neither wait nor end

_yield_alone = ecru._native.yield_


def _have_all_waited() -> bool:
    return all(goroutine["state"] == "waiting" for goroutine in ecru._home._states()["goroutines"])


def _yield() -> None:
    _yield_alone()
    end = time.monotonic() + SECONDS
    while ecru.current() is None and threading.current_thread() is threading.main_thread():
        if _have_all_waited() or time.monotonic() > end:
            return
        _yield_alone()


def begin() -> None:
    """Has yield_() of the main thread's first do so, if there are several workers."""
    if ecru.workers() > 1:
        ecru.yield_ = ecru._native.yield_ = _yield
