"""gather, race, as_completed and map, rules T3, T5."""

import functools
import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from failing import LONG, fail, fail_with_cancelled_others
from running import Running

import ecru

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup


def later(seconds: float, value: Any) -> Any:
    ecru.sleep(seconds)
    return value


def test_t3_gather_keeps_the_order() -> None:
    assert ecru.gather(lambda: later(0.002, "a"), lambda: "b", functools.partial(later, 0.001, "c")) == ["a", "b", "c"]
    assert ecru.gather() == []


def test_t3_gather_waits_for_tasks_too() -> None:
    assert ecru.gather(ecru.spawn(later, 0.001, 1), lambda: 2) == [1, 2]


def test_t3_gather_raises_all_errors_and_cancels_what_it_started() -> None:
    outside = ecru.spawn(later, 0.005, "ran on")
    with pytest.raises(ExceptionGroup) as caught:
        ecru.gather(outside, lambda: fail(KeyError()), lambda: fail_with_cancelled_others(ValueError()))
    assert [type(error) for error in caught.value.exceptions] == [KeyError, ValueError]
    assert outside.result() == "ran on"


def test_t3_gather_can_return_errors() -> None:
    result = ecru.gather(lambda: 1, lambda: fail(KeyError("x")), return_exceptions=True)
    assert result[0] == 1
    assert isinstance(result[1], KeyError)


def test_gather_with_a_limit() -> None:
    running = Running(2)
    ecru.gather(*[running] * 10, limit=2)
    assert running.most == 2


@pytest.mark.parametrize("use", [ecru.gather, ecru.race, lambda work: list(ecru.as_completed([work]))])
def test_what_is_no_work_is_refused(use: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match="callable without arguments"):
        use(5)


def test_t3_race_gives_the_first_success_and_ends_the_rest() -> None:
    ended = []

    def slow() -> str:
        try:
            return later(LONG, "slow")  # type: ignore[no-any-return]
        finally:
            ended.append(True)

    def broken() -> str:
        raise KeyError

    assert ecru.race(slow, broken, lambda: later(0.001, "fast")) == "fast"
    assert ended == [True]


def test_t3_race_without_a_winner_gives_all_errors() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        ecru.race(lambda: fail(KeyError()), lambda: fail(ValueError()))
    assert {type(error) for error in caught.value.exceptions} == {KeyError, ValueError}
    with pytest.raises(ValueError, match="nothing"):
        ecru.race()


def test_t3_as_completed_yields_in_the_order_of_the_ends() -> None:
    gates = [ecru.Event(), ecru.Event()]
    work: list[Any] = [gates[0].wait, ecru.spawn(gates[1].wait), lambda: "at once"]
    ended = ecru.as_completed(work)
    assert next(ended).result() == "at once"
    gates[1].set()
    assert next(ended) is work[1]
    gates[0].set()
    assert next(ended).result() is True
    assert next(ended, None) is None
    assert list(ecru.as_completed([])) == []


def test_t3_as_completed_given_up_ends_what_it_started() -> None:
    ended = []

    def sleeper() -> None:
        try:
            ecru.sleep(LONG)
        finally:
            ended.append(True)

    def quick() -> None:
        ecru.yield_()

    stream = ecru.as_completed([sleeper, quick, sleeper])
    assert next(stream).exception() is None
    stream.close()
    assert ended == [True, True]


def test_t5_as_completed_takes_from_an_endless_source_by_its_limit() -> None:
    taken = []

    def source() -> Iterator[Callable[[], int]]:
        n = 0
        while True:
            taken.append(n)
            yield functools.partial(int, n)
            n += 1

    stream = ecru.as_completed(source(), limit=4)
    for _ in range(10):
        next(stream)
    stream.close()
    assert len(taken) <= 14


def test_t5_map_keeps_the_order_and_the_limit() -> None:
    running = Running(4)

    def work(n: int) -> int:
        running()
        return n * n

    assert list(ecru.map(work, range(20), limit=4)) == [n * n for n in range(20)]
    assert running.most == 4
    assert list(ecru.map(work, [])) == []
    assert list(ecru.map(pow, [2, 3], [3, 2, 9])) == [8, 9]


def test_t5_maps_first_error_ends_it() -> None:
    started = []

    def work(n: int) -> int:
        started.append(n)
        ecru.yield_()
        if n >= 2:
            raise KeyError(n)
        return n

    seen = []
    with pytest.raises(KeyError, match="2"):
        for value in ecru.map(work, range(100), limit=3):
            seen.append(value)
    assert seen == [0, 1]
    assert len(started) < 10


def test_t5_later_errors_of_a_map_are_nobodys(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="a"):
        list(ecru.map(int, "abc"))
    gc.collect()
    assert capfd.readouterr().err == ""


def test_t5_an_iterables_error_comes_after_its_values() -> None:
    def source() -> Iterator[int]:
        yield from range(3)
        raise KeyError("source")

    for limit in (1, 2, 5, None):
        seen = []
        with pytest.raises(KeyError, match="source"):
            for value in ecru.map(int, source(), limit=limit):
                seen.append(value)
        assert seen == [0, 1, 2]


def test_t5_a_map_dropped_early_ends_what_it_started() -> None:
    ended = []

    def work(n: int) -> int:
        try:
            if n:
                ecru.sleep(LONG)
        finally:
            ended.append(n)
        return n

    stream = ecru.map(work, range(5))
    assert next(stream) == 0
    del stream
    gc.collect()
    assert sorted(ended) == list(range(5))


@pytest.mark.parametrize("limit", [0, -3])
def test_bad_limits_are_refused_at_once(limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        ecru.map(int, [], limit=limit)
    with pytest.raises(ValueError, match="limit"):
        ecru.as_completed([], limit)
    with pytest.raises(TypeError, match="iterable"):
        ecru.map(int)
