"""The lock inside the objects of this package."""

from __future__ import annotations

from ecru import _native


class Mutex:
    """Guards a few statements that never park: a goroutine finds it taken only by an OS thread the interpreter
    interrupted.

    Taking it is no cancellation point: what it guards must be done also by who is cancelled.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = _native.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(False):
            with _native.Token(shield=True):
                self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def acquire_shielded(lock: _native.Lock) -> None:
    """Takes a lock that may be held for long, whatever happens to the current token."""
    if not lock.acquire(False):
        with _native.Token(shield=True):
            lock.acquire()
