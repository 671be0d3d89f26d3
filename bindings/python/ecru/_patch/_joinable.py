"""From 3.13 on threading starts threads by _thread.start_joinable_thread, and joins them by its handles."""

from __future__ import annotations

import _thread
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from ecru import _native
from ecru._blocking import start_thread
from ecru._patch import _locks
from ecru._patch import _thread as _start
from ecru._patch._registry import Registry

_HANDLE = "_os_thread_handle" if sys.version_info >= (3, 14) else "_handle"  # threading.Thread's

_unfinished: set[ThreadHandle] = set()  # of threads the program waits for


class ThreadHandle:
    """What is known of a thread from outside: its identity, and whether it has ended."""

    def __init__(self) -> None:
        """It has yet to start."""
        self.ident: int = 0
        self._starting = False
        self._done = False
        self._process = os.getpid()
        self._end = _locks.Sentinel()
        self._end.acquire()

    def is_done(self) -> bool:
        """Whether it has ended. In a forked child all have but the one that forked."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._done = self._done or (self._starting and self.ident != _native.get_ident())
            if self._done:
                _unfinished.discard(self)
        return self._done

    def _set_done(self) -> None:
        if not self._starting:
            raise RuntimeError("thread not started")
        if self._done:
            return
        self._done = True
        _unfinished.discard(self)
        self._end.release()

    def join(self, timeout: float | None = None) -> None:
        """Parks until it has ended, for timeout seconds at most (None or negative: no limit).

        If Ctrl-C ends that the program's end does not wait for the thread, either, as up to 3.12.
        """
        if self.is_done():
            return
        if not self._starting:
            raise RuntimeError("thread not started")
        if self.ident == _native.get_ident():
            raise RuntimeError("Cannot join current thread")
        try:
            self._end.wait(True, -1 if timeout is None or timeout < 0 else timeout)
        except KeyboardInterrupt:
            _unfinished.discard(self)
            raise


def _run(function: Callable[[], object], handle: ThreadHandle) -> None:
    handle.ident = _native.get_ident()
    try:
        function()
    finally:
        handle._set_done()


def start_joinable_thread(
    function: Callable[[], object], handle: ThreadHandle | None = None, daemon: bool = True
) -> ThreadHandle:
    """Starts function() as _thread.start_new_thread does. daemon: the program's end does not wait for it."""
    if handle is None:
        handle = ThreadHandle()
    if handle._starting:
        raise RuntimeError("thread already started")
    handle._starting = True
    if not daemon:
        _unfinished.add(handle)
    try:
        handle.ident = _start.start_new_thread(_run, (function, handle))
    except BaseException:
        handle._starting = False
        _unfinished.discard(handle)
        raise
    return handle


def make_thread_handle(ident: int) -> ThreadHandle:
    """Of a thread that runs already."""
    handle = ThreadHandle()
    handle.ident = ident
    handle._starting = True
    return handle


def _shutdown_after(original: Callable[[], None]) -> Callable[[], None]:
    def shutdown() -> None:
        """Waits for all threads that are no daemons."""
        while _unfinished:
            next(iter(_unfinished)).join()
        original()

    return shutdown


def _follow_end(thread: Any) -> None:
    """A thread of the system that runs already: a handle that goroutines may wait for follows its own."""
    old, new = getattr(thread, _HANDLE), make_thread_handle(thread.ident)
    setattr(thread, _HANDLE, new)

    def follow() -> None:
        old.join()
        new._set_done()

    start_thread(follow)


def install(registry: Registry) -> None:
    """Replaces what threading knows of handles, and the main thread's."""
    thread: Any = _thread
    main: Any = threading.main_thread()
    registry.replace(thread, "start_joinable_thread", start_joinable_thread)
    registry.replace(thread, "_ThreadHandle", ThreadHandle)
    registry.replace(thread, "_make_thread_handle", make_thread_handle)
    registry.replace(thread, "_shutdown", _shutdown_after(thread._shutdown))
    registry.replace(threading, "_thread_shutdown", thread._shutdown)
    setattr(main, _HANDLE, make_thread_handle(main.ident))
    for running in threading.enumerate():
        if running is not main:
            _follow_end(running)
