"""time.sleep parks the goroutine."""

from __future__ import annotations

import time

from ecru import _native
from ecru._patch._registry import Registry


def sleep(seconds: float, /) -> None:
    """Parks for at least so many seconds; 0 lets others go first."""
    if seconds is None:
        raise TypeError("'NoneType' object cannot be interpreted as an integer")
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    if seconds == 0:
        _native.yield_()
    else:
        _native.sleep(seconds)


def install(registry: Registry) -> None:
    """Replaces time.sleep."""
    registry.replace(time, "sleep", sleep)
