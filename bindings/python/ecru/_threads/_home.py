"""Homes: the threads in which goroutines are started, and those they have started.

A home's thread is a host of the runtime (ecru/host.h), so that what its first goroutine waits for can be interrupted;
no goroutine is hosted on it.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from _thread import get_ident
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, SupportsFloat

from ecru._abi import ffi, lib
from ecru._threads._base import EINTR, FOREVER, enter_by_itself, fail, here, process
from ecru._threads._token import Token, token_of

if TYPE_CHECKING:
    from ecru._threads._task import Task

_TRIES = 100  # at interrupting who is about to wait
_PAUSE_SECONDS = 0.0001  # between them
_NO_HOME = "this thread runs no goroutines: only the main thread does by itself, others inside ecru.run(f)"
_GUARD_NS = 20_000_000
_THREADS_MAX = 30_000  # what a system without settings of its own has room for


class _State:
    """What is one to a process."""

    def __init__(self) -> None:
        self.homes: dict[int, Home] = {}  # by their thread's native id
        self.mutex = threading.Lock()
        self.is_ours = False  # the runtime was started with our options
        self.forked_in: Any = None  # a child, forked in a home that it has not entered again: that home's token
        self.host_of_threads: Home | None = None  # in which threads that are no homes start goroutines
        self.deadlock_hook: Callable[[], Any] | None = None
        self.entered_hook: Callable[[], Any] | None = None


_state = _State()


class _Guard:
    """Ends a wait of the main thread once, some 20 ms after it began or a signal interrupted it.

    The interpreter notes a signal in C, and calls its handler when the main thread comes to its next bytecode. A signal
    interrupts who is parked; who is on the way there, past the last bytecode, would sleep until something else happens.
    Not again and again: nobody is asleep for ever who is to be woken.
    """

    def __init__(self, host: Any) -> None:
        self._host = host
        self._token: Any = ffi.NULL
        self._registration: Any = ffi.NULL
        self._is_spent = False  # the wait was interrupted, which may have been by this

    def begin(self) -> None:
        """The wait begins."""
        self._is_spent = False
        self._arm()

    def go_on(self) -> None:
        """It does, after an interruption; by a signal if it cannot be by this."""
        if self._is_spent:
            self._arm()
            self._is_spent = False
        else:
            self._is_spent = lib.ecru_token_err(self._token) != 0

    def _arm(self) -> None:
        """Unless it is armed."""
        if self._token != ffi.NULL:
            if lib.ecru_token_err(self._token) == 0:
                return
            self.stop()
        self._token = token_of([lib.ecru_token_background()], lib.ecru_after(_GUARD_NS))
        out = ffi.new("ecru_registration **")
        # As its `fn`: what it returns does not matter.
        interrupt = ffi.cast("ecru_fn", ffi.addressof(lib, "ecru_host_interrupt_other"))
        if lib.ecru_token_on_cancel(self._token, interrupt, self._host, out) == 0:
            self._registration = out[0]

    def stop(self) -> None:
        """Nothing runs for it any more."""
        if self._token != ffi.NULL:  # what a signal's handler raised may have lost the registration: now or never
            lib.ecru_token_cancel(self._token, 0)
        registration, self._registration = self._registration, ffi.NULL  # once, whatever a signal's handler raises
        if registration != ffi.NULL:
            lib.ecru_token_unregister(registration)
        self._token = ffi.NULL


class Home:
    """A thread that starts goroutines, and they."""

    def __init__(self) -> None:
        self.ident = get_ident()
        self.thread_id = threading.get_native_id()
        self.id = 0
        self.goes_on = _state.forked_in is not None
        self.token: Any = None
        self.host: Any = None
        self.pending: BaseException | None = None  # to be raised in the first
        self.is_waiting = False  # the first, in the runtime
        self.is_running = True  # the first, neither there nor in yield_()
        self.guard: _Guard | None = None  # the main thread's
        self.alive: set[int] = set()  # goroutines that have not ended, each by a number of its own
        self.begun: dict[int, tuple[Task[Any], int]] = {}  # task and thread by the goroutine's id
        self.mutex = threading.Lock()

    def become_host(self) -> None:
        """The calling thread's. Raises as its status says."""
        hooks = ffi.new("ecru_host_hooks *")
        hooks.size = ffi.sizeof("ecru_host_hooks")
        # As its `interrupted`: what it returns, and the argument it is given, do not matter to each other.
        hooks.interrupted = ffi.cast("void (*)(void *)", ffi.addressof(lib, "ecru_host_interrupt"))
        _start_runtime()
        lib.ecru_set_deadlock_hook(_tell_deadlock, ffi.NULL)
        if self.goes_on:
            self.token, _state.forked_in = _state.forked_in, None
        else:
            self.token = token_of([lib.ecru_token_background()], FOREVER)
        status = lib.ecru_host_enter(hooks)
        if status == 0 and not self.goes_on:
            status = lib.ecru_token_enter(self.token)
        if status != 0:
            fail(status)
        self.host = lib.ecru_host_here()
        self.id = lib.ecru_id()

    def wait_in_first(self, call: Callable[..., int], arguments: tuple[Any, ...], *, guarded: bool = True) -> int:
        """As wait(). Handlers of signals run between two tries, as the interpreter does it."""
        if self.guard is not None:
            self.guard.begin() if guarded else self.guard.stop()
        while True:
            with self.first_away():
                self.is_waiting = True
                try:
                    self.raise_pending()
                    status = call(*arguments)
                finally:
                    self.is_waiting = False
            if status != EINTR:
                return status
            if self.guard is not None and guarded:
                self.guard.go_on()

    @contextmanager
    def first_away(self) -> Iterator[None]:
        """It lets others run."""
        self.is_running = False
        try:
            yield
        finally:
            self.is_running = True

    def interrupt(self) -> bool:
        """Ends what the first waits for. False: it is about to wait, or shielded."""
        return not self.is_waiting or lib.ecru_host_interrupt_other(self.host) == 1

    def raise_pending(self) -> None:
        """What others have for the first."""
        error, self.pending = self.pending, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # no cycle through the traceback

    def tell_first(self, error: BaseException) -> bool:
        """Has it raised in the first, where it waits or is about to wait next. False: there is something already."""
        with self.mutex:
            if self.pending is not None:
                return False
            self.pending = error
        for _ in range(_TRIES):
            if self.pending is not error or self.interrupt():
                break
            time.sleep(_PAUSE_SECONDS)  # it is on its way to its wait, or shielded
        return True


@ffi.callback("void (void *)")  # type: ignore[untyped-decorator, unused-ignore]
def _tell_deadlock(_: Any) -> None:
    if _state.deadlock_hook is not None and not process.shut:
        _state.deadlock_hook()


def _our_options() -> Any:
    options = ffi.new("ecru_options *")
    options.size = ffi.sizeof("ecru_options")
    options.threads_max = _THREADS_MAX
    options.flags = lib.ECRU_NO_SIGNAL_HANDLERS  # faulthandler's
    return options


lib.ecru_set_default_options(_our_options())  # a lock, say, used where no goroutines run starts it, too


def _start_runtime(seed: int = 0) -> None:
    if _state.is_ours:
        return
    options = _our_options()
    options.seed = seed
    status = lib.ecru_start(options)
    _state.is_ours = status == 0
    if status not in (0, lib.ECRU_EBUSY):
        fail(status)


def enter_home() -> None:
    """This thread starts goroutines from now on."""
    if here.home is not None:
        raise RuntimeError("this thread runs goroutines already")
    if process.shut:
        raise RuntimeError("no goroutines run any more: the interpreter is ending")
    home = Home()
    home.become_host()
    if _is_main_thread():
        home.guard = _Guard(home.host)
    here.home, here.is_first = home, True
    with _state.mutex:
        _state.homes[home.thread_id] = home


def leave_home() -> None:
    """It does no more; all have ended."""
    home = here.home
    if home is None:
        return
    if not here.is_first:
        fail(lib.ECRU_EPERM)
    if home.guard is not None:
        home.guard.stop()
    if not home.goes_on:
        lib.ecru_token_leave()
    status = lib.ecru_host_leave()
    if status != 0:
        fail(status)
    here.home, here.is_first = None, False
    with _state.mutex:
        del _state.homes[home.thread_id]


def _is_main_thread() -> bool:
    return threading.main_thread().ident == get_ident()


def _enter_by_itself() -> None:
    """The main thread becomes a home because it has to do with goroutines."""
    if process.shut or not _is_main_thread():
        return
    enter_home()
    if _state.entered_hook is not None:
        _state.entered_hook()


enter_by_itself.append(_enter_by_itself)


def ensure_home() -> Home:
    """The caller's, which the main thread gets by itself."""
    if here.home is None and not _is_main_thread():
        if _state.host_of_threads is not None:
            return _state.host_of_threads
        raise RuntimeError(_NO_HOME)
    if here.home is None and process.shut:
        enter_home()  # which says so
    if here.home is None:
        _enter_by_itself()
    assert here.home is not None
    return here.home


def adopt_threads() -> None:
    """From now on threads that are no homes start goroutines, too: in the main thread's, which calls."""
    _state.host_of_threads = ensure_home()


def is_home() -> bool:
    """Whether this thread starts goroutines, or is one."""
    return here.home is not None


def home_id() -> int:
    """The native id of the thread that is this goroutine's home; of the calling thread if it is in none."""
    return threading.get_native_id() if here.home is None else here.home.thread_id


def goroutine_count() -> int:
    """Goroutines of this home that have not ended, without its first."""
    return 0 if here.home is None else len(here.home.alive)


def cancel_home() -> None:
    """Cancels all goroutines of this home but the caller."""
    home = here.home
    if home is None:
        return
    old = home.token
    while here.is_first and lib.ecru_token_current() != old and lib.ecru_token_leave() == 0:
        pass  # what the first has left open is over: it is not to reach the end of its home
    entered = lib.ecru_token_current() == old
    outermost = here.is_first and (entered or home.goes_on)
    if outermost:
        home.token = token_of([lib.ecru_token_background()], FOREVER)
    lib.ecru_token_cancel(old, 0)
    if outermost:
        if entered:  # there is none to leave if a goroutine has forked
            lib.ecru_token_leave()
        lib.ecru_token_enter(home.token)


def home_token() -> Token:
    """This home's: fired when all its goroutines are to end. What is started under it outlives the caller's scope."""
    return Token.of_handle(ffi.gc(lib.ecru_token_retain(ensure_home().token), lib.ecru_token_release))


def interrupt_first(error: BaseException, /) -> None:
    """Raises error in the home's first goroutine, at once if it calls, else where it waits."""
    if not isinstance(error, BaseException):
        raise TypeError(f"an exception is needed, not {type(error).__name__}")
    home = here.home
    if home is None or here.is_first or not home.tell_first(error):
        raise error


def interrupt_firsts(errors: dict[int, BaseException], /) -> None:
    """Raises them in the first goroutines of these threads, if they wait. Ids as threading.get_native_id."""
    with _state.mutex:
        homes = list(_state.homes.values())
    for home in homes:
        error = errors.get(home.thread_id)
        if error is not None and home.is_waiting:
            home.tell_first(error)


def goroutines() -> list[tuple[int, int, Task[Any] | None, FrameType | None]]:
    """(id, thread id, Task or None, frame or None) of all that have begun; None: a thread's first."""
    frames = sys._current_frames()
    found: list[tuple[int, int, Task[Any] | None, FrameType | None]] = []
    with _state.mutex:
        homes = list(_state.homes.values())
    for home in homes:
        found.append((home.id, home.thread_id, None, frames.get(home.ident)))
        for id, (task, ident) in list(home.begun.items()):
            found.append((id, home.thread_id, task, frames.get(ident)))
    return found


def dump_into(file: int | IO[Any], /) -> None:
    """What goroutines and threads wait for, as JSON. A descriptor, or what has fileno()."""
    status = lib.ecru_dump(file if isinstance(file, int) else file.fileno(), lib.ECRU_DUMP_JSON)
    if status != 0:
        fail(status)


def start_seeded(seed: int, /) -> None:
    """What is random in the runtime follows from seed, unless it is up already; 0: from nothing."""
    _start_runtime(seed)


def end_home_in(seconds: SupportsFloat | None, /) -> None:
    """Nothing: a goroutine that computes is a thread, which nobody can interrupt."""


def home_has_ended() -> bool:
    """Never."""
    return False


def on_deadlock(hook: Callable[[], Any], /) -> None:
    """hook() is called, in some thread, when all goroutines sleep and nothing can wake them."""
    _state.deadlock_hook = hook


def on_entered(hook: Callable[[], Any], /) -> None:
    """hook() is called when the main thread has become a home by itself."""
    _state.entered_hook = hook


def restart_in_child() -> bool:
    """In a forked child: the runtime starts anew at the next use. False: it was not up."""
    if lib.ecru_restart_in_child() != 0:
        return False
    _state.forked_in = None if here.home is None else here.home.token
    _state.homes, _state.mutex = {}, threading.Lock()
    _state.is_ours = False
    adopts, _state.host_of_threads = _state.host_of_threads is not None, None
    here.home, here.is_first, here.task = None, False, None
    if adopts:
        adopt_threads()
    return True


def is_forked() -> bool:
    """A child after fork, in which the runtime has not started anew yet."""
    return bool(lib.ecru_forget_fd(-1) == lib.ECRU_EFORKED)


def has_shut() -> bool:
    """The interpreter is ending: nothing but the calling thread may run on."""
    return process.shut


def shut_down(stop: bool, /) -> int:
    """No thread becomes a home any more; stop: the runtime's threads end. A status."""
    process.shut = True
    gc.collect()  # tasks nobody has asked for their errors say so
    status: int = lib.ecru_stop() if stop else 0
    return status
