"""Calls that nothing can make park go to a thread of the pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ecru import _native
from ecru._blocking import run_blocking

P = ParamSpec("P")
R = TypeVar("R")


def offload(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Calls function(*args, **kwargs) there; in a forked child, which has no goroutines to wait for, here."""
    if _native.is_forked():
        return function(*args, **kwargs)
    return run_blocking(function, *args, **kwargs)
