"""python -m ecru --trace: a line on stderr for each goroutine that begins or ends, and the scheduler's each second."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import ecru
from ecru import _group, _native

_RUNS_THREADS = "ecru._patch._thread"
_OURS = (_group.__name__, _RUNS_THREADS, "ecru._patch._joinable")
_began = time.monotonic()
_write = os.write  # not the patched one, at which who is cancelled would be told so instead


def _tell(text: str) -> None:
    _write(
        2, f"ecru: {(time.monotonic() - _began) * 1000:9.1f} ms  goroutine {_native.goroutine_id()} {text}\n".encode()
    )


def _name(function: Callable[..., object], args: tuple[Any, ...]) -> str:
    """The program's: what a group or a thread runs stands before what it is to run."""
    while getattr(function, "__module__", None) in _OURS and args and callable(args[0]):
        function, args = args[0], args[1] if function.__module__ == _RUNS_THREADS else args[1:]
    function = _of_thread(function)
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"


def _of_thread(function: Callable[..., object]) -> Callable[..., object]:
    """What a threading.Thread is to run, of its own function that does so."""
    thread = getattr(function, "__self__", None)
    if not isinstance(thread, threading.Thread) or function.__name__ != "_bootstrap":
        return function
    target: Callable[..., object] | None = getattr(thread, "_target", None)
    return target or type(thread).run


def _traced(function: Callable[..., object], /, *args: Any, **kwargs: Any) -> object:
    name = _name(function, args)
    _tell(f"begins: {name}")
    began = time.monotonic()
    ending = "returned"
    try:
        return function(*args, **kwargs)
    except BaseException as error:
        ending = f"raised {type(error).__name__}"
        raise
    finally:
        _tell(f"ends: {name} {ending} after {(time.monotonic() - began) * 1000:.1f} ms")


def _starting(start: Callable[..., Any]) -> Callable[..., Any]:
    def started(function: Callable[..., object], /, *args: Any, **kwargs: Any) -> Any:
        return start(_traced, function, *args, **kwargs)

    return started


def _start_in_crew(self: _group.Crew, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> _native.Task[Any]:
    return _native.Crew.start(self, _traced, function, *args, **kwargs)


def start() -> None:
    """Traces what is started from now on. Has to come before the first goroutine for the scheduler's lines."""
    os.environ.setdefault("ECRU_DEBUG", "schedtrace=1000")
    news = {id(old): _starting(old) for old in (_native.spawn, _native.go)}
    for module in [ecru, _native, *(module for name, module in sys.modules.items() if name.startswith("ecru."))]:
        for name, value in list(vars(module).items()):
            if id(value) in news:
                setattr(module, name, news[id(value)])
    _group.Crew.start = _start_in_crew  # type: ignore[assignment, method-assign] # of groups, map, gather, race and operators
