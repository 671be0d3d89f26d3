"""What every language must do: bindings/swig/conformance.txt, which says how it is to be read, through this package."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import ecru

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

TABLE = Path(__file__).resolve().parents[2] / "swig" / "conformance.txt"
BLOCKS = {"go", "in", "under", "timeout", "shield"}

# Where Python has another way, and which.
DIFFERENT = {
    "a_mutex_knows_who_holds_it": "Lock may be released by anybody and RLock be taken again, as threading's",
    "readers_share": "there is no lock for readers",
    "a_semaphore_counts": "permits are taken one at a time, as threading's",
    "join_all_gives_the_first_in_order": "gather() raises all errors, in the order they happened",
    "join_any_gives_the_first_to_succeed": "race() cancels what it has started, not tasks it is given",
    "a_cancelled_group_gives_up": "a group that was cancelled by itself ends without an error",
    "a_child_cannot_wait_for_its_group": "a group ends with its block, in which nobody else stands",
    "a_closed_object_is_an_error": "locks and counters are not closed: they end with the last who has them",
    "closing_an_object_twice_is_closing_it": "locks and counters are not closed",
    "a_ticker_ticks_again": "stop() does not say whether it was the first",
    "nonsense_is_an_invalid_argument": "acquire() takes no number of permits",
}


@dataclass
class Step:
    """One line, and the lines within it."""

    number: int
    words: list[str]
    wanted: str | None
    steps: list[Step] = field(default_factory=list)


def read(text: str) -> Iterator[tuple[str, list[Step]]]:
    """The cases."""
    name, case, opened = "", Step(0, [], None), []
    for number, line in enumerate(text.splitlines(), 1):
        body, _, result = line.partition("#")[0].partition("->")
        words, wanted = body.split(), result.strip() or None
        if not words:
            continue
        if words[0] == "case":
            assert len(opened) <= 1, f"a block without end before line {number}"
            if name:
                yield name, case.steps
            name, case = words[1], Step(number, words, None)
            opened = [case]
        elif words[0] == "end":
            opened.pop().wanted = wanted
        else:
            step = Step(number, words, wanted)
            opened[-1].steps.append(step)
            if words[0] in BLOCKS:
                opened.append(step)
    yield name, case.steps


CASES = dict(read(TABLE.read_text()))


def name_of(error: BaseException) -> str:
    """An error's, as the table has it."""
    if isinstance(error, BaseExceptionGroup):
        return name_of(error.exceptions[0])
    if isinstance(error, ecru.Cancelled):
        return "ECANCELED" if error.reason == "cancelled" else "ETIMEDOUT"
    if isinstance(error, BlockingIOError):
        return "EAGAIN"
    if isinstance(error, OSError) and error.errno is not None:
        return errno.errorcode[error.errno]
    for kind, name in ((ecru.DeadlineExceeded, "ETIMEDOUT"), (ecru.ChanClosed, "ECLOSED"), (ValueError, "EINVAL")):
        if isinstance(error, kind):
            return name
    raise error


def error_of(name: str) -> OSError:
    """The error a step is to fail with."""
    return OSError(getattr(errno, name), name)


def text_of(result: Any) -> str:
    """A result, as the table has it."""
    return "ok" if result is None else str(result).lower() if isinstance(result, bool) else str(result)


class Run:
    """A case: its objects, and what is done with them."""

    def __init__(self) -> None:
        """There are none."""
        self.objects: dict[str, Any] = {}
        self.errors = 0

    def run(self, steps: list[Step]) -> int | None:
        """Does the steps; what a `return` among them gives. An error that was not expected is raised."""
        for step in steps:
            if step.words[0] == "return":
                return int(step.words[1])
            if step.words[0] == "fail":
                raise error_of(step.words[1])
            got = self.outcome(step)
            assert step.wanted in (None, got), f"line {step.number}: {' '.join(step.words)}: {got}, not {step.wanted}"
        return None

    def outcome(self, step: Step) -> str:
        """A step's result."""
        operation, *words = step.words
        try:
            return text_of(getattr(self, f"do_{operation}", self.call)(step, *words))
        except AssertionError:
            raise
        except BaseException as error:
            if step.wanted is None:
                raise
            return name_of(error)

    def call(self, step: Step, name: str, *words: str) -> Any:
        """What is a method of the object."""
        methods = {"lock": "acquire", "unlock": "release", "done_one": "done", "meet": "wait", "join": "result"}
        operation = methods.get(step.words[0], step.words[0])
        result = getattr(self.objects[name], operation)(*map(int, words))
        return None if step.words[0] in ("lock", "meet", "wait") else result

    def do_chan(self, _: Step, name: str, capacity: str, full: Any = "wait") -> None:
        self.objects[name] = ecru.Chan(None if capacity == "inf" else int(capacity), full=full)

    def do_try_recv(self, _: Step, name: str) -> Any:
        value, there = self.objects[name].try_recv()
        return value if there else "none"

    def do_close(self, _: Step, name: str, error: str | None = None) -> None:
        self.objects[name].close(None if error is None else error_of(error))

    def do_closed(self, _: Step, name: str) -> Any:
        return self.objects[name].closed

    def do_len(self, _: Step, name: str) -> int:
        return len(self.objects[name])

    def do_cap(self, _: Step, name: str) -> Any:
        return "inf" if self.objects[name].cap is None else self.objects[name].cap

    def do_go(self, step: Step, name: str) -> None:
        self.objects[name] = ecru.spawn(self.run, step.steps)

    def do_done(self, _: Step, name: str) -> Any:
        return self.objects[name].done

    def do_join_all(self, _: Step, *names: str) -> None:
        ecru.gather(*(self.objects[name] for name in names))

    def do_join_any(self, _: Step, *names: str) -> None:
        ecru.race(*(self.objects[name] for name in names))

    def do_token(self, _: Step, name: str, *words: str) -> None:
        parent = next((self.objects[word] for word in words if word in self.objects), None)
        seconds = next((int(word) / 1000 for word in words if word not in self.objects), None)
        self.objects[name] = ecru.Token(parent, seconds)

    def do_error(self, _: Step, name: str) -> Any:
        return {None: 0, "cancelled": "ECANCELED", "deadline": "ETIMEDOUT"}[self.objects[name].reason]

    def do_cause(self, step: Step, name: str) -> Any:
        cause = self.objects[name].cause
        return self.do_error(step, name) if cause is None else name_of(cause)

    def do_cancel(self, _: Step, name: str, *causes: str) -> None:
        self.objects[name].cancel(*map(error_of, causes))

    def do_under(self, step: Step, name: str) -> None:
        with self.objects[name]:
            self.run(step.steps)

    def do_timeout(self, step: Step, milliseconds: str) -> None:
        with ecru.timeout(int(milliseconds) / 1000):
            self.run(step.steps)

    def do_shield(self, step: Step) -> None:
        with ecru.shield():
            self.run(step.steps)

    def do_sleep(self, _: Step, milliseconds: str) -> None:
        ecru.sleep(int(milliseconds) / 1000)

    def do_check(self, _: Step) -> None:
        ecru.check()

    def do_yield(self, _: Step) -> None:
        ecru.yield_()

    def do_group(self, _: Step, name: str, *words: str) -> None:
        limit = int(words[1]) if "limit" in words else None
        self.objects[name] = ecru.TaskGroup(limit, supervisor="supervisor" in words).__enter__()

    def do_in(self, step: Step, name: str) -> None:
        self.objects[name].go(self.run, step.steps)

    def do_wait(self, step: Step, name: str) -> None:
        if not isinstance(self.objects[name], ecru.TaskGroup):
            self.call(step, name)
            return
        try:
            self.objects[name].__exit__(None, None, None)
        except BaseExceptionGroup as errors:
            self.errors = len(errors.exceptions)
            raise

    def do_errors(self, _: Step, name: str) -> int:
        return self.errors

    def do_mutex(self, _: Step, name: str) -> None:
        self.objects[name] = ecru.Lock()

    def do_try_lock(self, _: Step, name: str) -> Any:
        return self.objects[name].acquire(blocking=False)

    def do_waitgroup(self, _: Step, name: str) -> None:
        self.objects[name] = ecru.WaitGroup()

    def do_barrier(self, _: Step, name: str, parties: str) -> None:
        self.objects[name] = ecru.Barrier(int(parties))

    def do_timer(self, _: Step, name: str, milliseconds: str) -> None:
        self.objects[name] = ecru.after(int(milliseconds) / 1000)

    def do_select(self, _: Step, *words: str) -> str:
        cases, _, options = " ".join(words).partition("--")
        given = options.split()
        wanted: dict[str, Any] = {"priority": "priority" in given}
        if "timeout" in given:
            wanted["timeout"] = int(given[-1]) / 1000
        if given and given[0] != "priority":
            wanted["default"] = NONE
        picked = ecru.select(*(self.case(*case.split()) for case in cases.split("|")), **wanted)
        if picked.value is NONE:
            return "none"
        result = picked.value if picked.ok else "ECLOSED"
        return f"{picked.index + 1}" if result is None else f"{picked.index + 1} {result}"

    def case(self, kind: str, name: str = "", value: str = "") -> Any:
        """One of a select's."""
        kinds: dict[str, Callable[[], Any]] = {
            "recv": lambda: self.objects[name],
            "send": lambda: ecru.send(self.objects[name], int(value)),
            "timer": lambda: ecru.after(int(name) / 1000),
            "nothing": lambda: None,
        }
        return kinds.get(kind, kinds["recv"])()


NONE = object()


def test_the_table_is_read_whole() -> None:
    assert len(CASES) > 60
    assert set(DIFFERENT) <= set(CASES)
    assert all(map(len, CASES.values()))


@pytest.mark.parametrize("name", [name for name in CASES if name not in DIFFERENT])
def test_conformance(name: str) -> None:
    run = Run()
    with ecru.timeout(50):
        assert run.run(CASES[name]) is None
    for task in run.objects.values():
        if isinstance(task, ecru.Task):
            task.cancel()
            task.exception()
