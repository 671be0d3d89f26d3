"""Locks and their like, for goroutines and OS threads at once; the shapes are those of threading and queue.

Everything here waits on a channel or a native lock, which are first come, first served, and take nothing from whom
they did not serve: so an object's own code has to think of cancellation only where it waits twice (Condition,
Barrier).

    Semaphore   a channel without bound whose elements are the permits
    Event       a channel that set() closes; clear() puts another in its place
    WaitGroup   as Event: the channel is closed while the count is 0
    Queue       a channel; the others a list, with a semaphore for its items and one for its free places
"""

from __future__ import annotations

import heapq
import sys
from _thread import get_ident
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import repeat
from operator import length_hint
from queue import Empty, Full
from threading import BrokenBarrierError as BrokenBarrierError
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast

from ecru._mutex import Mutex, acquire_shielded
from ecru._native import Chan, Closed, Lock, Token, current, go, select
from ecru._time import now

T = TypeVar("T")
P = ParamSpec("P")


if sys.version_info >= (3, 13):
    from queue import ShutDown
else:

    class ShutDown(Exception):
        """The queue is shut down: there was a put, or a get with nothing left."""


def _me() -> int:
    """The caller: a goroutine, or an OS thread's own stack. Never 0."""
    task = current()
    return get_ident() if task is None else -task.id


def _receives(chan: Chan[None], blocking: bool, timeout: float | None) -> bool:
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


def _closes(chan: Chan[None], timeout: float | None) -> bool:
    """Whether the channel is closed in time; it carries nothing."""
    if timeout is not None:
        return select((chan,), timeout=timeout) is not None
    chan.recv2()
    return True


class RLock:
    """A lock its owner, a goroutine or an OS thread, may take several times; others wait, first come, first served."""

    __slots__ = ("__weakref__", "_count", "_lock", "_owner")

    def __init__(self) -> None:
        self._lock = Lock()
        self._owner = self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Takes it, parking for timeout seconds at most (-1: for ever). False: not in time. Raises Cancelled,
        ValueError.
        """
        me = _me()
        if self._owner == me:
            self._count += 1
            return True
        if not self._lock.acquire(blocking, timeout):
            return False
        self._owner, self._count = me, 1
        return True

    __enter__ = acquire

    def release(self) -> None:
        """Gives it back once. RuntimeError unless it is ours."""
        if self._owner != _me():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if self._count == 0:
            self._owner = 0
            self._lock.release()

    def __exit__(self, *_: object) -> None:
        self.release()

    def locked(self) -> bool:
        """Whether anybody holds it."""
        return self._count > 0

    def _is_owned(self) -> bool:
        return self._owner == _me()

    def _release_save(self) -> int:
        if self._owner != _me():
            raise RuntimeError("cannot release un-acquired lock")
        count, self._count, self._owner = self._count, 0, 0
        self._lock.release()
        return count

    def _acquire_restore(self, count: int) -> None:
        try:
            acquire_shielded(self._lock)
        finally:
            self._owner, self._count = _me(), count

    def _at_fork_reinit(self) -> None:
        self.__init__()  # type: ignore[misc]

    def _recursion_count(self) -> int:
        return self._count if self._owner == _me() else 0

    def __repr__(self) -> str:
        return f"<{'locked' if self._count else 'unlocked'} ecru.RLock owner={self._owner} count={self._count}>"


class _Lockable(Protocol):
    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...
    def release(self) -> None: ...


class Condition:
    """A condition variable, as threading's. lock: a Lock or an RLock (default: a new RLock).

    wait() gives the lock back and has it again whenever it ends, cancelled or not; a waiter that is cancelled as it is
    notified passes the notification on.
    """

    def __init__(self, lock: Lock | RLock | None = None) -> None:
        self._lock = lock if lock is not None else RLock()
        self._waiters: deque[Lock] = deque()
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Parks until notified, at most for timeout seconds. False: not in time. RuntimeError: the lock is not held."""
        if not self._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        waiter = Lock()
        waiter.acquire()
        self._waiters.append(waiter)
        count = self._release_all()
        try:
            served = waiter.acquire(True, -1 if timeout is None else min(max(timeout, 0), 1e9))
        except BaseException:
            self._take_again(count)
            if not self._forget(waiter):
                self.notify()
            raise
        self._take_again(count)
        return served or not self._forget(waiter)

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Waits until predicate() is true, for timeout seconds at most. Returns its last value."""
        until = None if timeout is None else now() + timeout
        while not (value := predicate()):
            left = None if until is None else until - now()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return value

    def notify(self, n: int = 1) -> None:
        """Wakes n of those who wait, the first come first. RuntimeError if the lock is not held."""
        if not self._is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
        for _ in range(min(n, len(self._waiters))):
            self._waiters.popleft().release()

    def notify_all(self) -> None:
        """Wakes all who wait. RuntimeError if the lock is not held."""
        self.notify(len(self._waiters))

    def _is_owned(self) -> bool:
        return self._lock._is_owned() if isinstance(self._lock, RLock) else self._lock.locked()

    def _release_all(self) -> int:
        if isinstance(self._lock, RLock):
            return self._lock._release_save()
        self._lock.release()
        return 1

    def _take_again(self, count: int) -> None:
        if isinstance(self._lock, RLock):
            self._lock._acquire_restore(count)
        else:
            acquire_shielded(self._lock)

    def _forget(self, waiter: Lock) -> bool:
        """Whether it still waited, un-notified."""
        with suppress(ValueError):
            self._waiters.remove(waiter)
            return True
        return False

    def __repr__(self) -> str:
        return f"<ecru.Condition({self._lock!r}, {len(self._waiters)} waiting)>"


class Semaphore:
    """`value` permits, first come, first served. Raises ValueError if value is negative."""

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        self._unused = repeat(None, value)  # permits nobody has taken yet; never refilled
        self._permits: Chan[None] = Chan(None)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Takes a permit, parking at most for timeout seconds (None: for ever). False: not in time."""
        if not blocking and timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        if next(self._unused, self) is None:
            return True
        return _receives(self._permits, blocking, timeout)

    __enter__ = acquire

    def release(self, n: int = 1) -> None:
        """Gives n permits, taken or new ones. ValueError if n < 1."""
        if n < 1:
            raise ValueError("n must be one or more")
        for _ in range(n):
            self._permits.try_send(None)

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def value(self) -> int:
        """How many permits are free."""
        return length_hint(self._unused) + len(self._permits)

    def __repr__(self) -> str:
        return f"<ecru.{type(self).__name__} value={self.value}>"


class BoundedSemaphore(Semaphore):
    """A Semaphore that never has more permits than at its beginning: to give one more is a ValueError."""

    def __init__(self, value: int = 1) -> None:
        super().__init__(value)
        self._bound = value
        self._mutex = Mutex()

    def release(self, n: int = 1) -> None:
        """Gives n permits back. ValueError if n < 1, or more than were taken (then none is given)."""
        with self._mutex:
            if self.value + n > self._bound:
                raise ValueError("Semaphore released too many times")
            super().release(n)


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
        with suppress(Closed):
            self._chan.close()

    def clear(self) -> None:
        """Those who come now wait again. Idempotent."""
        with self._mutex:
            if self._chan.closed:
                self._chan = Chan()

    def wait(self, timeout: float | None = None) -> bool:
        """Parks until it is set, for timeout seconds at most. False: not in time. Raises Cancelled."""
        return _closes(self._chan, timeout)

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
        return _closes(self._zero, timeout)

    def go(self, f: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """add, and f(*args, **kwargs) in a goroutine whose end, however it is, is done."""
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
        if parties < 1:
            raise ValueError("parties must be > 0")
        self.parties = parties
        self._action, self._timeout = action, timeout
        self._mutex = Mutex()
        self._cycle = _Cycle(parties)
        self._broken = False

    def wait(self, timeout: float | None = None) -> int:
        """Parks until all have arrived. Returns a number of 0..parties-1, another one in each."""
        with self._mutex:
            if self._broken:
                raise BrokenBarrierError
            cycle = self._cycle
            place = cycle.take_place()
            if not cycle.missing:
                self._cycle = _Cycle(self.parties)
        if not cycle.missing:
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
            in_time = _closes(cycle.chan, timeout)
        except BaseException:
            if self._withdraw(cycle, place):
                raise
            in_time = True  # all have arrived, or it is broken
        if not in_time:
            self._break(cycle)
        with Token(shield=True):
            cycle.chan.recv2()  # while the last one's action runs
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


class Once:
    """Runs a function once, whoever asks first; the others wait for that run."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._runner = 0
        self._done = False
        self._result: Any = None
        self._error: Exception | None = None

    @property
    def done(self) -> bool:
        """Whether it has run."""
        return self._done

    def do(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """f(*args, **kwargs) if no call has run yet. Returns, or raises, in every caller what that run did.

        A run that is cancelled (or ends with another BaseException that is no Exception) does not count: the next
        caller runs. RuntimeError when called from within f.
        """
        if not self._done:
            if self._runner == _me():
                raise RuntimeError("Once.do called from the function it runs")
            with self._lock:
                if not self._done:
                    self._run(f, args, kwargs)
        if self._error is not None:
            raise self._error
        return cast(T, self._result)

    def _run(self, f: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._runner = _me()
        try:
            self._result = f(*args, **kwargs)
        except Exception as error:
            self._error = error
        finally:
            self._runner = 0
        self._done = True


class Queue(Generic[T]):
    """A queue as queue.Queue, first in, first out; maxsize <= 0: without bound.

    put and get raise Cancelled when the current token fires; then nothing was put or taken.
    """

    def __init__(self, maxsize: int = 0) -> None:
        self.maxsize = maxsize
        self._unfinished = WaitGroup()
        self._shut = False
        self._make()

    def _make(self) -> None:
        self._chan: Chan[T] = Chan(self.maxsize if self.maxsize > 0 else None)

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Puts item, parking for timeout seconds at most while it is full. Raises queue.Full, ShutDown, ValueError."""
        _check(timeout)
        self._unfinished.add()
        try:
            self._put(item, block, timeout)
        except Closed:
            self._unfinished.done()
            raise ShutDown from None
        except BaseException:
            self._unfinished.done()
            raise

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Takes an item, parking for timeout seconds at most while it is empty. Raises queue.Empty, ShutDown,
        ValueError.
        """
        _check(timeout)
        try:
            return self._get(block, timeout)
        except Closed:
            raise ShutDown from None

    def _put(self, item: T, block: bool, timeout: float | None) -> None:
        if not block:
            sent = self._chan.try_send(item)
        elif timeout is None:
            self._chan.send(item)
            return
        else:
            result = select(((self._chan, item),), timeout=timeout)
            sent = result is not None
            if result and not result[2]:
                raise Closed
        if not sent:
            raise Full

    def _get(self, block: bool, timeout: float | None) -> T:
        if block and timeout is None:
            return self._chan.recv()
        if not block:
            item, ok = self._chan.try_recv()
        else:
            result = select((self._chan,), timeout=timeout)
            if result and not result[2]:
                raise Closed
            item, ok = (result[1], True) if result else (None, False)
        if not ok:
            raise Empty
        return cast(T, item)

    def put_nowait(self, item: T) -> None:
        """put that never parks."""
        self.put(item, block=False)

    def get_nowait(self) -> T:
        """get that never parks."""
        return self.get(block=False)

    def task_done(self) -> None:
        """What was got is dealt with. ValueError if that was said of all that was put."""
        try:
            self._unfinished.done()
        except ValueError:
            raise ValueError("task_done() called too many times") from None

    def join(self) -> None:
        """Parks until task_done was called for each item that was put. Raises Cancelled."""
        self._unfinished.wait()

    def shutdown(self, immediate: bool = False) -> None:
        """No more can be put; what is there can be got (immediate: is dropped); then ShutDown is raised. Idempotent."""
        with suppress(Closed):
            self._chan.close()
        if immediate:
            with suppress(Closed):
                while self._chan.try_recv()[1]:
                    self._unfinished.done()

    def qsize(self) -> int:
        """How many items there are."""
        return len(self._chan)

    def empty(self) -> bool:
        """Whether there is none."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Whether put would park."""
        return 0 < self.maxsize <= self.qsize()

    def __repr__(self) -> str:
        return f"<ecru.{type(self).__name__} {self.qsize()} of {self.maxsize if self.maxsize > 0 else 'any number'}>"


def _check(timeout: float | None) -> None:
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")


class LifoQueue(Queue[T]):
    """A Queue from which the last item comes first."""

    def _make(self) -> None:
        self._items: list[T] = []
        self._mutex = Mutex()
        self._ready: Chan[None] = Chan(None)  # an element for each of the items
        self._places = Semaphore(self.maxsize) if self.maxsize > 0 else None

    def _put(self, item: T, block: bool, timeout: float | None) -> None:
        if self._places and not self._places.acquire(block, timeout if block else None):
            raise Full
        try:
            with self._mutex:
                if self._ready.closed:
                    raise Closed
                self._push(item)
                self._ready.try_send(None)
        except BaseException:
            self._free_place()
            raise

    def _get(self, block: bool, timeout: float | None) -> T:
        if not _receives(self._ready, block, timeout if block else None):
            raise Empty
        with self._mutex:
            item = self._pop()
        self._free_place()
        return item

    def _free_place(self) -> None:
        if self._places:
            with suppress(Closed):
                self._places.release()

    def _push(self, item: T) -> None:
        self._items.append(item)

    def _pop(self) -> T:
        return self._items.pop()

    def shutdown(self, immediate: bool = False) -> None:
        """As Queue's."""
        with self._mutex, suppress(Closed):
            self._ready.close()
            if self._places:
                self._places._permits.close()
        if immediate:
            with suppress(Closed):
                while self._ready.try_recv()[1]:
                    with self._mutex:
                        self._pop()
                    self._unfinished.done()

    def qsize(self) -> int:
        """How many items there are."""
        return len(self._ready)


class PriorityQueue(LifoQueue[T]):
    """A Queue from which the least item comes first; items must be comparable."""

    def _push(self, item: T) -> None:
        try:
            heapq.heappush(self._items, item)  # type: ignore[type-var]
        except BaseException:  # a comparison failed, somewhere on the way up
            self._items[:] = [other for other in self._items if other is not item]
            heapq.heapify(self._items)  # type: ignore[type-var]
            raise

    def _pop(self) -> T:
        return heapq.heappop(self._items)  # type: ignore[type-var]
