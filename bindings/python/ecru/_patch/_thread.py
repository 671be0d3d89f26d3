"""Threads are goroutines: the primitives of _thread, and what threading makes of them.

On a thread that runs no goroutines everything is as it was: it starts threads, and takes part in locks as a thread.
"""

from __future__ import annotations

import _thread
import contextvars
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from ecru import _native
from ecru._patch import _locks
from ecru._patch._registry import Registry

_start_native_thread = _thread.start_new_thread
_native_ident = _thread.get_ident
_running: set[int] = set()  # identities
_sentinels: dict[int, _locks.Sentinel] = {}
_root: _native.Token | None = None
os.register_at_fork(after_in_child=_running.clear)  # who has forked is the main thread there


def _run(function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    me = _native.get_ident()
    _running.add(me)
    try:
        function(*args, **kwargs)
    except SystemExit:
        pass
    except _native.Cancelled:
        pass
    except BaseException as error:
        _report(error, function)
    finally:
        _running.discard(me)
        sentinel = _sentinels.pop(me, None)
        if sentinel is not None:
            sentinel.release()


def count() -> int:
    """How many threads run, without the main one."""
    return len(_running)


def _report(error: BaseException, function: Callable[..., object]) -> None:
    about = type("UnraisableHookArgs", (), {})()
    about.exc_type, about.exc_value, about.exc_traceback = type(error), error, error.__traceback__
    about.err_msg, about.object = "Exception ignored in thread started by", function
    if sys.version_info >= (3, 13):
        about.err_msg, about.object = f"{about.err_msg} {function!r}", None
    sys.unraisablehook(about)


def _spawn(function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    with _root if _root is not None else _native.Token(shield=True):  # it outlives the scope it was started in
        return _native.identity_of(_native.spawn(_run, function, args, kwargs).id)


def start_new_thread(
    function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None, /
) -> int:
    """Starts function(*args, **kwargs) in a goroutine; on a thread that runs none, in a thread. Returns its ident."""
    if not callable(function):
        raise TypeError("first arg must be callable")
    if not isinstance(args, tuple):
        raise TypeError("2nd arg must be a tuple")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise TypeError("optional 3rd arg must be a dictionary")
    if not _runs_goroutines():
        return _start_native_thread(_run, (function, args, kwargs or {}))
    return contextvars.Context().run(_spawn, function, args, kwargs or {})


def _runs_goroutines() -> bool:
    return _native.is_home() or (not _native.is_forked() and _native_ident() == threading.main_thread().ident)


def _set_sentinel() -> _locks.Sentinel:
    """What threading acquires, and what is released when the calling thread ends."""
    sentinel = _sentinels[_native.get_ident()] = _locks.Sentinel()
    return sentinel


def _wait_for_tstate_lock(self: Any, block: bool = True, timeout: float = -1) -> None:
    """Up to 3.12, of threading.Thread. If Ctrl-C ends it the program's end does not wait for the thread, either."""
    sentinel = self._tstate_lock
    if sentinel is None:
        return
    try:
        ended = sentinel.wait(block, timeout)
    except KeyboardInterrupt:
        known: Any = threading
        with known._shutdown_locks_lock:
            known._shutdown_locks.discard(sentinel)
        raise
    if ended:
        self._stop()


class _Started(threading.Event):
    """Thread._started: once it is set, who has started the thread goes on first. The thread may compute for long."""

    def set(self) -> None:
        super().set()
        if _native.current() is not None:
            with _native.Token(shield=True):
                _native.yield_()


def _start(original: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @functools.wraps(original)
    def start(self: threading.Thread) -> None:
        thread: Any = self
        if thread._initialized and not thread._started.is_set():
            thread._started = _Started()
        original(self)

    return start


class _ForgetOnEnd:
    """Kept in the goroutine's own storage, which goes with it: then threading forgets it, too."""

    def __init__(self, thread: threading.Thread) -> None:
        self._ident = thread.ident

    def __del__(self) -> None:
        active = threading._active  # type: ignore[attr-defined]
        if isinstance(active.get(self._ident), threading._DummyThread):
            del active[self._ident]


_own = threading.local()


def _dummy_init(original: Callable[..., None]) -> Callable[..., None]:
    def __init__(self: threading.Thread) -> None:
        original(self)
        _own.forget = _ForgetOnEnd(self)

    return __init__


def _without_cancelled(
    original: Callable[[], Callable[[threading.Thread], None]],
) -> Callable[[], Callable[[threading.Thread], None]]:
    """Threads that are cancelled, at the end of the program, are no news."""

    def make_invoke_excepthook() -> Callable[[threading.Thread], None]:
        invoke = original()

        def invoke_excepthook(thread: threading.Thread) -> None:
            if not isinstance(sys.exc_info()[1], _native.Cancelled):
                invoke(thread)

        return invoke_excepthook

    return make_invoke_excepthook


def _as_condition(original: Callable[..., bool]) -> Callable[..., bool]:
    """Dumps would say that it waits for a lock, of which nobody has heard."""

    @functools.wraps(original)
    def wait(self: threading.Condition, timeout: float | None = None) -> bool:
        return _native.wait_as("condition", original, self, timeout)

    return wait


def _of_the_thread(original: Callable[..., Any]) -> Callable[..., Any]:
    """For what asks the system about a thread: of a goroutine it is the one that runs it."""

    @functools.wraps(original)
    def of_the_thread(thread_id: int, *args: Any) -> Any:
        return original(_native.thread_of(thread_id), *args)

    return of_the_thread


def _in_no_thread(original: Callable[..., Any]) -> Callable[..., Any]:
    """For what is the main thread's alone; it is how libraries find out whether they run there."""

    @functools.wraps(original)
    def in_no_thread(*args: Any, **kwargs: Any) -> Any:
        if _native.get_ident() in _running:
            raise ValueError(f"{original.__name__} only works in main thread of the main interpreter")
        return original(*args, **kwargs)

    return in_no_thread


def install(registry: Registry) -> None:
    """Replaces the primitives of _thread and threading's own names for them."""
    global _root
    _root = _native.Token()
    registry.replace(_thread, "start_new_thread", start_new_thread)
    registry.replace(_thread, "start_new", start_new_thread)
    registry.replace(_thread, "allocate_lock", _native.Lock)
    registry.replace(_thread, "allocate", _native.Lock)
    registry.replace(_thread, "RLock", _native.RLock)
    registry.replace(_native.RLock, "__module__", "_thread")  # trio takes no other: one in Python would not do
    registry.replace(_thread, "LockType", _native.Lock)
    registry.replace(_thread, "get_ident", _native.get_ident)
    registry.replace_if_there(_thread, "lock", _native.Lock)
    registry.replace_if_there(_thread, "_set_sentinel", _set_sentinel)
    registry.replace_if_there(threading.Thread, "_wait_for_tstate_lock", _wait_for_tstate_lock)
    registry.replace(_thread, "_count", count)
    registry.replace(threading, "_CRLock", _native.RLock)
    for module, name in ((signal, "pthread_kill"), (time, "pthread_getcpuclockid")):
        if hasattr(module, name):
            registry.replace(module, name, _of_the_thread(getattr(module, name)))
    for name in ("signal", "set_wakeup_fd"):
        registry.replace(signal, name, _in_no_thread(getattr(signal, name)))
    make: Any = threading._make_invoke_excepthook  # type: ignore[attr-defined]
    registry.replace(threading, "_make_invoke_excepthook", _without_cancelled(make))
    registry.replace(threading.Thread, "start", _start(threading.Thread.start))
    registry.replace(threading.Condition, "wait", _as_condition(threading.Condition.wait))
    if not hasattr(threading, "_DeleteDummyThreadOnDel"):
        init = _dummy_init(threading._DummyThread.__init__)
        registry.replace(threading._DummyThread, "__init__", init)
    if hasattr(_thread, "start_joinable_thread"):
        from ecru._patch import _joinable

        _joinable.install(registry)
    _locks.install(registry)
