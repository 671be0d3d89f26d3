"""What tests of locks and their like share."""

import io
import threading
from collections.abc import Callable
from typing import Any

import ecru

LONG = 30.0  # never reached


def in_thread(f: Callable[[], object]) -> None:
    """f in an OS thread that runs no goroutines; its error is raised here."""
    ended: ecru.Chan[BaseException | None] = ecru.Chan(1)

    def work() -> None:
        try:
            f()
        except BaseException as error:
            ended.send(error)
        else:
            ended.send(None)

    thread = threading.Thread(target=work)
    thread.start()
    error = ended.recv()
    thread.join()
    if error is not None:
        raise error


def parked(f: Callable[[], Any]) -> ecru.Task[Any]:
    """A goroutine that has run until it waits."""
    task = ecru.spawn(f)
    ecru.yield_()
    ecru.yield_()
    assert not task.done
    return task


def dump_with(*goroutines: str) -> str:
    """The first dump that tells of all of them; others run meanwhile."""
    while True:
        text = io.StringIO()
        ecru.dump(text)
        heads = [line for line in text.getvalue().splitlines() if not line.startswith(" ")]  # not the call of this
        if all(any(words in head for head in heads) for words in goroutines):
            return text.getvalue()
        ecru.yield_()


def cancelled(task: ecru.Task[Any]) -> None:
    task.cancel()
    assert isinstance(task.exception(), ecru.Cancelled)


def from_both(work: Callable[[], object], goroutines: int = 20, threads: int = 4) -> None:
    """work in goroutines of this thread and in OS threads, at once."""
    with ecru.TaskGroup() as group:
        for _ in range(goroutines):
            group.go(work)
        for _ in range(threads):
            group.go(in_thread, work)
