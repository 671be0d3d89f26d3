"""Time: instants, timers as cases of a select, tickers."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, SupportsFloat

from ecru import _arguments, _native
from ecru._native import Mutex

if TYPE_CHECKING:
    from typing_extensions import Self

now = time.monotonic


def after(seconds: SupportsFloat | None) -> _native.Token:
    """A token that fires in `seconds` (None: never): a case of select, or something to wait() for.

    Whatever is cancelled, it fires at its time; nothing runs for it meanwhile. Raises TypeError, ValueError (NaN).
    """
    return _native.Token(timeout=seconds, shield=True)


class Ticker:
    """Ticks every `seconds` from its creation on, without drift: `for instant in Ticker(0.1): ...`, or wait(), or in a
    select. A forked child's ticks on.

    A tick nobody waited for is dropped, several are one (K6). Each tick goes to one waiter. stop() ends the iteration.
    Raises TypeError; ValueError unless seconds > 0.
    """

    def __init__(self, seconds: float) -> None:
        self._period = _arguments.seconds("a ticker's period", seconds)
        if self._period <= 0:
            raise ValueError(f"a ticker's period is a positive number of seconds, not {seconds!r}")
        self._start = now()
        self._given = 0  # ticks that are past
        self._mutex = Mutex()
        self._timer = after(self._period)
        self._process = os.getpid()

    def wait(self) -> float:
        """Parks until the next tick. Returns its instant (seconds, as ecru.now()). Raises ChanClosed once stopped."""
        while True:
            timer = self._case()
            timer.wait()
            instant = self._take(timer)
            if instant is not None:
                return instant

    def _take(self, timer: _native.Token) -> float | None:
        """Makes the tick ours. None: another waiter was faster."""
        with self._mutex:
            if timer.reason == "cancelled":
                raise _native.Closed("the ticker is stopped")
            if timer is not self._timer:
                return None
            self._given = max(self._given + 1, int((now() - self._start) / self._period))
            self._timer = self._next()
            return self._start + self._given * self._period

    def _next(self) -> _native.Token:
        return after(self._start + (self._given + 1) * self._period - now())

    def stop(self) -> None:
        """No more ticks; who waits, or iterates, ends. Idempotent."""
        with self._mutex:
            self._timer.cancel()

    def _case(self) -> _native.Token:
        if self._process != os.getpid():  # where the parent's timers are gone
            self._process = os.getpid()
            if not self._timer.done:
                self._timer = self._next()
        return self._timer

    def _picked(self, timer: _native.Token) -> tuple[float | None, bool] | None:
        """A select saw the timer fire: (instant, True); (None, False) once stopped; None: another was faster."""
        try:
            instant = self._take(timer)
        except _native.Closed:
            return None, False
        return None if instant is None else (instant, True)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> float:
        try:
            return self.wait()
        except _native.Closed:
            raise StopIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
