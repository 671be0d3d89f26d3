"""The life of a host: how a thread begins to run goroutines and ends, and what reaches its first one.

The main thread becomes a host by itself when it first has to do with goroutines; its own code is the first goroutine.
Any other thread is one during `run`. At the end of either everything that is left is cancelled and waited for.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TextIO, TypeVar

from ecru import _import_locks, _native, _workers
from ecru._arguments import plain
from ecru._native import Cancelled, Task, Token

P = ParamSpec("P")
R = TypeVar("R")

GRACE = 10.0
"""Seconds that goroutines are given to end, once they are cancelled because `run` or the program ends."""

FAILURES_TOLD = 10
"""Errors told at the program's end of tasks that are still referred to, and that nobody has asked for."""

GRACE_OF_INTERRUPTED = 1.0
"""The same for one that computes and never waits, once Ctrl-C has ended the program."""


def run(f: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `f(*args, **kwargs)` as the first goroutine of this thread, which runs others meanwhile; what it returns.

    Those left at its end are cancelled and waited for. What has not ended after `GRACE` seconds is reported on stderr;
    then the main thread goes on without it, any other waits on, since a thread cannot end before its goroutines.
    If the thread runs goroutines already, `f` is just called.
    """
    plain(f)
    if _native.is_home():
        return f(*args, **kwargs)
    _native.enter_home()
    _entered()
    try:
        return f(*args, **kwargs)
    finally:
        _leave(isinstance(sys.exc_info()[1], KeyboardInterrupt))


def excepthook(task: Task[object], error: BaseException, /) -> None:
    """Called with an error of a goroutine that nobody has asked for: prints it. `ecru.excepthook` may be replaced; if
    the one in its place fails, that is told by sys.unraisablehook, and this one is called.

    `Cancelled` is none. SystemExit and KeyboardInterrupt are raised in the thread's first goroutine instead.
    """
    if sys.stderr is None:
        return
    told = "".join(traceback.format_exception(error))
    sys.stderr.write(f"Exception in goroutine {task.name}:\n{told}")  # at once: others may have something to tell, too


class DeadlockError(RuntimeError):
    """All goroutines wait and nothing can wake them: raised in the first of a thread. The text has all stacks."""


def dump(file: TextIO | None = None) -> None:
    """Write to file (None: stderr) all goroutines and the threads that wait in ecru: for what, how long, and where."""
    print(_picture(), file=file or sys.stderr)


def _leave(interrupted: bool) -> None:
    _native.cancel_home()
    in_main = threading.current_thread() is threading.main_thread()
    if signal.getsignal(signal.SIGINT) is _on_sigint:
        _native.end_home_in(min(GRACE, GRACE_OF_INTERRUPTED) if interrupted else GRACE)
    ended = _drain(GRACE)
    _native.end_home_in(None)
    if not ended:
        _report()
        if in_main:
            return
        while not _drain(None):
            pass
    if in_main:
        _workers.end_workers()
    _native.leave_home()
    if in_main:
        _give_sigint_back()


def _drain(seconds: float | None) -> bool:
    """Wait until all goroutines of this thread have ended, for so long; whether they have."""
    end = None if seconds is None else time.monotonic() + seconds
    pause = 0.0
    while _native.goroutine_count() > 0:
        if end is not None and time.monotonic() >= end:
            return False
        _native.sleep(pause)
        pause = min(0.01, pause + 0.0001)
    return True


def _report() -> None:
    count = _native.goroutine_count()
    if sys.stderr is not None:
        print(f"ecru: {count} goroutine{'s' if count != 1 else ''} did not end within {GRACE:g} s", file=sys.stderr)


# ---- all that wait --------------------------------------------------------------------------------------------------


def _states() -> dict[str, list[dict[str, Any]]]:
    """The runtime's dump: what goroutines and threads wait for."""
    with tempfile.TemporaryFile("w+") as file:
        _native.dump_into(file)
        file.seek(0)
        states: dict[str, list[dict[str, Any]]] = json.load(file)
        return states


def _picture() -> str:
    """All goroutines, grouped by what they wait for and where."""
    states = _states()
    known = {goroutine[0]: goroutine for goroutine in _native.goroutines()}
    firsts = {thread_id: (id, frame) for id, thread_id, task, frame in known.values() if task is None}
    frames = sys._current_frames()
    on_goroutines = threads_of(known)
    hidden = set(on_goroutines.values())
    threads = {thread.native_id: thread for thread in threading.enumerate() if thread not in hidden}
    groups: dict[tuple[str, str], list[str]] = {}

    def add(name: str, state: dict[str, Any], frame: FrameType | None) -> None:
        text = "".join(traceback.format_stack(_beyond_us(frame))) if frame else _c_stack(state)
        groups.setdefault((state.get("reason", state["state"]), text), []).append(name + _since(state))

    for state in states["goroutines"]:
        _, _, task, frame = known.get(state["id"], (0, 0, None, None))
        name = name_of(task, on_goroutines.get(state["id"])) if task else f"goroutine {state['id']} {state['name']}"
        add(name.rstrip(), state, frame)
    for state in states["threads"]:
        thread = threads.get(state["thread"])
        name = thread.name if thread else f"thread {state['thread']}"
        frame = frames.get(thread.ident or 0) if thread else None
        if state["thread"] in firsts:
            name, frame = f"first of {name}", firsts[state["thread"]][1]
        add(name, state, frame)
    return "\n".join(f"{', '.join(names)} [{reason}]:\n{text}" for (reason, text), names in groups.items())


def threads_of(ids: Iterable[int]) -> dict[int, threading.Thread]:
    """What threading knows of goroutines, under ecru.patch(), by their ids."""
    if _native.implementation == "threads":
        return {}  # nothing is patched
    threads = {thread.ident: thread for thread in threading.enumerate()}
    known = {id: threads.get(_native.identity_of(id)) for id in ids}
    return {id: thread for id, thread in known.items() if thread is not None}


def name_of(task: Task[Any], thread: threading.Thread | None) -> str:
    """A goroutine's: its thread's, if the program has started it as one."""
    if thread is None or isinstance(thread, threading._DummyThread):
        return task.name
    try:
        return thread.name
    except Exception:  # a class's own, of which anything is to be expected
        return task.name


def _since(state: dict[str, Any]) -> str:
    return f" (for {state['waited_ns'] / 1e9:.3g} s)" if "waited_ns" in state else ""


def _c_stack(state: dict[str, Any]) -> str:
    lines = state.get("backtrace", [state.get("no_backtrace", "no stack is known")])
    return "".join(f"  {line}\n" for line in lines)


def _beyond_us(frame: FrameType) -> FrameType:
    outer: FrameType | None = frame
    while outer and outer.f_globals is globals():
        outer = outer.f_back
    return outer or frame


def _deadlocked() -> None:
    """Raise DeadlockError in the first of each thread, unless it sleeps for ever on purpose or waits for a signal."""
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    if any(callable(handler) and handler not in (_on_sigint, signal.default_int_handler) for handler in handlers):
        return
    waiting = {state["thread"] for state in _states()["threads"] if state.get("reason") not in ("sleep", "forever")}
    firsts = [thread_id for _, thread_id, task, _ in _native.goroutines() if task is None and thread_id in waiting]
    text = f"all goroutines are asleep\n\n{_picture()}" if firsts else ""
    _native.interrupt_firsts({thread_id: DeadlockError(text) for thread_id in firsts})


# ---- signals --------------------------------------------------------------------------------------------------------


class _SignalToken(Token):
    _before: dict[int, Any]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self._restore()
        super().__exit__(kind, error, traceback)

    def _take(self, signals: tuple[int, ...]) -> None:
        self._before = {}
        for number in signals:
            self._before[number] = signal.signal(number, self._fire)

    def _fire(self, number: int, frame: FrameType | None, /) -> None:
        self._restore()
        self.cancel()

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            if signal.getsignal(number) == self._fire:
                signal.signal(number, handler)


def signal_token(*signals: int) -> Token:
    """Return a Token that fires at the first of these signals (none given: SIGINT and SIGTERM); a context manager.

    After that, and at the end of the context, they have their former effect: a second Ctrl-C is a KeyboardInterrupt.
    ValueError outside the main thread.
    """
    token = _SignalToken()
    token._take(signals or (signal.SIGINT, signal.SIGTERM))
    return token


# ---- Ctrl-C ---------------------------------------------------------------------------------------------------------


def _on_sigint(number: int, frame: FrameType | None, /) -> None:
    """Raise KeyboardInterrupt in the main thread's first goroutine; whoever runs at the moment lets it go first."""
    if _native.home_has_ended():
        raise Cancelled("cancelled")
    _native.interrupt_first(KeyboardInterrupt())
    with _native.Token(shield=True):
        _native.yield_()


def _entered() -> None:
    _import_locks.install()
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_sigint)


def _give_sigint_back() -> None:
    if signal.getsignal(signal.SIGINT) is _on_sigint:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# ---- the end --------------------------------------------------------------------------------------------------------


def _end_child(error: BaseException | None) -> None:
    """End this process, a forked child whose goroutine has ended with error."""
    code: object = 0 if error is None else error.code if isinstance(error, SystemExit) else 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit((code or 0) & 0xFF)


def _report_failures() -> None:
    more = _native.report_failed(FAILURES_TOLD)
    if more and sys.stderr is not None:
        print(f"ecru: {more} more goroutines have failed, and nobody has asked for their errors", file=sys.stderr)


def _at_exit() -> None:
    if _native.is_home():
        try:
            _leave(getattr(sys, "last_type", None) is KeyboardInterrupt)
        except KeyboardInterrupt:
            _report()
    _report_failures()
    alone = threading.active_count() == 1  # else the others would be told, and say so
    _native.shut_down(alone)


os.register_at_fork(after_in_child=_native.after_fork)
_native.on_entered(_entered)
_native.on_deadlock(_deadlocked)
atexit.register(_at_exit)
