"""multiprocessing: its semaphores and connections park. Children that are forked have threads only."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ecru import _native
from ecru._patch import _os
from ecru._patch._imports import after_import
from ecru._patch._registry import Registry

_FIRST_SECONDS, _MOST_SECONDS = 0.0001, 0.01  # between looks at a semaphore of other processes: nothing tells of it


def _acquiring(semaphore: Any) -> Callable[..., bool]:
    def acquire(block: bool = True, timeout: float | None = None) -> bool:
        """As the semaphore's own."""
        if semaphore.acquire(False):
            return True
        end = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_SECONDS
        while block and (end is None or time.monotonic() < end):
            _native.sleep(pause if end is None else max(min(pause, end - time.monotonic()), 0))
            pause = min(pause * 2, _MOST_SECONDS)
            if semaphore.acquire(False):
                return True
        return False

    return acquire


def _make_methods(self: Any) -> None:
    self.acquire = _acquiring(self._semlock)
    self.release = self._semlock.release


def _enter(self: Any) -> bool:
    entered: bool = self.acquire()
    return entered


def install(registry: Registry) -> None:
    """Changes them when they are imported."""

    def patch_synchronize(module: ModuleType) -> None:
        registry.replace(module.SemLock, "_make_methods", _make_methods)
        registry.replace(module.SemLock, "__enter__", _enter)

    def patch_connection(module: ModuleType) -> None:
        registry.replace(module.Connection, "_read", staticmethod(_os.read))
        registry.replace(module.Connection, "_write", staticmethod(_os.write))

    after_import(registry, "multiprocessing.synchronize", patch_synchronize)
    after_import(registry, "multiprocessing.connection", patch_connection)
