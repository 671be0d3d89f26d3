"""Calls that nothing can make park go to a thread of the pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ecru._blocking import run_blocking

P = ParamSpec("P")
R = TypeVar("R")


def offload(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Calls function(*args, **kwargs) there."""
    return run_blocking(function, *args, **kwargs)
