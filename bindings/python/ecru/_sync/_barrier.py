"""Barrier."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import BrokenBarrierError

from ecru._arguments import whole
from ecru._native import Chan, Closed, Mutex, Token, check
from ecru._sync._waits import closes


class _Cycle:
    """One round of a barrier."""

    def __init__(self, parties: int) -> None:
        self.missing = parties
        self.given_back: list[int] = []  # places of arrivals taken back
        self.chan: Chan[None] = Chan()  # closed when the round is over
        self.complete = False

    def take_place(self) -> int:
        self.missing -= 1
        return self.given_back.pop() if self.given_back else self.missing


class Barrier:
    """`parties` wait for each other, round after round. The last to arrive runs `action` first.

    timeout: seconds, for every wait without one of its own. Whose time is up, and whose action fails, breaks the
    barrier: all its waiters are raised BrokenBarrierError, as are later ones until reset(). Who is cancelled takes the
    arrival back; the others wait on.
    """

    def __init__(self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None) -> None:
        self.parties = whole("parties", parties, 1)
        self._action, self._timeout = action, timeout
        self._mutex = Mutex()
        self._cycle = _Cycle(parties)
        self._broken = False

    def wait(self, timeout: float | None = None) -> int:
        """Parks until all have arrived. Returns a number of 0..parties-1, another one in each."""
        check()  # also whoever would be the last
        with self._mutex:
            if self._broken:
                raise BrokenBarrierError
            cycle = self._cycle
            place = cycle.take_place()
            last = not cycle.missing
            if last:
                self._cycle = _Cycle(self.parties)
        if last:
            self._complete(cycle)
        else:
            self._await(cycle, place, self._timeout if timeout is None else timeout)
        return place

    def _complete(self, cycle: _Cycle) -> None:
        try:
            if self._action is not None:
                self._action()
            cycle.complete = True
        except BaseException:
            self.abort()
            raise
        finally:
            cycle.chan.close()

    def _await(self, cycle: _Cycle, place: int, timeout: float | None) -> None:
        try:
            in_time = closes(cycle.chan, timeout, "barrier")
        except BaseException:
            if self._withdraw(cycle, place):
                raise
            in_time = True  # all have arrived, or it is broken
        if not in_time:
            self._break(cycle)
        with Token(shield=True):
            closes(cycle.chan, None, "barrier")  # while the last one's action runs
        if not cycle.complete:
            raise BrokenBarrierError

    def _withdraw(self, cycle: _Cycle, place: int) -> bool:
        """Takes an arrival back. False: the round is over."""
        with self._mutex:
            if cycle.chan.closed or not cycle.missing:
                return False
            cycle.missing += 1
            cycle.given_back.append(place)
            return True

    def _break(self, cycle: _Cycle) -> None:
        with self._mutex:
            if cycle is not self._cycle:
                return
            self._broken = True
            cycle.chan.close()

    def abort(self) -> None:
        """Breaks it: all who wait are raised BrokenBarrierError, as is who comes, until reset()."""
        with self._mutex:
            self._broken = True
            with suppress(Closed):
                self._cycle.chan.close()

    def reset(self) -> None:
        """As new; who waits is raised BrokenBarrierError."""
        with self._mutex:
            with suppress(Closed):
                self._cycle.chan.close()
            self._cycle = _Cycle(self.parties)
            self._broken = False

    @property
    def n_waiting(self) -> int:
        """How many have arrived and wait."""
        return 0 if self._broken else self.parties - self._cycle.missing

    @property
    def broken(self) -> bool:
        """Whether it is broken."""
        return self._broken

    def __repr__(self) -> str:
        return f"<ecru.Barrier {'broken' if self._broken else f'{self.n_waiting} of {self.parties}'}>"
