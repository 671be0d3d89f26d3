"""Goroutines that run at once."""

from collections.abc import Callable
from typing import Any

import ecru


class Running:
    """Called by several at once: each waits until `expected` are inside (fewer hang); most: how many ever were."""

    def __init__(self, expected: int) -> None:
        """expected: what the number of calls is a multiple of."""
        self._together = ecru.Barrier(expected, timeout=30)
        self._inside = 0
        self.most = 0

    def __call__(self) -> None:
        """One run."""
        self._inside += 1
        self.most = max(self.most, self._inside)
        self._together.wait()
        ecru.yield_()
        self._inside -= 1


def results(f: Callable[[Any], Any], *arguments: Any) -> list[Any]:
    """What f returns for each argument, all at once."""
    tasks = [ecru.spawn(f, argument) for argument in arguments]
    return [task.result() for task in tasks]
