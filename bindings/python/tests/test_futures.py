"""ecru.futures: an executor of goroutines, from goroutines and plain threads."""

import concurrent.futures
import contextvars
import gc
import threading
from collections.abc import Iterator

import pytest

import ecru
from ecru import futures
from ecru.futures import GoroutineExecutor


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    gc.collect()
    with ecru.timeout(30):
        while ecru._native.goroutine_count() > 0:
            ecru.sleep(0.001)


def wait_until_it_runs(future: futures.Future[object]) -> None:
    with ecru.timeout(30):
        while not future.running():
            ecru.sleep(0.001)


def double(number: int) -> int:
    ecru.sleep(0.001)
    return 2 * number


def fail() -> None:
    raise LookupError("nowhere")


def test_calls_run_at_once_and_give_results() -> None:
    meeting = ecru.Barrier(50)
    with GoroutineExecutor() as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        met = [executor.submit(meeting.wait, 30) for _ in range(50)]  # all have to be there
        assert sorted(future.result() for future in met) == list(range(50))
        assert executor.submit(divmod, 7, 2).result(timeout=30) == (3, 1)
        assert executor.submit(int, "20", base=3).result() == 6
        with pytest.raises(LookupError, match="nowhere"):
            executor.submit(fail).result()
        assert isinstance(executor.submit(fail).exception(), LookupError)


def test_no_more_than_max_workers_run() -> None:
    most = running = 0

    def work() -> None:
        nonlocal most, running
        running += 1
        most = max(most, running)
        ecru.sleep(0.001)
        running -= 1

    with GoroutineExecutor(max_workers=3) as executor:
        for _ in range(20):
            executor.submit(work)
    assert most == 3
    with pytest.raises(ValueError, match="max_workers"):
        GoroutineExecutor(0)


def test_map_keeps_the_order() -> None:
    with GoroutineExecutor() as executor:
        assert list(executor.map(double, range(10))) == [2 * number for number in range(10)]
        assert list(executor.map(pow, [2, 3], [3, 2, 1])) == [8, 9]
        with pytest.raises(concurrent.futures.TimeoutError):
            list(executor.map(ecru.sleep, [0, 0.2], timeout=0.01))
        results = executor.map(int, ["1", "x", "2"])
        assert next(results) == 1
        with pytest.raises(ValueError, match="x"):
            next(results)


def test_map_runs_no_further_ahead_than_it_is_told() -> None:
    begun: list[int] = []

    def call(number: int) -> int:
        begun.append(number)
        return number

    with GoroutineExecutor() as executor:
        results = executor.map(call, range(5), buffersize=2)
        for number in range(5):
            assert next(results) == number
            assert len(begun) <= number + 3
        assert list(results) == []
        with pytest.raises(ValueError, match="buffersize"):
            executor.map(call, range(5), buffersize=0)


def test_waiting_is_limited_and_leaves_the_future() -> None:
    gate = ecru.Event()
    with GoroutineExecutor() as executor:
        future = executor.submit(gate.wait)
        with pytest.raises(concurrent.futures.TimeoutError):
            future.result(timeout=0.001)
        with pytest.raises(concurrent.futures.TimeoutError):
            future.exception(timeout=0)
        gate.set()
        assert future.result() is True


def test_what_has_not_begun_can_be_cancelled() -> None:
    gate = ecru.Event()
    with GoroutineExecutor(1) as executor:
        first, second = executor.submit(gate.wait), executor.submit(gate.wait)
        wait_until_it_runs(first)
        assert not first.cancel()
        assert second.cancel()
        gate.set()
        with pytest.raises(futures.CancelledError):
            second.result()


def test_shutdown_refuses_more_and_waits() -> None:
    gate = ecru.Event()
    executor = GoroutineExecutor(1)
    first, second = executor.submit(gate.wait), executor.submit(gate.wait)
    wait_until_it_runs(first)
    executor.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(gate.wait)
    assert second.cancelled()
    assert not first.done()
    gate.set()
    executor.shutdown()
    assert first.done()


def test_its_scope_ends_the_calls() -> None:
    with ecru.timeout(30) as scope:
        executor = GoroutineExecutor(1)
        first, second = executor.submit(ecru.sleep, None), executor.submit(ecru.sleep, None)
        while not first.running():
            ecru.yield_()
    scope.cancel()
    assert isinstance(first.exception(), ecru.Cancelled)
    assert second.exception() is not None
    executor.shutdown()
    executor = GoroutineExecutor()
    executor._dispatcher.cancel()
    executor._dispatcher.join()
    with pytest.raises(RuntimeError, match="scope"):
        executor.submit(double, 1)


def test_a_dropped_executor_finishes() -> None:
    future = GoroutineExecutor().submit(double, 4)
    gc.collect()
    assert future.result(30) == 8


def test_context_variables_are_the_submitters() -> None:
    variable = contextvars.ContextVar("variable", default=0)
    with GoroutineExecutor() as executor:
        variable.set(5)
        assert executor.submit(variable.get).result() == 5


def test_plain_threads_submit_and_wait() -> None:
    got: list[object] = []
    with GoroutineExecutor() as executor:

        def thread() -> None:
            got.append(executor.submit(double, 1).result(timeout=30))
            got.append(executor.submit(threading.get_native_id).result())
            got.append(len(futures.wait([executor.submit(double, 1) for _ in range(5)]).done))

        ecru.run_blocking(thread)
    assert got == [2, threading.get_native_id(), 5]


def test_a_thread_without_goroutines_cannot_make_one() -> None:
    with pytest.raises(RuntimeError, match="goroutines"):
        ecru.run_blocking(GoroutineExecutor)


def test_wait_returns_when_it_is_told_to() -> None:
    gate = ecru.Event()
    with GoroutineExecutor() as executor:
        held, quick, failed = executor.submit(gate.wait), executor.submit(double, 1), executor.submit(fail)
        assert futures.wait([held, quick], return_when=futures.FIRST_COMPLETED) == ({quick}, {held})
        assert futures.wait([held, failed], return_when=futures.FIRST_EXCEPTION) == ({failed}, {held})
        assert futures.wait([held, failed, quick], timeout=0.01) == ({failed, quick}, {held})
        assert futures.wait([]) == (set(), set())
        with pytest.raises(ValueError, match="return_when"):
            futures.wait([held], return_when="SOON")
        gate.set()
        assert futures.wait([held, quick, failed]).not_done == set()


def test_as_completed_gives_the_first_first() -> None:
    gate = ecru.Event()
    with GoroutineExecutor() as executor:
        held, quick = executor.submit(gate.wait), executor.submit(double, 1)
        completed = futures.as_completed([held, quick], timeout=30)
        assert next(completed) is quick
        gate.set()
        assert list(completed) == [held]
        gate.clear()
        with pytest.raises(concurrent.futures.TimeoutError, match=r"1 .of 1. futures"):
            list(futures.as_completed([executor.submit(gate.wait)], timeout=0.001))
        gate.set()


def test_futures_of_real_threads_can_be_waited_for() -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        started = [executor.submit(pow, number, 2) for number in range(5)]
        assert {future.result() for future in futures.as_completed(started)} == {0, 1, 4, 9, 16}
        assert futures.wait(started).done == set(started)


def test_a_thousand_calls() -> None:
    with GoroutineExecutor(100) as executor:
        assert sum(executor.map(double, range(1000))) == 999_000
