"""Cancellation tokens and the scopes of the current one."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat, cast

from ecru._abi import ffi, lib
from ecru._threads._base import (
    ECANCELED,
    ETIMEDOUT,
    FOREVER,
    Cancellable,
    NotPickled,
    cause_of,
    enter_by_itself,
    fail,
    give_cause,
    here,
    instant,
    process,
    wait,
)

if TYPE_CHECKING:
    from typing_extensions import Self

    from ecru._registration import Registration


_PARENTS_MOST = 64


def _handles_of(parents: Token | tuple[Token, ...]) -> list[Any]:
    given = parents if isinstance(parents, tuple) else (parents,)
    if not 1 <= len(given) <= _PARENTS_MOST:
        raise ValueError(f"parent: 1 to {_PARENTS_MOST} tokens, not {len(given)}")
    for parent in given:
        if not isinstance(parent, Token):
            raise TypeError(f"parent: a Token, or a tuple of them, not {type(parent).__name__}")
    return [parent._handle for parent in given]


def token_of(parents: list[Any], deadline: int) -> Any:
    """A new token's handle."""
    out = ffi.new("ecru_token **")
    if len(parents) == 1:
        status = lib.ecru_token_create(out, parents[0], deadline)
    else:
        status = lib.ecru_token_create_linked(out, parents, len(parents), deadline)
    if status != 0:
        fail(status)
    return ffi.gc(out[0], lib.ecru_token_release)


def _reason(status: int) -> Literal["cancelled", "deadline"] | None:
    if status == 0:
        return None
    return "deadline" if status == ETIMEDOUT else "cancelled"


def _leave_any(token: Any) -> int:
    """Ends the innermost of the caller's scopes that is the token's, whichever have begun since. A status."""
    inner = lib.ecru_token_current()
    if inner == token:
        return lib.ecru_token_leave()  # type: ignore[no-any-return]
    lib.ecru_token_retain(inner)
    status: int = lib.ecru_token_leave()
    if status == 0:
        status = _leave_any(token)
        lib.ecru_token_enter(inner)
    lib.ecru_token_release(inner)
    return status


class Token(NotPickled, Cancellable):
    """Token(parent=None, timeout=None, shield=False)

    A child of parent (None: the caller's current token; a tuple: of all of them, it fires with the first) that fires
    after timeout seconds at the latest. shield: no token reaches it. A context manager: inside, it is the current
    token.
    """

    __module__ = "ecru"
    __slots__ = ("_calls", "_handle")

    _calls: dict[object, None]  # on_cancel's
    _handle: Any

    def __new__(
        cls,
        parent: Token | tuple[Token, ...] | None = None,
        timeout: SupportsFloat | None = None,
        shield: bool = False,
    ) -> Self:
        deadline = instant(timeout)
        above: list[Any] = [ffi.NULL]
        if parent is not None:
            above = _handles_of(parent)
        elif here.home is None:
            enter_by_itself[0]()  # the first has a token of its own
        return cls.of_handle(token_of([lib.ecru_token_background()] if shield else above, deadline))

    @classmethod
    def of_handle(cls, handle: Any) -> Self:
        """One for a handle that gives itself back."""
        token = object.__new__(cls)
        token._calls = {}
        token._cause = None
        token._handle = handle
        return token

    @property
    def done(self) -> bool:
        """whether it has fired"""
        return lib.ecru_token_err(self._handle) != 0  # type: ignore[no-any-return]

    @property
    def reason(self) -> Literal["cancelled", "deadline"] | None:
        """None, "cancelled" or "deadline" """
        return _reason(lib.ecru_token_err(self._handle))

    @property
    def fired_itself(self) -> bool:
        """whether it has fired, and not because one above it did"""
        handle = self._handle
        return self.done and lib.ecru_token_origin(handle) == lib.ecru_token_id(handle)

    @property
    def id(self) -> int:
        """its number, of which no other token ever has the same"""
        return lib.ecru_token_id(self._handle)  # type: ignore[no-any-return]

    @property
    def origin(self) -> int | None:
        """the id of the token that fired: its own, or that of one above it; None: it has not fired"""
        return lib.ecru_token_origin(self._handle) or None

    @property
    def remaining(self) -> float | None:
        """seconds until its deadline or the nearest above it; None: no deadline"""
        deadline = lib.ecru_token_deadline(self._handle)
        return None if deadline == FOREVER else (deadline - lib.ecru_now()) / 1e9

    @property
    def cause(self) -> Any:
        """what cancel() was given, its own or that of the one above it that fired; None"""
        return cause_of(self.origin) if self.reason == "cancelled" else None

    def cancel(self, cause: object = None) -> None:
        """Fires it and its descendants. Idempotent. cause: any object, an exception mostly: Cancelled.cause of all who
        are raised it, as long as this Token is referred to; the first stays.
        """
        give_cause(self, self._handle, cause)
        lib.ecru_token_cancel(self._handle, 0)

    def _forget_cause(self) -> None:
        self._cause = None

    def on_cancel(self, f: Callable[[], object], /) -> Registration:
        """f() is called once it fires, in a goroutine of its own; soon, if it has. Until remove() of what it returns,
        or the end of its `with` block; or until nobody refers to the Token any more, nor to that, unless it has fired
        or had a deadline then.
        """
        from ecru._registration import Registration

        return Registration(cast(Any, self), f)

    def enter(self) -> Self:
        """It is the caller's current token until leave()."""
        if here.home is None:
            enter_by_itself[0]()
        status = lib.ecru_token_enter(self._handle)
        if status != 0:
            fail(status)
        return self

    def leave(self) -> None:
        """The outer token is current again."""
        if lib.ecru_token_current() != self._handle:
            self._leave_out_of_order()
            return
        status = lib.ecru_token_leave()
        if status != 0:
            fail(status)

    def _leave_out_of_order(self) -> None:
        if process.shut:
            return  # a generator's, which the program has left in it
        if _leave_any(self._handle) == 0:
            raise RuntimeError(
                "a scope has ended before one that began in it: scopes end in the reverse order of their beginning"
            )
        raise RuntimeError("a scope ends in the goroutine it began in, and once")

    def wait(self) -> None:
        """Parks until it fires."""
        status = wait(lib.ecru_token_wait, self._handle)
        if status != 0:
            fail(status)

    def reset(self, timeout: SupportsFloat | None, /) -> bool:
        """Gives it another deadline, in seconds from now or None. False: it has fired."""
        status = lib.ecru_token_reset(self._handle, instant(timeout))
        if status not in (0, ECANCELED, ETIMEDOUT):
            fail(status)
        return status == 0  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        state = "no deadline" if self.remaining is None else f"{self.remaining:.3g} s left"
        return f"<ecru.{type(self).__name__}, {state if self.reason is None else f'fired: {self.reason}'}>"

    def __enter__(self) -> Self:
        return self.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.leave()


def check() -> None:
    """Raises Cancelled if the current token has fired."""
    status = lib.ecru_check()
    if status != 0:
        fail(status)
