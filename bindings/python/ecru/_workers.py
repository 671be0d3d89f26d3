"""Workers: the threads that goroutines started by the main thread's run on, where the interpreter has no GIL.

They are started with the first goroutine and end with the main thread's host (_home.py). native/workers.c says which
goroutine runs where. A worker's own code is the first goroutine of its thread, and sleeps until the end.
"""

from __future__ import annotations

import _thread
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ecru import _native
from ecru._native import Cancelled, Token

_start_joinable_thread: Callable[..., Any] | None = getattr(_thread, "start_joinable_thread", None)
_allocate_lock = _thread.allocate_lock
_MOST = 63
_WHY_ONE = (
    "the interpreter has a GIL: goroutines of Python run on one thread"
    if _native.implementation == "stacks"
    else "each goroutine is a thread of its own: there are no workers"
)

_threads: list[Any] = []  # their handles
_stop: Token | None = None  # fires when they are to end


def _in_parallel() -> bool:
    """Whether the interpreter runs several threads at once, and a goroutine has one only by its worker."""
    gil: Callable[[], bool] | None = getattr(sys, "_is_gil_enabled", None)
    return gil is not None and not gil() and _native.implementation == "stacks"


def _default() -> int:
    return min(int(os.environ.get("ECRU_WORKERS") or 0) or _native.maxprocs(), _MOST)


_parallel = _in_parallel()  # a module imported later may bring the GIL back: they go on, taking turns
_count = _default() if _parallel else 1


def workers() -> int:
    """How many threads goroutines run on. 1, as with every interpreter that has a GIL: the thread that starts them.

    1 also where goroutines are threads (ecru.implementation).
    """
    return _count


def set_workers(count: int | None = None) -> None:
    """Has goroutines that are started from now on run on so many threads, 63 at most; None: as many as there are
    processors, or as ECRU_WORKERS says.

    Goroutines stay on the thread they began on. ValueError: out of range; RuntimeError: more than one, and the
    interpreter has a GIL, or goroutines are threads.
    """
    global _count
    wanted = (_default() if _in_parallel() else 1) if count is None else count
    if not 1 <= wanted <= _MOST:
        raise ValueError(f"workers: 1 to {_MOST}, not {wanted}")
    if wanted > 1 and not _in_parallel():
        raise RuntimeError(_WHY_ONE)
    _count = wanted
    if _parallel:
        _have(wanted)


def _have(count: int) -> None:
    """Those there are take goroutines; what is lacking is started with the next one."""
    there = min(count, len(_threads))
    _native.open_workers(there if count > 1 else 0)
    _native.want_workers(count if 1 < count != there else 0)


def _grow(count: int) -> None:
    global _stop
    start = _start_joinable_thread
    assert start is not None
    if _stop is None:
        _stop = Token(shield=True)
    while len(_threads) < count:
        begun, errors = _allocate_lock(), list[BaseException]()
        begun.acquire()
        thread = start(lambda begun=begun, errors=errors, stop=_stop: _work(begun, errors, stop), daemon=True)
        begun.acquire()  # blocks the thread: to start a goroutine does not park
        for error in errors:
            thread.join()
            raise error
        _threads.append(thread)
    _native.open_workers(count)


def _work(begun: _thread.LockType, errors: list[BaseException], stop: Token) -> None:
    try:
        _native.enter_worker()
    except BaseException as error:
        errors.append(error)
        return
    finally:
        begun.release()
    with suppress(Cancelled), stop:
        _native.sleep(None)
    pause = 0.0
    while not _native.leave_worker():
        _native.sleep(pause)
        pause = min(0.01, pause + 0.0001)


def end_workers() -> None:
    """All their goroutines have ended, and nobody starts another. They are there again for the next one."""
    global _stop
    if not _parallel:
        return
    _native.open_workers(0)
    if _stop is not None:
        _stop.cancel()
    while _threads:
        _threads.pop().join()
    _stop = None
    _have(_count)


def _forget() -> None:
    """A forked child."""
    global _stop
    _threads.clear()
    _stop = None
    _have(_count)


if _parallel:
    _native.on_lacking(_grow)
    _have(_count)
    os.register_at_fork(after_in_child=_forget)
