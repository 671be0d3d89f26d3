"""ecru._native where goroutines cannot switch stacks: each one is an operating system's thread (ECRU_OWN_THREAD).

The same names as in the extension module, written in Python over the C interface (ecru._abi). A wait parks the thread
inside the runtime, with the interpreter's lock given back: channels, select, tokens, timers, I/O, dumps and the
detection of deadlocks are the runtime's own, as are their rules. What differs comes from the threads alone:

    - goroutines interleave anywhere, not only where they wait: what they share needs a lock, as with threads
    - what blocks its thread blocks nobody else: ecru.patch() has nothing to do
    - one costs a thread, to be started and to be kept, and a switch is one of the system's

A greenlet costs far less (docs/python/pypy.md has figures), but a C call cannot park one: all that waits would have to
be written anew in Python, and what blocks would block everybody. Switching C stacks below the interpreter, as the
extension module does on CPython, is out of the question with PyPy: its collector finds roots on a stack of its own.
"""

from ecru import _abi
from ecru._threads._base import Cancelled, Closed, Error, wait_as
from ecru._threads._chan import Chan, select
from ecru._threads._crew import Crew
from ecru._threads._home import (
    cancel_home,
    dump_into,
    end_home_in,
    enter_home,
    goroutine_count,
    goroutines,
    has_shut,
    home_has_ended,
    home_id,
    home_token,
    interrupt_first,
    interrupt_firsts,
    is_forked,
    is_home,
    leave_home,
    on_deadlock,
    on_entered,
    restart_in_child,
    shut_down,
    start_seeded,
)
from ecru._threads._io import (
    IO,
    DatagramIO,
    Stream,
    dial,
    forget_fd,
    listen,
    resolve,
    wait_fd,
    wait_fds,
)
from ecru._threads._lock import Lock, Mutex, RLock
from ecru._threads._queue import Queue
from ecru._threads._semaphore import BoundedSemaphore, Semaphore
from ecru._threads._task import Task, current, forget_goroutines, go, goroutine_id, report_failed, sleep, spawn, yield_
from ecru._threads._token import Token, check

__all__ = [
    "IO",
    "BoundedSemaphore",
    "Cancelled",
    "Chan",
    "Closed",
    "Crew",
    "DatagramIO",
    "Error",
    "Lock",
    "Mutex",
    "Queue",
    "RLock",
    "Semaphore",
    "Stream",
    "Task",
    "Token",
    "after_fork",
    "cancel_home",
    "check",
    "current",
    "dial",
    "dump_into",
    "end_home_in",
    "enter_home",
    "forget_fd",
    "go",
    "goroutine_count",
    "goroutine_id",
    "goroutines",
    "has_shut",
    "home_has_ended",
    "home_id",
    "home_token",
    "implementation",
    "interrupt_first",
    "interrupt_firsts",
    "is_forked",
    "is_home",
    "leave_home",
    "listen",
    "on_deadlock",
    "on_entered",
    "report_failed",
    "resolve",
    "select",
    "shut_down",
    "sleep",
    "spawn",
    "start_seeded",
    "version",
    "wait_as",
    "wait_fd",
    "wait_fds",
    "yield_",
]

implementation = "threads"


def version() -> str:
    """The runtime's version as "major.minor.patch"."""
    text: bytes = _abi.ffi.string(_abi.lib.ecru_version())
    return text.decode()


def after_fork() -> None:
    """In a forked child: the runtime starts anew at the next use."""
    if restart_in_child():
        forget_goroutines()
