"""multiprocessing: its semaphores and connections park. Children that are forked have threads only."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from ecru import _native
from ecru._blocking import run_apart
from ecru._patch import _os
from ecru._patch._imports import after_import
from ecru._patch._registry import Registry
from ecru._patch._select import Selector

_FIRST_SECONDS, _MOST_SECONDS = 0.0001, 0.01  # between looks at a semaphore, before it is worth a thread
_TURN_SECONDS = 1.0  # after which a thread looks whether it is still wanted


def _left(end: float | None) -> float | None:
    return None if end is None else max(end - time.monotonic(), 0)


def _await_release(semaphore: Any, end: float | None) -> None:
    """Parks until another process may have let go of it: nothing but waiting tells, which a thread does."""
    wanted = True

    def wait() -> None:
        while wanted and (end is None or time.monotonic() < end):
            if semaphore.acquire(True, _TURN_SECONDS if end is None else min(_TURN_SECONDS, _left(end) or 0)):
                semaphore.release()
                break

    try:
        run_apart(wait)
    finally:
        wanted = False


def _take(semaphore: Any, end: float | None) -> bool:
    pause = _FIRST_SECONDS
    while not semaphore.acquire(False):
        left = _left(end)
        if left == 0:
            return False
        if pause <= _MOST_SECONDS:
            _native.sleep(pause if left is None else min(pause, left))
            pause *= 2
        else:
            _await_release(semaphore, end)
    return True


class _Parking:
    """How a goroutine gets a semaphore: those of this process one after the other."""

    def __init__(self, semaphore: Any, recursive: bool) -> None:
        """recursive: it is its owner's alone, who may take it again."""
        self._semaphore = semaphore
        self._recursive = recursive
        self._turn: Any = _native.RLock() if recursive else _native.Lock()

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """As the semaphore's own."""
        end = None if timeout is None else time.monotonic() + timeout
        if not self._recursive and self._semaphore.acquire(False):
            return True
        left = _left(end) if block else 0
        if not (self._turn.acquire(False) or (left != 0 and self._turn.acquire(timeout=-1 if left is None else left))):
            return False
        taken = False
        try:
            taken = self._semaphore.acquire(False) or (block and _take(self._semaphore, end))
        finally:
            if not (taken and self._recursive):
                self._turn.release()
        return taken

    def release(self) -> None:
        """As the semaphore's own."""
        if self._recursive and not self._turn._is_owned():
            raise AssertionError("attempt to release recursive lock not owned by thread")
        self._semaphore.release()
        if self._recursive:
            self._turn.release()

    def after_fork(self) -> None:
        """In a child nobody has it, nor waits for it."""
        self._turn._at_fork_reinit()


def _enter(self: Any) -> bool:
    entered: bool = self.acquire()
    return entered


def _exit(self: Any, *_: object) -> None:
    self.release()


def _with_default(method: FunctionType, call: Callable[..., Any]) -> FunctionType:
    """The method with another call of the system's, which is its last parameter."""
    changed = FunctionType(method.__code__, method.__globals__, method.__name__, (call,), method.__closure__)
    return functools.update_wrapper(changed, method)  # type: ignore[return-value]


def install(registry: Registry) -> None:
    """Changes them when they are imported."""

    def patch_synchronize(module: ModuleType) -> None:
        names: Any = module

        def make_methods(self: Any) -> None:
            parking = _Parking(self._semlock, self._semlock.kind == names.RECURSIVE_MUTEX)
            self.acquire, self.release = parking.acquire, parking.release
            names.util.register_after_fork(self, lambda _: parking.after_fork())

        registry.replace(module.SemLock, "_make_methods", make_methods)
        registry.replace(module.SemLock, "__enter__", _enter)
        registry.replace(module.SemLock, "__exit__", _exit)

    def patch_connection(module: ModuleType) -> None:
        for name, call in (("_recv", _os.read), ("_send", _os.write), ("_close", _os.close)):
            registry.replace(module.Connection, name, _with_default(getattr(module.Connection, name), call))
        registry.replace(module.Connection, "_read", staticmethod(_os.read))
        registry.replace(module.Connection, "_write", staticmethod(_os.write))
        registry.replace_here(module, "_WaitSelector", Selector)

    after_import(registry, "multiprocessing.synchronize", patch_synchronize)
    after_import(registry, "multiprocessing.connection", patch_connection)
