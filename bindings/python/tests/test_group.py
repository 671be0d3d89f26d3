"""Task groups, rules T2, T3, T4."""

import gc
import sys
import threading
import weakref
from collections.abc import Callable

import pytest
from failing import LONG, fail, fail_with_cancelled_others
from running import Running

import ecru

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup


def test_t4_a_group_ends_when_all_have_ended() -> None:
    ended = []

    def work(n: int) -> int:
        ecru.sleep(0.001 * n)
        ended.append(n)
        return n * n

    with ecru.TaskGroup() as group:
        tasks = [group.go(work, n) for n in range(5)]
    assert sorted(ended) == list(range(5))
    assert all(task.done for task in tasks)
    assert [task.result() for task in tasks] == [0, 1, 4, 9, 16]


def test_t4_an_empty_group() -> None:
    with ecru.TaskGroup():
        pass


def test_t4_the_first_error_cancels_the_siblings_and_the_block() -> None:
    block = []
    with pytest.raises(ExceptionGroup) as caught, ecru.TaskGroup() as group:
        sleeper = group.go(ecru.sleep, LONG)
        group.go(fail, KeyError(1))
        try:
            ecru.sleep(LONG)
        except ecru.Cancelled as error:
            block.append(error)
            raise
    assert [type(error) for error in caught.value.exceptions] == [KeyError]
    assert block
    assert isinstance(sleeper.exception(), ecru.Cancelled)


def test_t4_all_errors_are_there_in_order() -> None:
    with pytest.raises(ExceptionGroup) as caught, ecru.TaskGroup() as group:
        group.go(fail_with_cancelled_others, ValueError(2))
        ecru.yield_()
        group.go(fail, KeyError(1))
    assert [type(error) for error in caught.value.exceptions] == [KeyError, ValueError]


def test_t4_an_error_of_the_block_cancels_and_is_in_the_group() -> None:
    with pytest.raises(ExceptionGroup) as caught, ecru.TaskGroup() as group:
        sleeper = group.go(ecru.sleep, LONG)
        raise KeyError
    assert [type(error) for error in caught.value.exceptions] == [KeyError]
    assert isinstance(sleeper.exception(), ecru.Cancelled)


def test_t2_errors_in_a_group_have_been_looked_at(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExceptionGroup), ecru.TaskGroup() as group:
        group.go(fail, KeyError())
    del group
    gc.collect()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_t4_what_is_no_exception_passes_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, ecru.TaskGroup() as group:
        group.go(ecru.sleep, LONG)
        group.go(fail, error)
    assert caught.value is error
    with pytest.raises(type(error)) as caught, ecru.TaskGroup() as group:
        group.go(ecru.sleep, LONG)
        raise error
    assert caught.value is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("wait", [lambda: ecru.sleep(LONG), ecru.Chan[int]().recv, lambda: None])
def test_t4_it_passes_once_if_the_first_goroutine_waits_in_the_block(
    error: BaseException, wait: Callable[[], object]
) -> None:
    with pytest.raises(type(error)) as caught, ecru.TaskGroup() as group:
        sleeper = group.go(ecru.sleep, LONG)
        group.go(fail, error)
        wait()
    assert caught.value is error
    assert sleeper.done
    ecru.sleep(0.001)


def test_t4_it_passes_through_groups_and_tasks_to_the_first() -> None:
    def inner() -> None:
        with ecru.TaskGroup() as group:
            group.go(fail, KeyboardInterrupt())
            ecru.sleep(LONG)

    with pytest.raises(KeyboardInterrupt), ecru.TaskGroup() as group:
        group.go(inner)
        ecru.sleep(LONG)
    ecru.sleep(0.001)
    with pytest.raises(KeyboardInterrupt):
        ecru.spawn(inner)
        ecru.sleep(LONG)
    ecru.sleep(0.001)


def test_what_is_raised_in_the_first_ends_a_wait_that_ends_anyway() -> None:
    """If it came after the Cancelled it would meet the block's end, and leave that undone."""
    with pytest.raises(KeyboardInterrupt), ecru.timeout(LONG) as scope:

        def interrupt() -> None:
            scope.cancel()
            raise KeyboardInterrupt

        ecru.go(interrupt)
        ecru.sleep(LONG)
    ecru.sleep(0.001)


def test_t4_a_limit_its_own_goroutines_wait_behind_is_an_error() -> None:
    def nest() -> None:
        group.go(nest)
        group.go(nest)

    with pytest.raises(ExceptionGroup) as caught, ecru.TaskGroup(2) as group:
        group.go(nest)
    assert isinstance(caught.value.exceptions[0], RuntimeError)


def test_t4_goroutines_at_the_limit_may_start_others_as_places_come_free() -> None:
    begun = []

    def nest(depth: int) -> None:
        begun.append(depth)
        if depth:
            group.go(nest, depth - 1)

    with ecru.TaskGroup(2) as group:
        group.go(nest, 20)
    assert begun == list(range(20, -1, -1))


def test_t4_a_supervisor_isolates_failures() -> None:
    with pytest.raises(ExceptionGroup) as caught, ecru.TaskGroup(supervisor=True) as group:
        group.go(fail, KeyError())
        slow = group.go(lambda: ecru.sleep(0.005))
        group.go(fail, ValueError())
        ecru.sleep(0.001)
    assert slow.exception() is None
    assert len(caught.value.exceptions) == 2


def test_t4_an_error_of_a_supervisors_block_cancels_all() -> None:
    with pytest.raises(ExceptionGroup), ecru.TaskGroup(supervisor=True) as group:
        task = group.go(ecru.sleep, LONG)
        raise KeyError
    assert isinstance(task.exception(), ecru.Cancelled)


def test_t4_one_cancelled_task_is_no_failure() -> None:
    with ecru.TaskGroup() as group:
        task = group.go(ecru.sleep, LONG)
        other = group.go(lambda: 5)
        task.cancel()
    assert isinstance(task.exception(), ecru.Cancelled)
    assert other.result() == 5


def test_t4_cancel_ends_all_and_the_block_quietly() -> None:
    with ecru.TaskGroup() as group:
        task = group.go(ecru.sleep, LONG)
        group.cancel()
        ecru.sleep(LONG)
    assert isinstance(task.exception(), ecru.Cancelled)


def test_t4_an_outer_cancel_passes_on() -> None:
    with ecru.move_on_after(0.001) as scope:
        with ecru.TaskGroup() as group:
            task = group.go(ecru.sleep, LONG)
        pytest.fail("the group was cancelled from outside")
    assert scope.caught
    assert task.done


def test_t4_an_outer_cancel_of_the_block_passes_on() -> None:
    with ecru.move_on_after(0.001) as scope:
        with ecru.TaskGroup():
            ecru.sleep(LONG)
        pytest.fail("the group was cancelled from outside")
    assert scope.caught


def test_t4_an_outer_cancel_that_stopped_nobody_is_not_raised_by_the_group() -> None:
    with ecru.move_on_after(None) as scope:
        with ecru.TaskGroup() as group:
            group.go(scope.cancel)
        reached = True
    assert reached
    assert not scope.caught


def test_t4_groups_nest() -> None:
    inner_ended = []

    def inner() -> None:
        try:
            with ecru.TaskGroup() as group:
                group.go(ecru.sleep, LONG)
                group.go(ecru.sleep, LONG)
        finally:
            inner_ended.append(True)

    with pytest.raises(ExceptionGroup) as caught, ecru.TaskGroup() as outer:
        outer.go(inner)
        ecru.yield_()
        outer.go(fail, KeyError())
    assert inner_ended
    assert [type(error) for error in caught.value.exceptions] == [KeyError]


def test_t4_errors_of_an_inner_group_are_a_group_in_the_outer() -> None:
    def inner() -> None:
        with ecru.TaskGroup() as group:
            group.go(fail, KeyError())

    with pytest.raises(ExceptionGroup) as caught, ecru.TaskGroup() as outer:
        outer.go(inner)
    assert isinstance(caught.value.exceptions[0], ExceptionGroup)
    assert caught.value.subgroup(KeyError) is not None


def test_t4_children_can_start_more() -> None:
    count = []

    def work(group: ecru.TaskGroup, depth: int) -> None:
        count.append(depth)
        if depth:
            group.go(work, group, depth - 1)
            group.go(work, group, depth - 1)

    with ecru.TaskGroup() as group:
        group.go(work, group, 5)
    assert len(count) == 2**6 - 1


def test_t4_a_goroutine_belongs_to_the_groups_scope_not_its_starters() -> None:
    with ecru.TaskGroup() as group, ecru.move_on_after(0.001):
        task = group.go(ecru.sleep, 0.01)
        ecru.sleep(LONG)
    assert task.exception() is None


def test_t4_a_limit_bounds_how_many_run() -> None:
    running = Running(3)
    with ecru.TaskGroup(limit=3) as group:
        for _ in range(18):
            group.go(running)
    assert running.most == 3


def test_t4_try_go_never_parks() -> None:
    gate = ecru.Event()
    with ecru.TaskGroup(limit=1) as group:
        assert group.try_go(gate.wait) is not None
        assert group.try_go(gate.wait) is None
        gate.set()


def test_t4_who_waits_for_a_place_is_cancelled_with_the_group() -> None:
    def start_more(group: ecru.TaskGroup) -> None:
        group.go(ecru.sleep, LONG)

    with pytest.raises(ExceptionGroup), ecru.TaskGroup(limit=2) as group:
        group.go(fail_after_two_yields)
        group.go(start_more, group)
        group.go(ecru.sleep, LONG)
        pytest.fail("no place becomes free but by the failure")


def fail_after_two_yields() -> None:
    ecru.yield_()
    ecru.yield_()
    raise KeyError


def test_t4_who_waits_for_a_place_keeps_the_own_time_limit() -> None:
    gate = ecru.Event()
    with ecru.TaskGroup(limit=1) as group:
        group.go(gate.wait)
        with pytest.raises(ecru.DeadlineExceeded), ecru.timeout(0.001):
            group.go(gate.wait)
        gate.set()


def test_t4_a_group_that_has_ended_starts_nothing() -> None:
    with ecru.TaskGroup() as group:
        pass
    with pytest.raises(RuntimeError, match="ended"):
        group.go(int)
    with pytest.raises(RuntimeError, match="once"):
        group.__enter__()
    with pytest.raises(RuntimeError, match="not been entered"):
        ecru.TaskGroup().go(int)


def test_bad_arguments_of_a_group() -> None:
    for limit in (0, -1):
        with pytest.raises(ValueError, match="limit"):
            ecru.TaskGroup(limit)
    with pytest.raises(ExceptionGroup) as caught, ecru.TaskGroup() as group:
        group.go(5)  # type: ignore[arg-type]
    assert isinstance(caught.value.exceptions[0], TypeError)


def test_t4_ten_thousand_in_a_group_hold_no_memory_afterwards() -> None:
    class Thing:
        pass

    things: weakref.WeakSet[Thing] = weakref.WeakSet()

    def work() -> Thing:
        thing = Thing()
        things.add(thing)
        return thing

    with ecru.TaskGroup() as group:
        for n in range(10_000):
            group.go(work)
            if n % 10 == 0:
                ecru.yield_()
        assert len(things) < 5000  # ended ones are forgotten while the group runs
    assert len(things) < 200


@pytest.mark.usefixtures("without_collections")
def test_t4_errors_make_no_cycles() -> None:
    seen = []

    class Marked(Exception):
        def __init__(self) -> None:
            seen.append(weakref.ref(self))

    def work() -> None:
        raise Marked

    def once() -> None:
        try:
            with ecru.TaskGroup() as group:
                group.go(work)
        except ExceptionGroup:
            pass

    once()
    assert seen[0]() is None


def test_t4_a_thread_may_start_in_nobodys_name() -> None:
    """An OS thread that runs no goroutines is told so, and the group is as before."""
    said: list[BaseException] = []

    def outside(group: ecru.TaskGroup) -> None:
        try:
            group.go(int)
        except RuntimeError as error:
            said.append(error)

    with ecru.TaskGroup(limit=1) as group:
        thread = threading.Thread(target=outside, args=(group,))
        thread.start()
        thread.join()
        assert group.go(lambda: 7).result() == 7
    assert "ecru.run" in str(said[0])


def test_groups_raised_are_plain_exception_groups() -> None:
    with pytest.raises(BaseExceptionGroup) as caught, ecru.TaskGroup() as group:
        group.go(fail, OSError())
    assert type(caught.value) is ExceptionGroup


def test_a_group_keeps_nothing_of_those_that_have_ended() -> None:
    class Result:
        pass

    with ecru.TaskGroup() as group:
        results = [weakref.ref(group.go(Result).result()) for _ in range(20)]
        assert not any(result() for result in results)


def test_t3_goroutines_of_other_threads_are_waited_for() -> None:
    gate, started = ecru.Event(), ecru.Semaphore(0)
    ended = []

    def late() -> None:
        gate.wait()
        ended.append(None)

    def start() -> None:
        for _ in range(10):
            group.go(late)
        started.release()

    with ecru.TaskGroup() as group:
        threads = [threading.Thread(target=ecru.run, args=(start,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in threads:
            started.acquire()
        ecru.go(gate.set)
    assert len(ended) == 40
    for thread in threads:
        thread.join()
