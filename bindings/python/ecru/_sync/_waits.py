"""Who waits, and waits that may have a time limit."""

from __future__ import annotations

from _thread import get_ident

from ecru._native import Chan, Closed, current, select


def me() -> int:
    """The caller: a goroutine, or an OS thread's own stack. Never 0."""
    task = current()
    return get_ident() if task is None else -task.id


def receives(chan: Chan[None], blocking: bool, timeout: float | None) -> bool:
    """Whether something came (or the channel is closed) in time."""
    if not blocking:
        return chan.try_recv()[1]
    if timeout is None:
        chan.recv()
        return True
    result = select((chan,), timeout=timeout)
    if result and not result[2]:
        raise Closed
    return result is not None


def closes(chan: Chan[None], timeout: float | None) -> bool:
    """Whether the channel is closed in time; it carries nothing."""
    if timeout is not None:
        return select((chan,), timeout=timeout) is not None
    chan.recv2()
    return True
