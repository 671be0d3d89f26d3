"""asyncio beside goroutines: loops that park only their goroutine, and bridges both ways.

From a goroutine: `run` runs a coroutine on a loop of its own; `await_` on one that all goroutines of the thread share,
so that what coroutines keep (sessions, pools of connections) can be used again; `wait` waits for a future of either
kind. From a coroutine on such a loop: `wrap` makes a goroutine, a channel or a plain function that parks awaitable.

Cancellation goes both ways: a goroutine's token cancels the coroutine it waits for, which may clean up; cancelling an
asyncio task cancels the goroutine it awaits.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import selectors
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, SupportsFloat, TypeVar, cast, overload

from ecru import _native
from ecru._native import Cancelled, Chan, Closed, Mutex, Task, Token

__all__ = ["AsyncChan", "Selector", "await_", "new_event_loop", "run", "stop", "wait", "wrap"]

_T = TypeVar("_T")
_P = ParamSpec("_P")

if TYPE_CHECKING:
    _Base = selectors.EpollSelector
else:
    _Base = getattr(selectors, "EpollSelector", None) or getattr(selectors, "KqueueSelector", None)


class Selector(_Base):
    """A selector whose select() parks only the goroutine that calls it. Any event loop may use it.

    cancelled: called, once, when the goroutine's token fires; from then on it is shielded: tokens do not reach it.
    """

    def __init__(self) -> None:
        """One that watches nothing yet."""
        super().__init__()
        self.cancelled: Callable[[], object] | None = None
        self.shielded = False
        self._open = True

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready, after at most timeout seconds (None: no limit). Lets other goroutines go first in any case."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            self._park(_native.yield_)
            return ready
        self._park(_native.wait_fd, self.fileno(), "r", timeout)
        return super().select(0)

    def _park(self, wait: Callable[..., object], *arguments: object) -> None:
        if self.shielded:
            with Token(shield=True):
                wait(*arguments)
            return
        try:
            wait(*arguments)
        except Cancelled:
            if self.cancelled is None:
                raise
            self.shielded = True
            self.cancelled()

    def close(self) -> None:
        """Gives its descriptor back."""
        if self._open:
            self._open = False
            _native.forget_fd(self.fileno())
            super().close()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """An event loop for one goroutine; the others go on while it waits."""
    return asyncio.SelectorEventLoop(Selector())


def _selector_of(loop: asyncio.AbstractEventLoop) -> Selector:
    return cast("Selector", loop._selector)  # type: ignore[attr-defined]


def run(main: Coroutine[Any, Any, _T], *, debug: bool | None = None) -> _T:
    """Runs a coroutine on an event loop of this goroutine's own; what it returns or raises.

    As asyncio.run(), but other goroutines run meanwhile, with loops of their own or none. When the current token fires
    the coroutine is cancelled; if that ends it, Cancelled is raised.
    """
    if not asyncio.iscoroutine(main):
        raise TypeError(f"a coroutine is needed, not {main!r}")
    if asyncio._get_running_loop() is not None:
        main.close()
        raise RuntimeError("this goroutine runs an event loop already")
    loop = new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        if debug is not None:
            loop.set_debug(debug)
        return _run_main(loop, main)
    finally:
        _end(loop)


def _run_main(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, _T]) -> _T:
    task = loop.create_task(main)
    selector = _selector_of(loop)
    selector.cancelled = task.cancel
    try:
        return loop.run_until_complete(task)
    except asyncio.CancelledError:
        if selector.shielded:
            _native.check()  # it was the token: says so in ecru's terms
        raise


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """What asyncio.run does at its end; no token reaches it."""
    _selector_of(loop).shielded = True
    try:
        _cancel_tasks(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        _cancel_tasks(loop)  # started meanwhile from elsewhere
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _cancel_tasks(loop: asyncio.AbstractEventLoop) -> None:
    while left := asyncio.all_tasks(loop):
        for task in left:
            task.cancel()
        loop.run_until_complete(_gather(left))
        for task in left:
            _report(loop, task)


async def _gather(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def _report(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        words = "unhandled exception while an event loop of ecru.aio ended"
        loop.call_exception_handler({"message": words, "exception": error, "task": task})


# ---- from goroutines -------------------------------------------------------------------------------------------------


def wait(future: concurrent.futures.Future[_T] | asyncio.Future[_T], timeout: SupportsFloat | None = None) -> _T:
    """Parks until a future of asyncio or concurrent.futures is done; its result, or raises its exception.

    The future's loop runs in another goroutine or thread. Raises TimeoutError after timeout seconds; neither that nor
    cancellation of the caller touches the future.
    """
    done: Chan[None] = Chan(1)

    def tell(_: object) -> None:
        done.try_send(None)

    if not isinstance(future, asyncio.Future):
        future.add_done_callback(tell)
    elif asyncio._get_running_loop() is future.get_loop():
        raise RuntimeError("a loop cannot wait for its own future: await it")
    else:
        future.get_loop().call_soon_threadsafe(future.add_done_callback, tell)
    if _native.select((done,), timeout=timeout) is None:
        raise TimeoutError("timed out")
    return future.result()


def _close(awaitable: object) -> None:
    """It will not be awaited: asyncio is not to warn of that."""
    if asyncio.iscoroutine(awaitable):
        awaitable.close()


class _Call(Generic[_T]):
    """An awaitable on its way through a loop that runs elsewhere."""

    def __init__(self, awaitable: Awaitable[_T], loop: asyncio.AbstractEventLoop) -> None:
        self.awaitable, self.loop = awaitable, loop
        self.ended: Chan[None] = Chan(1)
        self._unclaimed = [None]  # popped by start(), or by who does not want it any more
        self.task: asyncio.Future[_T] | None = None

    def start(self) -> None:
        """In the loop."""
        if not self._claim():
            return
        try:
            self.task = asyncio.ensure_future(self.awaitable, loop=self.loop)
        except Exception as error:
            self.task = self.loop.create_future()
            self.task.set_exception(error)
        self.task.add_done_callback(lambda _: self.ended.try_send(None))

    def _claim(self) -> bool:
        try:
            self._unclaimed.pop()
        except IndexError:
            return False
        return True

    def cancel(self) -> None:
        """In the loop, after start()."""
        if self.task is not None:
            self.task.cancel()

    def wait(self) -> _T:
        try:
            self.loop.call_soon_threadsafe(self.start)
            self.ended.recv()
        except BaseException:
            if self._claim():  # the loop does not run, or is late
                _close(self.awaitable)
                raise
            with Token(shield=True):
                self.loop.call_soon_threadsafe(self.cancel)
                self.ended.recv()
            self.observe()
            raise
        assert self.task is not None
        return self.task.result()

    def observe(self) -> None:
        """Its error is not wanted: the loop is not to report it."""
        if self.task is not None and not self.task.cancelled():
            self.task.exception()


_loops: dict[int, tuple[asyncio.AbstractEventLoop, Task[None]]] = {}  # by home, whose goroutines share one


_mutex = Mutex()


def _serve(loop: asyncio.AbstractEventLoop, home: int) -> None:
    asyncio.set_event_loop(loop)
    _selector_of(loop).cancelled = loop.stop
    try:
        loop.run_forever()
    finally:
        _loops.pop(home, None)
        _end(loop)


def _shared_loop() -> asyncio.AbstractEventLoop:
    with _native.home_token():  # it outlives the scope of whoever comes first
        home = _native.home_id()
        with _mutex:
            if home not in _loops:
                loop = new_event_loop()
                task = _native.spawn(_serve, loop, home)
                task.name = "ecru.aio"
                _loops[home] = loop, task
            return _loops[home][0]


def stop() -> None:
    """Ends this thread's shared loop, if there is one, as asyncio.run() ends: its tasks are cancelled, waited for."""
    if found := _loops.get(_native.home_id()):
        loop, task = found
        loop.call_soon_threadsafe(loop.stop)
        task.result()


def await_(awaitable: Awaitable[_T], *, loop: asyncio.AbstractEventLoop | None = None) -> _T:
    """Awaits from plain code: parks the goroutine until it is done; its result, or raises its exception.

    It runs on the loop given (of another goroutine or thread), else on the one the thread's goroutines share, which
    starts by itself and ends by stop(), or with the program. If the current token fires, the awaitable is cancelled
    and, once it has ended, Cancelled raised. Raises TypeError: it cannot be awaited; ValueError: a future of another
    loop; RuntimeError: in a coroutine, or the loop is closed.
    """
    running = asyncio._get_running_loop()
    if running is not None and (loop is None or loop is running):
        _close(awaitable)
        raise RuntimeError("inside a coroutine it is `await`")
    return _Call(awaitable, loop or _shared_loop()).wait()


# ---- from coroutines -------------------------------------------------------------------------------------------------


def _settle(future: asyncio.Future[_T], value: _T | None, error: BaseException | None) -> bool:
    """In the future's loop. returns: False: nobody wants it any more."""
    if future.cancelled():
        return False
    if error is None:
        future.set_result(cast(_T, value))
    elif isinstance(error, Cancelled):
        future.cancel()
    elif isinstance(error, StopIteration):
        future.set_exception(RuntimeError(f"a goroutine raised {error!r}"))
    else:
        future.set_exception(error)
    return True


def _carry(future: asyncio.Future[_T], call: Callable[[], _T], dropped: Callable[[_T], object] | None) -> None:
    """A goroutine whose outcome becomes the future's. dropped: gets the value if nobody wants it any more."""
    value, error = None, None
    try:
        value = call()
    except BaseException as raised:
        error = raised

    def settle() -> None:
        if not _settle(future, value, error) and dropped is not None and error is None:
            dropped(cast(_T, value))

    with contextlib.suppress(RuntimeError):  # the loop is closed
        future.get_loop().call_soon_threadsafe(settle)


def _awaitable(
    call: Callable[[], _T], cancel: Callable[[], None] | None, dropped: Callable[[_T], object] | None = None
) -> asyncio.Future[_T]:
    """The outcome of a call that may park. cancel: instead of cancelling the call's own goroutine."""
    loop = asyncio.get_running_loop()
    if not isinstance(getattr(loop, "_selector", None), Selector):
        return loop.run_in_executor(None, call)  # this loop blocks its thread, goroutines of which would not run
    future: asyncio.Future[_T] = loop.create_future()
    task = _native.spawn(_carry, future, call, dropped)
    stop = cancel or task.cancel
    future.add_done_callback(lambda done: stop() if done.cancelled() else None)
    return future


class AsyncChan(Generic[_T]):
    """A channel as coroutines see it: `async for value in wrap(chan)`, `await recv()`, `await send(value)`."""

    def __init__(self, chan: Chan[_T]) -> None:
        """Made by wrap()."""
        self._chan = chan
        self._returned: deque[_T] = deque()  # received for a coroutine that had been cancelled

    async def recv(self) -> _T:
        """The next value. Raises Closed once the channel is closed and drained. Cancelling it loses no value."""
        if self._returned:
            return self._returned.popleft()
        value, received = self._chan.try_recv()
        if received:
            return cast(_T, value)
        return await _awaitable(self._chan.recv, None, self._returned.append)

    async def send(self, value: _T) -> None:
        """Sends it once there is a receiver or room. Raises Closed. When cancelled it may have been sent."""
        if not self._chan.try_send(value):
            await _awaitable(functools.partial(self._chan.send, value), None)

    def close(self) -> None:
        """Closes the channel."""
        self._chan.close()

    def __aiter__(self) -> AsyncChan[_T]:
        """Itself: each value goes to one receiver."""
        return self

    async def __anext__(self) -> _T:
        """As recv(); the end of the iteration once the channel is closed and drained."""
        try:
            return await self.recv()
        except Closed:
            raise StopAsyncIteration from None


@overload
def wrap(source: Task[_T], /) -> asyncio.Future[_T]: ...
@overload
def wrap(source: Chan[_T], /) -> AsyncChan[_T]: ...
@overload
def wrap(source: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> asyncio.Future[_T]: ...
def wrap(source: Any, /, *args: Any, **kwargs: Any) -> Any:
    """What a coroutine can await: a goroutine's result; a channel, as AsyncChan; the call of a function that may park.

    The function runs in a goroutine. Cancelling the future cancels the goroutine. On a loop that is not ecru.aio's own,
    which blocks its thread, a thread of the loop's executor waits instead, and is not cancelled.
    """
    if isinstance(source, Task):
        return _awaitable(source.result, source.cancel)
    if isinstance(source, Chan):
        return AsyncChan(source)
    if not callable(source):
        raise TypeError(f"a Task, a Chan or a callable is needed, not {source!r}")
    return _awaitable(functools.partial(source, *args, **kwargs), None)
