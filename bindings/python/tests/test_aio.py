"""ecru.aio: asyncio in goroutines, and both ways between them."""

import asyncio
import concurrent.futures
import contextvars
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import ecru
from ecru import Chan, ChanClosed, aio, net


@pytest.fixture(autouse=True)
def no_shared_loop() -> Iterator[None]:
    yield
    aio.stop()
    ecru.yield_()  # what has ended may not have left its worker
    assert ecru._native.goroutine_count() == 0


async def double(number: int, seconds: float = 0.0) -> int:
    await asyncio.sleep(seconds)
    return 2 * number


async def fail() -> None:
    raise LookupError("nowhere")


# ---- run -------------------------------------------------------------------------------------------------------------


def test_run_gives_the_result_or_the_error() -> None:
    assert aio.run(double(21)) == 42
    with pytest.raises(LookupError, match="nowhere"):
        aio.run(fail())
    with pytest.raises(TypeError, match="coroutine"):
        aio.run(42)  # type: ignore[arg-type]


def test_several_loops_run_in_several_goroutines_at_once() -> None:
    log = []

    async def tick(name: str) -> None:
        for number in range(3):
            log.append(f"{name}{number}")
            await asyncio.sleep(0.01)

    began = time.monotonic()
    tasks = [ecru.spawn(aio.run, tick(name)) for name in "abc"]
    for task in tasks:
        task.result()
    assert time.monotonic() - began < 5
    assert sorted(log[:3]) == ["a0", "b0", "c0"]
    assert len(log) == 9


def test_goroutines_run_while_a_loop_waits() -> None:
    ticks = 0

    def count() -> None:
        nonlocal ticks
        while True:
            ecru.sleep(0.001)
            ticks += 1

    counter = ecru.spawn(count)
    aio.run(asyncio.sleep(0.05))
    counter.cancel()
    counter.join()
    assert ticks > 2


def test_a_busy_loop_lets_others_go() -> None:
    went = ecru.Event()

    async def spin() -> None:
        while not went.is_set():
            await asyncio.sleep(0)

    ecru.go(went.set)
    with ecru.timeout(30):
        aio.run(spin())


def test_streams_of_asyncio_talk_to_connections_of_ours() -> None:
    def serve(listener: net.Listener) -> None:
        with listener.accept() as conn:
            conn.sendall(conn.read_line().upper())

    async def client(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\n")
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line

    with net.listen("127.0.0.1:0") as listener:
        server = ecru.spawn(serve, listener)
        assert aio.run(client(listener.address[1])) == b"HELLO\n"
        server.result()


def test_a_loop_does_not_run_inside_another() -> None:
    async def nested() -> None:
        aio.run(double(1))

    with pytest.raises(RuntimeError, match="already"):
        aio.run(nested())

    async def awaiting() -> None:
        aio.await_(double(1))

    with pytest.raises(RuntimeError, match="await"):
        aio.run(awaiting())


def test_the_end_cancels_what_is_left_and_reports_its_errors() -> None:
    log = []
    context: list[dict[str, object]] = []

    async def cleaning() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.001)
            log.append("cleaned up")
            raise LookupError

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, found: context.append(found))
        main.task = asyncio.create_task(cleaning())  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    aio.run(main())
    assert log == ["cleaned up"]
    assert isinstance(context[0]["exception"], LookupError)


def test_executors_and_threads_of_asyncio_work() -> None:
    async def main() -> list[int]:
        names = await asyncio.gather(*(asyncio.to_thread(threading.get_native_id) for _ in range(3)))
        return [*names, threading.get_native_id()]

    *others, own = aio.run(main())
    assert own not in others


def test_context_variables_pass() -> None:
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(1)

    async def read() -> int:
        return variable.get()

    async def read_in_goroutine() -> int:
        variable.set(2)
        return await aio.wrap(variable.get)

    assert aio.run(read()) == 1
    assert aio.await_(read()) == 1
    assert aio.run(read_in_goroutine()) == 2


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.Runner came with 3.11")
def test_runners_of_asyncio_take_our_loops() -> None:
    with asyncio.Runner(loop_factory=aio.new_event_loop) as runner:
        assert runner.run(double(4, 0.001)) == 8


# ---- cancellation ----------------------------------------------------------------------------------------------------


def test_a_token_cancels_the_coroutine_which_may_clean_up() -> None:
    log = []

    async def main() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            log.append("cleaned up")
            raise

    with pytest.raises(ecru.DeadlineExceeded), ecru.timeout(0.01):
        aio.run(main())
    task = ecru.spawn(aio.run, main())
    ecru.sleep(0.01)
    task.cancel()
    assert isinstance(task.exception(), ecru.Cancelled)
    assert log == ["cleaned up"] * 2


def test_a_coroutine_may_refuse_to_be_cancelled() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
        return "done"

    with ecru.timeout(0.01) as scope:
        assert aio.run(stubborn()) == "done"
    assert scope.expired


def test_its_own_cancellation_is_asyncios() -> None:
    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    with pytest.raises(asyncio.CancelledError):
        aio.run(main())


# ---- await_ and wait -------------------------------------------------------------------------------------------------


def test_await_shares_a_loop_that_outlives_its_first_caller() -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    with ecru.move_on_after(30) as scope:
        first = aio.await_(loop())
    scope.cancel()
    ecru.yield_()
    assert aio.await_(loop()) is first
    assert ecru.spawn(aio.await_, loop()).result() is first
    with pytest.raises(LookupError):
        aio.await_(fail())
    aio.stop()
    assert first.is_closed()
    assert aio.await_(loop()) is not first


def test_many_goroutines_await_at_once() -> None:
    tasks = [ecru.spawn(aio.await_, double(number, 0.01)) for number in range(200)]
    assert [task.result() for task in tasks] == [2 * number for number in range(200)]


def test_await_cancels_with_the_caller_and_waits_for_the_end() -> None:
    log = []

    async def main() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            log.append("cleaned up")

    with pytest.raises(ecru.DeadlineExceeded), ecru.timeout(0.3):
        aio.await_(main())
    assert log == ["cleaned up"]
    assert aio.await_(double(1)) == 2


def test_what_cannot_be_awaited_is_an_error() -> None:
    other = asyncio.new_event_loop()
    future = other.create_future()
    with pytest.raises(TypeError):
        aio.await_(double)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="different loop"):
        aio.await_(future)
    assert aio.await_(double(1)) == 2
    other.close()


def test_a_loop_that_does_not_run_is_waited_for_until_the_token_fires() -> None:
    loop = asyncio.new_event_loop()
    with pytest.raises(ecru.DeadlineExceeded), ecru.timeout(0.01):
        aio.await_(fail(), loop=loop)
    loop.run_until_complete(double(1))
    loop.close()


def test_await_reaches_a_loop_in_another_thread() -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        assert aio.await_(double(3, 0.001), loop=loop) == 6
        task = ecru.spawn(aio.await_, double(3, 60), loop=loop)
        ecru.sleep(0.01)
        task.cancel()
        assert isinstance(task.exception(), ecru.Cancelled)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        ecru.run_blocking(thread.join)
        loop.close()


def test_wait_takes_futures_of_both_kinds() -> None:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    with pytest.raises(TimeoutError):
        aio.wait(future, timeout=0.01)
    thread = threading.Timer(0.01, future.set_result, [5])
    thread.start()
    assert aio.wait(future) == aio.wait(future, timeout=1) == 5

    async def owner(told: "Chan[asyncio.Future[int]]") -> None:
        mine = asyncio.get_running_loop().create_future()
        told.send(mine)
        await asyncio.sleep(0.01)
        mine.set_result(6)
        with pytest.raises(RuntimeError, match="own"):
            aio.wait(mine)

    told: Chan[asyncio.Future[int]] = Chan(1)
    task = ecru.spawn(aio.run, owner(told))
    assert aio.wait(told.recv(), timeout=30) == 6
    task.result()
    future = concurrent.futures.Future()
    future.set_exception(LookupError())
    with pytest.raises(LookupError):
        aio.wait(future)


# ---- wrap ------------------------------------------------------------------------------------------------------------


def test_goroutines_can_be_awaited() -> None:
    def work(number: int) -> int:
        ecru.sleep(0.01)
        return number + 1

    def broken() -> None:
        raise LookupError("in a goroutine")

    async def main() -> list[int]:
        task = ecru.spawn(work, 1)
        with pytest.raises(LookupError, match="in a goroutine"):
            await aio.wrap(ecru.spawn(broken))
        with pytest.raises(LookupError):
            await aio.wrap(broken)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await aio.wrap(next, iter(()))
        with pytest.raises(TypeError):
            aio.wrap(3)  # type: ignore[call-overload]
        return await asyncio.gather(aio.wrap(task), aio.wrap(work, 10), aio.wrap(work, number=20))

    assert aio.run(main()) == [2, 11, 21]


def test_cancelling_the_future_cancels_the_goroutine() -> None:
    async def main() -> list[object]:
        task = ecru.spawn(ecru.sleep, None)
        for awaited in (aio.wrap(task), aio.wrap(ecru.sleep, None)):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(awaited, 0.01)
        return [task.exception()]

    assert [type(error) for error in aio.run(main())] == [ecru.Cancelled]


def test_a_cancelled_goroutine_is_a_cancelled_future() -> None:
    async def main() -> None:
        task = ecru.spawn(ecru.sleep, None)
        future = aio.wrap(task)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future

    aio.run(main())


def test_channels_join_coroutines_and_goroutines() -> None:
    def square(numbers: Chan[int], squares: Chan[int]) -> None:
        for number in numbers:
            squares.send(number * number)
        squares.close()

    async def main() -> list[int]:
        numbers, squares = Chan[int](), Chan[int]()
        ecru.go(square, numbers, squares)

        async def feed() -> None:
            for number in range(10):
                await aio.wrap(numbers).send(number)
            aio.wrap(numbers).close()

        feeding = asyncio.create_task(feed())
        got = [value async for value in aio.wrap(squares)]
        await feeding
        with pytest.raises(ChanClosed):
            await aio.wrap(squares).recv()
        return got

    assert aio.run(main()) == [number * number for number in range(10)]


def test_a_cancelled_receive_loses_no_value() -> None:
    async def main() -> list[int]:
        numbers: Chan[int] = Chan()
        ours = aio.wrap(numbers)
        got = []
        sender = ecru.spawn(lambda: [numbers.send(number) for number in range(200)])
        while len(got) < 200:
            receive = asyncio.ensure_future(ours.recv())
            await asyncio.sleep(0)
            receive.cancel()
            try:
                got.append(await receive)
            except asyncio.CancelledError:
                await asyncio.sleep(0.0005)
        sender.result()
        return got

    assert aio.run(main()) == list(range(200))


def test_a_plain_loop_waits_in_a_thread() -> None:
    numbers: Chan[int] = Chan(1)

    async def main() -> list[int]:
        receive = asyncio.ensure_future(aio.wrap(numbers).recv())
        await asyncio.sleep(0.01)
        numbers.send(1)
        return [await receive, await aio.wrap(double_now, 4)]

    def double_now(number: int) -> int:
        return number * 2

    assert asyncio.run(main()) == [1, 8]
