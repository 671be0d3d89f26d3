"""Event and WaitGroup: a channel that is closed while the event is set, or the count 0; another one takes its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec

from ecru._arguments import plain
from ecru._native import Chan, Closed, Mutex, go
from ecru._sync._waits import closes

P = ParamSpec("P")


class Event:
    """A flag to wait for. Also a case of a select."""

    def __init__(self) -> None:
        self._chan: Chan[None] = Chan()
        self._mutex = Mutex()

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._chan.closed

    def set(self) -> None:
        """Wakes all who wait, and lets all pass who come. Idempotent."""
        chan = self._chan
        if chan.closed:
            return
        try:  # noqa: SIM105 - a context manager takes as long as all else here
            chan.close()
        except Closed:
            pass

    def clear(self) -> None:
        """Those who come now wait again. Idempotent."""
        with self._mutex:
            if self._chan.closed:
                self._chan = Chan()

    def wait(self, timeout: float | None = None) -> bool:
        """Parks until it is set, for timeout seconds at most. False: not in time. Raises Cancelled."""
        return closes(self._chan, timeout, "event")

    def _case(self) -> Chan[None]:
        return self._chan

    def __repr__(self) -> str:
        return f"<ecru.Event {'set' if self.is_set() else 'unset'}>"


class WaitGroup:
    """A count to wait for: add before starting, done at each end, wait until it is 0. Also a case of a select."""

    def __init__(self) -> None:
        self._count = 0
        self._mutex = Mutex()
        self._zero: Chan[None] = Chan()  # closed while the count is 0
        self._zero.close()

    @property
    def count(self) -> int:
        """How many are to be done."""
        return self._count

    def add(self, n: int = 1) -> None:
        """n more (or fewer). ValueError if the count would be negative; then it is as before."""
        with self._mutex:
            count = self._count + n
            if count < 0:
                raise ValueError("the count of a wait group cannot be negative")
            if self._count == 0 and count > 0:
                self._zero = Chan()
            if self._count > 0 and count == 0:
                self._zero.close()
            self._count = count

    def done(self) -> None:
        """One fewer. ValueError if there was none."""
        self.add(-1)

    def wait(self, timeout: float | None = None) -> bool:
        """Parks until the count is 0, for timeout seconds at most. False: not in time. Raises Cancelled."""
        return closes(self._zero, timeout, "wait group")

    def go(self, f: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """add, and f(*args, **kwargs) in a goroutine whose end, however it is, is done."""
        plain(f)
        self.add()
        try:
            go(self._run, f, args, kwargs)
        except BaseException:
            self.done()
            raise

    def _run(self, f: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            f(*args, **kwargs)
        finally:
            self.done()

    def _case(self) -> Chan[None]:
        return self._zero

    def __repr__(self) -> str:
        return f"<ecru.WaitGroup count={self._count}>"
