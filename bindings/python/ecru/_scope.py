"""Scopes: how long a block may take, and what reaches it.

The rule is trio's. When a scope's token fires, whatever waits inside is raised Cancelled, at each wait anew. Cancelled
is a BaseException: it passes `except Exception`. It ends at the boundary of the scope that fired by itself: there it
turns into DeadlineExceeded, or into nothing; scopes between let it pass on.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, SupportsFloat

from ecru import _arguments
from ecru._native import Cancelled, Token

if TYPE_CHECKING:
    from typing_extensions import Self


class DeadlineExceeded(TimeoutError):
    """The time of a `with timeout(...)`, or of a call's timeout, is up."""


class Scope:
    """A block under a token of its own. Made by timeout, deadline, move_on_after and shield; entered once.

    `except Cancelled` inside must raise it again; code that cleans up and waits does so in a shield().
    """

    __slots__ = ("_quiet", "_seconds", "_shield", "_token", "_until", "caught")

    _stops = Cancelled  # a generator may be closed when the module's names are gone
    caught: bool
    """Whether the scope stopped a Cancelled at its boundary, as an error or quietly."""

    def __init__(
        self,
        seconds: SupportsFloat | None,
        *,
        until: SupportsFloat | None = None,
        shield: bool = False,
        quiet: bool = False,
    ) -> None:
        self._seconds = None if seconds is None else _arguments.seconds("seconds", seconds)
        self._until = None if until is None else _arguments.seconds("instant", until)
        self._shield, self._quiet, self.caught = shield, quiet, False
        self._token: Token | None = None

    @property
    def token(self) -> Token:
        """The token of the block. RuntimeError before it began."""
        if self._token is None:
            raise RuntimeError("the scope has not been entered")
        return self._token

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline, or the nearest outside; negative: it is past; None: there is none."""
        return self.token.remaining

    @property
    def expired(self) -> bool:
        """Whether its own deadline has passed, even if nothing in the block noticed."""
        return self.token.fired_itself and self.token.reason == "deadline"

    def cancel(self, cause: object = None) -> None:
        """Ends the block: what waits in it is raised Cancelled, which the scope stops at its boundary, without an
        error. cause: any object: Cancelled.cause there, and the token's.
        """
        self.token.cancel(cause)

    def reset(self, seconds: SupportsFloat | None) -> bool:
        """Gives it another deadline: `seconds` from now, None: none. False: too late, it has fired."""
        return self.token.reset(seconds)

    def __repr__(self) -> str:
        if self._token is None:
            return "<ecru.Scope, not entered>"
        return f"<ecru.Scope{', caught' if self.caught else ''}, {self._token!r}>"

    def __enter__(self) -> Self:
        if self._token is not None:
            raise RuntimeError("a scope is entered once")
        seconds = self._seconds if self._until is None else self._until - time.monotonic()
        self._token = Token(timeout=seconds, shield=self._shield)
        self._token.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        token = self.token
        token.leave()
        if not isinstance(error, self._stops) or not token.fired_itself:
            return False
        self.caught = True
        if token.reason == "cancelled" or self._quiet:
            return True
        raise DeadlineExceeded(self._words()) from error

    def _words(self) -> str:
        return "the deadline has passed" if self._seconds is None else f"the time is up: {self._seconds:g} s"


def timeout(seconds: SupportsFloat | None) -> Scope:
    """`with timeout(seconds):` gives the block so long (None: no limit); then DeadlineExceeded, a TimeoutError, is
    raised.

    It is noticed where the block waits; what computes or blocks its thread is not stopped. Goroutines started inside
    have the same deadline. seconds <= 0: the first wait is raised. Raises TypeError, ValueError (NaN).
    """
    return Scope(seconds)


def deadline(instant: SupportsFloat | None) -> Scope:
    """As timeout, until an instant of ecru.now() (time.monotonic()'s seconds)."""
    return Scope(None, until=instant)


def move_on_after(seconds: SupportsFloat | None) -> Scope:
    """As timeout, but the block just ends when its time is up: `with move_on_after(1) as scope: ...`, then
    scope.caught.
    """
    return Scope(seconds, quiet=True)


def shield(seconds: SupportsFloat | None = None) -> Scope:
    """`with shield():` for cleanup that waits: no token outside reaches the block.

    It may take `seconds` (None: any time), then DeadlineExceeded is raised. What fired meanwhile is raised at the next
    wait.
    """
    return Scope(seconds, shield=True)
