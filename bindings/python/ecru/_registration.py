"""Token.on_cancel: what is called once a token fires.

A goroutine waits for that. The function is its token's: who forgets it and the registration forgets the function,
too, and nobody waits any more. But a deadline is waited for whoever knows of it, and who has been fired is called.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from ecru._arguments import plain
from ecru._native import Chan, Closed, Token, current, home_token, select, spawn

if TYPE_CHECKING:
    from typing_extensions import Self


class _Call:
    """A function to be called. Its token has it, and so has its registration."""

    __slots__ = ("__weakref__", "began", "f", "kept", "stop", "token")

    def __init__(self, token: Token, f: Callable[[], object]) -> None:
        """Not to be forgotten if the token fires by itself."""
        self.f: Callable[[], object] | None = f
        self.token = Token(token)
        self.stop: Chan[None] = Chan()
        self.began = False
        self.kept: list[_Call] = [self] if token.remaining is not None else []

    def forget(self) -> None:
        """Nobody waits any more."""
        with suppress(Closed):
            self.stop.close()

    def __del__(self) -> None:
        if self.token.done and not self.began:
            self.kept.append(self)
        self.forget()


def _find(known: weakref.ref[_Call], kept: list[_Call], stop: Chan[None]) -> _Call | None:
    """The call, unless it was forgotten before its token fired."""
    call = known()
    if call is None and not kept:  # it is being forgotten, perhaps
        with suppress(Closed):
            stop.recv()
    return call or (kept[0] if kept else None)


def _wait(token: Token, stop: Chan[None], kept: list[_Call], known: weakref.ref[_Call]) -> None:
    """Without the registration, which has the task: an error's traceback would make them a cycle."""
    try:
        picked = select((token, stop), priority=True)
        call = _find(known, kept, stop) if picked is not None and picked[0] == 0 else None
    finally:
        kept.clear()
    if call is None:
        return
    call.began = True
    f, call.f = call.f, None
    del call, known
    if f is not None:
        f()


class Registration:
    """A function that is called once a token fires, in a goroutine of its own. Made by Token.on_cancel().

    What it raises is told as any goroutine's error. Not called any more once the program, or its thread's run, ends.
    """

    __slots__ = ("_call", "_task", "_token")

    def __init__(self, token: Token, f: Callable[[], object]) -> None:
        if not callable(f):
            raise TypeError(f"a function is needed, not {f!r}")
        self._token = token
        self._call = call = _Call(token, plain(f))
        with home_token():  # whichever scopes end meanwhile
            self._task = spawn(_wait, call.token, call.stop, call.kept, weakref.ref(call))
        self._task.name = "on_cancel"
        token._calls[call] = None

    def remove(self) -> bool:
        """Ends it; whether the call was prevented. One under way is waited for, unless it is that which asks."""
        self._call.forget()
        if current() is not self._task:
            with Token(shield=True):
                self._task.join()
        self._token._calls.pop(self._call, None)
        return not self._call.began

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
