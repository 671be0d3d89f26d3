"""Token.on_cancel: what is called once a token fires."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from ecru._arguments import plain
from ecru._native import Chan, Closed, Token, current, home_token, select, spawn

if TYPE_CHECKING:
    from typing_extensions import Self


def _wait(token: Token, stop: Chan[None], began: list[None], f: Callable[[], object]) -> None:
    """Without the registration, which has the task: an error's traceback would make them a cycle."""
    picked = select((token, stop), priority=True)
    if picked is not None and picked[0] == 0:
        began.append(None)
        f()


class Registration:
    """A function that is called once a token fires, in a goroutine of its own. Made by Token.on_cancel().

    What it raises is told as any goroutine's error. Not called any more once the program, or its thread's run, ends.
    """

    __slots__ = ("_began", "_stop", "_task")

    def __init__(self, token: Token, f: Callable[[], object]) -> None:
        if not callable(f):
            raise TypeError(f"a function is needed, not {f!r}")
        self._began: list[None] = []  # one element: it has
        self._stop: Chan[None] = Chan()
        with home_token():  # whichever scopes end meanwhile
            self._task = spawn(_wait, token, self._stop, self._began, plain(f))
        self._task.name = "on_cancel"

    def remove(self) -> bool:
        """Ends it; whether the call was prevented. One under way is waited for, unless it is that which asks."""
        with suppress(Closed):
            self._stop.close()
        if current() is not self._task:
            with Token(shield=True):
                self._task.join()
        return not self._began

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
