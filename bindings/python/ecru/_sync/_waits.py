"""Who waits, and waits that may have a time limit."""

from __future__ import annotations

from _thread import get_ident

from ecru._native import Chan, Closed, current, select, wait_as


def me() -> int:
    """The caller: a goroutine, or an OS thread's own stack. Never 0."""
    task = current()
    return get_ident() if task is None else -task.id


def receives(chan: Chan[None], blocking: bool, timeout: float | None) -> bool:
    """Whether something came (or the channel is closed) in time."""
    if not blocking:
        return chan.try_recv()[1]
    if timeout is None:
        wait_as("queue get", chan.recv)
        return True
    result = wait_as("queue get", select, (chan,), timeout=timeout)
    if result and not result[2]:
        raise Closed
    return result is not None


def closes(chan: Chan[None], timeout: float | None, what: str) -> bool:
    """Whether the channel is closed in time; it carries nothing. what: what dumps call the wait."""
    if timeout is not None:
        return wait_as(what, select, (chan,), timeout=timeout) is not None
    wait_as(what, chan.recv2)
    return True
