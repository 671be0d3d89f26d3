"""Goroutines for Python: plain functions, run concurrently without a colour.

`go(f, x)` starts f(x); whatever waits (a channel, a lock, a sleep, a socket of ecru.net) parks its goroutine, and
another one runs. Errors, cancellation and time limits go with the blocks they stand in: TaskGroup, timeout, shield.
Times are seconds everywhere; instants are those of now().
"""

import os as _os
import sys as _sys
from importlib import import_module as _import_module
from threading import local as Local
from typing import TYPE_CHECKING as _TYPE_CHECKING

if (_backend := _os.environ.get("ECRU_PYTHON_BACKEND", "")) not in ("", "stacks", "threads"):
    raise ImportError(f'ECRU_PYTHON_BACKEND: "stacks" or "threads", not "{_backend}"')
if _backend == "stacks" and _sys.implementation.name != "cpython":
    raise ImportError('ECRU_PYTHON_BACKEND: "stacks" needs CPython')
if _backend == "threads" or _sys.implementation.name != "cpython":
    # ecru._native is a module in C that switches CPython's stacks. Elsewhere goroutines are threads.
    globals()["_native"] = _sys.modules["ecru._native"] = _import_module("ecru._threads")

from ecru import operators
from ecru._blocking import blocking_threads, run_blocking, set_blocking_threads
from ecru._chan import Chan, ChanClosed, Receiver, Sender
from ecru._group import TaskGroup, as_completed, gather, map, race
from ecru._home import DeadlockError, dump, excepthook, run, signal_token
from ecru._native import Cancelled, Lock, Task, Token, check, current, go, implementation, sleep, spawn, version, yield_
from ecru._native import Error as EcruError
from ecru._on_demand import stand_in as _stand_in
from ecru._patch import EarlyImportWarning, get_original, patch, patched
from ecru._patch._imports import when_imported as _when_imported
from ecru._scope import DeadlineExceeded, Scope, deadline, move_on_after, shield, timeout
from ecru._select import Selected, done, recv, select, send, wait_fd
from ecru._sync import (
    Barrier,
    BoundedSemaphore,
    BrokenBarrierError,
    Condition,
    Event,
    LifoQueue,
    Once,
    PriorityQueue,
    Queue,
    RLock,
    Semaphore,
    ShutDown,
    WaitGroup,
)
from ecru._time import Ticker, after, now
from ecru._workers import set_workers, workers

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "Cancelled",
    "Chan",
    "ChanClosed",
    "Condition",
    "DeadlineExceeded",
    "DeadlockError",
    "EarlyImportWarning",
    "EcruError",
    "Event",
    "LifoQueue",
    "Local",
    "Lock",
    "Once",
    "PriorityQueue",
    "Queue",
    "RLock",
    "Receiver",
    "Scope",
    "Selected",
    "Semaphore",
    "Sender",
    "ShutDown",
    "Task",
    "TaskGroup",
    "Ticker",
    "Token",
    "WaitGroup",
    "__version__",
    "after",
    "as_completed",
    "blocking_threads",
    "check",
    "current",
    "deadline",
    "done",
    "dump",
    "excepthook",
    "gather",
    "get_original",
    "go",
    "implementation",
    "map",
    "move_on_after",
    "now",
    "operators",
    "patch",
    "patched",
    "race",
    "recv",
    "run",
    "run_blocking",
    "select",
    "send",
    "set_blocking_threads",
    "set_workers",
    "shield",
    "signal_token",
    "sleep",
    "spawn",
    "timeout",
    "wait_fd",
    "workers",
    "yield_",
]
__version__ = version()
if implementation == "stacks":  # greenlet counts by threads, and would crash
    from ecru._native import heed_greenlets as _heed_greenlets

    _when_imported("greenlet", lambda greenlet: _heed_greenlets(greenlet._C_API))

for _one in list(globals().values()):  # tracebacks show the names programs know
    if isinstance(_one, type) and issubclass(_one, BaseException) and _one.__module__.startswith("ecru."):
        _one.__module__ = "ecru"
del _one

if _TYPE_CHECKING:
    from ecru import aio as aio
    from ecru import futures as futures
    from ecru import net as net
    from ecru import testing as testing
    from ecru import wsgi as wsgi
else:
    for _one in "aio", "futures", "net", "testing", "wsgi":
        globals()[_one] = _stand_in(__name__, _one)
    del _one
