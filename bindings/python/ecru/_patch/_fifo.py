"""Opening a FIFO by its name, which waits until its other side is: in a thread, since nothing else tells of that.

Each has a thread of its own, since the other side may be waiting for one, too.
"""

from __future__ import annotations

import operator
import os
import stat
from typing import Any

from ecru._blocking import run_apart

original_open = os.open
_NEVER_WAITS = os.O_NONBLOCK | os.O_DIRECTORY | getattr(os, "O_PATH", 0)  # Linux'


def is_fifo(path: Any, dir_fd: int | None = None) -> bool:
    """Whether it is the name of one."""
    try:
        return not isinstance(path, int) and stat.S_ISFIFO(os.stat(path, dir_fd=dir_fd).st_mode)
    except (OSError, TypeError, ValueError):
        return False  # the call itself says what is wrong


class _Opening:
    """One, by two threads: whoever comes last when it is given up closes what has come of it."""

    def __init__(self, *given: Any) -> None:
        self._given = given
        self._found: list[int] = []
        self._given_up = False

    def __call__(self) -> int:
        """In a thread of its own."""
        path, flags, mode, dir_fd = self._given
        fd = original_open(path, flags, mode, dir_fd=dir_fd)
        self._found.append(fd)
        if self._given_up:
            self._close()
        return fd

    def give_up(self) -> None:
        """Nobody wants it any more."""
        self._given_up = True
        self._close()

    def _close(self) -> None:
        try:
            fd = self._found.pop()
        except IndexError:
            return
        os.close(fd)


def _may_wait(flags: Any) -> bool:
    try:
        number = operator.index(flags)
    except TypeError:
        return False  # the call itself says what is wrong
    return number & os.O_ACCMODE != os.O_RDWR and not number & _NEVER_WAITS


def os_open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    """As os.open."""
    if not _may_wait(flags) or not is_fifo(path, dir_fd):
        return original_open(path, flags, mode, dir_fd=dir_fd)
    opening = _Opening(path, flags, mode, dir_fd)
    try:
        return run_apart(opening)
    except BaseException:
        opening.give_up()
        raise
