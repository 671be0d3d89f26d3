"""What arguments are to be, in words that name them."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import index
from typing import Any, ParamSpec, SupportsFloat, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

_COROUTINE = 0x80  # inspect.CO_COROUTINE; inspect takes long to import


def plain(f: Callable[P, T]) -> Callable[P, T]:
    """As go and spawn have it. TypeError: a coroutine function, or none."""
    if not callable(f):
        raise TypeError(f"a callable is needed, not {type(f).__name__}")
    if getattr(getattr(f, "__code__", None), "co_flags", 0) & _COROUTINE:
        raise TypeError(f"a plain function is needed, not {f!r}: ecru.aio.run(f(...)) runs a coroutine")
    return f


def whole(name: str, value: Any, least: int, instead: str = "") -> int:
    """The whole number it is. TypeError: it is none; ValueError: it is less. instead: what else may be given."""
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{name}: a whole number{instead}, not {value!r}") from None
    if number < least:
        raise ValueError(f"{name}: {least} or more{instead}, not {value!r}")
    return number


def limit(value: Any, none: str = "no limit") -> int | None:
    """How many at once; None: what `none` says."""
    return None if value is None else whole("limit", value, 1, f", or None for {none}")


def seconds(name: str, value: SupportsFloat) -> float:
    """A time. TypeError: no number; ValueError: not a number."""
    try:
        unknown = math.isnan(value)
    except TypeError:
        raise TypeError(f"{name}: a number of seconds, not {value!r}") from None
    if unknown:
        raise ValueError(f"{name}: not a number")
    return float(value)
