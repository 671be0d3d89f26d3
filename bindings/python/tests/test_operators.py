"""Operators on streams: order, ends, errors, time, and that nothing is left of what a consumer gave up."""

import gc
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import Running

import ecru
from ecru import _native
from ecru import operators as ops

LONG = 30.0  # never reached


def stream_of(values: Iterable[Any], cap: int | None = 0) -> ecru.Chan[Any]:
    """A channel a goroutine sends the values into, and closes."""
    chan: ecru.Chan[Any] = ecru.Chan(cap)

    def feed() -> None:
        with chan:
            for value in values:
                chan.send(value)

    ecru.go(feed)
    return chan


def failing(count: int) -> Iterator[int]:
    yield from range(count)
    raise KeyError("source")


def endless() -> Iterator[int]:
    n = 0
    while True:
        yield n
        n += 1


def settle() -> None:
    """Lets goroutines that were told to end do so."""
    for _ in range(1000):
        if _native.goroutine_count() == 0:
            return
        ecru.yield_()
    pytest.fail(f"{_native.goroutine_count()} goroutines are left")


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    gc.collect()
    settle()


def test_map_filter_take_as_the_builtins() -> None:
    assert list(ops.map(str, stream_of(range(3)))) == ["0", "1", "2"]
    assert list(ops.filter(lambda n: n % 2, stream_of(range(5)))) == [1, 3]
    assert list(ops.take(ops.filter(lambda n: n % 2, endless()), 3)) == [1, 3, 5]
    assert list(ops.take(stream_of([1]), 5)) == [1]
    assert list(ops.take(endless(), 0)) == []


def test_take_takes_no_more_than_it_gives() -> None:
    chan: ecru.Chan[int] = ecru.Chan(None)
    for n in range(5):
        chan.send(n)
    assert list(ops.take(chan, 2)) == [0, 1]
    assert len(chan) == 3


def test_map_with_a_limit_runs_calls_at_once_in_order() -> None:
    running = Running(3)

    def work(n: int) -> int:
        running()
        return n

    assert list(ops.map(work, stream_of(range(12)), limit=3)) == list(range(12))
    assert running.most == 3


def test_map_with_a_limit_gives_what_is_done_while_the_source_is_silent() -> None:
    chan: ecru.Chan[int] = ecru.Chan(None)
    chan.send(1)
    stream = ops.map(str, chan, limit=5)
    assert next(stream) == "1"
    chan.send(2)
    chan.close()
    assert list(stream) == ["2"]


def test_buffer_takes_ahead() -> None:
    taken = []

    def source() -> Iterator[int]:
        for n in range(10):
            taken.append(n)
            yield n

    stream = ops.buffer(source(), 4)
    assert next(stream) == 0
    for _ in range(20):
        ecru.yield_()
    assert 5 <= len(taken) <= 6
    assert list(stream) == list(range(1, 10))


def test_batch_by_size() -> None:
    assert list(ops.batch(stream_of(range(7)), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(ops.batch([], 3)) == []
    assert list(ops.batch(stream_of(range(7)), 3, LONG)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(ops.batch(iter(range(4)), 3, LONG)) == [[0, 1, 2], [3]]


@pytest.mark.parametrize("seconds", [None, LONG])
def test_batch_gives_what_came_before_an_error(seconds: float | None) -> None:
    seen = []
    with pytest.raises(KeyError, match="source"):
        for values in ops.batch(failing(5), 3, seconds):
            seen.append(values)
    assert seen == [[0, 1, 2], [3, 4]]


def test_batch_by_time() -> None:
    chan: ecru.Chan[int] = ecru.Chan(None)
    chan.send(1)
    chan.send(2)
    stream = ops.batch(chan, 10, 0.005)
    begin = ecru.now()
    assert next(stream) == [1, 2]
    assert ecru.now() - begin >= 0.005
    chan.send(3)
    chan.close()
    assert list(stream) == [[3]]


def test_batch_without_waiting() -> None:
    chan: ecru.Chan[int] = ecru.Chan(None)
    for n in range(3):
        chan.send(n)
    chan.close()
    assert list(ops.batch(chan, 2, 0)) == [[0, 1], [2]]


def test_throttle_keeps_them_apart() -> None:
    instants = [ecru.now() for _ in ops.throttle(stream_of(range(4), None), 0.005)]
    assert all(after - before >= 0.005 for before, after in pairwise(instants))


def test_merge_takes_what_comes() -> None:
    merged = list(ops.merge(stream_of(range(50)), range(100, 150), stream_of([]), iter("ab")))
    assert len(merged) == 102
    for group in (range(50), range(100, 150)):
        assert [value for value in merged if value in group] == list(group)
    assert list(ops.merge()) == []


def test_merge_does_not_wait_for_a_slow_source() -> None:
    slow: ecru.Chan[str] = ecru.Chan()
    stream = ops.merge(slow, stream_of("ab"))
    assert [next(stream), next(stream)] == ["a", "b"]
    slow.close()
    assert list(stream) == []


def test_zip_pairs_them() -> None:
    assert list(ops.zip(stream_of("ab"), stream_of(range(2)))) == [("a", 0), ("b", 1)]
    assert list(ops.zip(endless(), "ab")) == [(0, "a"), (1, "b")]
    with pytest.raises(ValueError, match="argument 2"):
        list(ops.zip("ab", "a", strict=True))


OPERATORS: list[Callable[[Iterable[int]], Any]] = [
    lambda source: ops.map(int, source),
    lambda source: ops.map(int, source, limit=2),
    lambda source: ops.filter(lambda n: True, source),
    lambda source: ops.take(source, 100),
    lambda source: ops.buffer(source, 3),
    lambda source: ops.batch(source, 1),
    lambda source: ops.batch(source, 1, LONG),
    lambda source: ops.throttle(source, 0),
    lambda source: ops.merge(source),
    lambda source: ops.zip(source),
]


def flat(value: Any) -> int:
    return value[0] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("operate", OPERATORS)
def test_a_sources_error_comes_after_its_values(operate: Callable[[Iterable[int]], Any]) -> None:
    seen = []
    with pytest.raises(KeyError, match="source"):
        for value in operate(failing(3)):
            seen.append(flat(value))
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("operate", OPERATORS)
def test_c4_what_a_channel_was_closed_with_comes_after_its_values(operate: Callable[[Iterable[int]], Any]) -> None:
    chan: ecru.Chan[int] = ecru.Chan(3)
    for n in range(3):
        chan.send(n)
    chan.close(KeyError("source"))
    seen = []
    with pytest.raises(KeyError, match="source"):
        for value in operate(chan):
            seen.append(flat(value))
    assert seen == [0, 1, 2]


def test_c4_a_batch_under_way_is_given_before_the_error() -> None:
    chan: ecru.Chan[int] = ecru.Chan(3)
    chan.send(1)
    chan.close(KeyError("source"))
    values = ops.batch(chan, 5, LONG)
    assert next(values) == [1]
    with pytest.raises(KeyError, match="source"):
        next(values)


def slowly(n: int) -> int:
    ecru.sleep(0.2)
    return n


def test_what_a_signals_handler_raises_is_no_error_of_the_source() -> None:
    chan: ecru.Chan[int] = ecru.Chan(1)
    chan.send(1)
    with pytest.raises(LookupError, match="handler"):
        ecru.go(_native.interrupt_first, LookupError("handler"))  # as what a handler raises while the first waits
        next(ops.map(slowly, chan, limit=2))


def interrupted(error: BaseException) -> ecru.Chan[int]:
    """A channel of one value, after which a signal's handler raises it in who waits."""
    chan: ecru.Chan[int] = ecru.Chan(1)
    chan.send(1)

    def interrupt() -> None:
        while len(chan):
            ecru.yield_()
        _native.interrupt_first(error)

    ecru.go(interrupt)
    return chan


@pytest.mark.parametrize("seconds", [None, LONG])
def test_what_a_signals_handler_raises_takes_nothing_from_a_batch(seconds: float | None) -> None:
    stream = ops.batch(interrupted(LookupError("handler")), 5, seconds)
    assert next(stream) == [1]
    with pytest.raises(LookupError, match="handler"):
        next(stream)


@pytest.mark.parametrize("seconds", [None, LONG])
def test_what_is_to_end_the_program_does_not_wait_for_a_batch_to_be_consumed(seconds: float | None) -> None:
    with pytest.raises(KeyboardInterrupt):
        next(ops.batch(interrupted(KeyboardInterrupt()), 5, seconds))


@pytest.mark.parametrize("operate", OPERATORS)
def test_a_closed_source_ends_it(operate: Callable[[Iterable[int]], Any]) -> None:
    assert [flat(value) for value in operate(stream_of(range(10)))] == list(range(10))
    assert list(operate(stream_of([]))) == []


@pytest.mark.parametrize("operate", OPERATORS)
def test_ends_of_channels_are_sources(operate: Callable[[Iterable[int]], Any]) -> None:
    assert [flat(value) for value in operate(stream_of(range(3)).rx())] == [0, 1, 2]


@pytest.mark.parametrize("operate", OPERATORS)
def test_a_consumer_that_stops_early_leaves_nothing(operate: Callable[[Iterable[int]], Any]) -> None:
    closed = []

    def source() -> Iterator[int]:
        try:
            yield from endless()
        finally:
            closed.append(True)

    stream = operate(source())
    next(stream)
    stream.close()
    assert _native.goroutine_count() == 0
    gc.collect()
    assert closed == [True]


@pytest.mark.parametrize("operate", OPERATORS)
def test_a_cancelled_consumer_is_raised_cancelled(operate: Callable[[Iterable[int]], Any]) -> None:
    silent: ecru.Chan[int] = ecru.Chan()
    with ecru.move_on_after(0.002) as scope:
        list(operate(silent))
    assert scope.caught


def test_functions_errors_are_raised_where_they_are_consumed() -> None:
    def fail(n: int) -> int:
        raise KeyError(n)

    for stream in (ops.map(fail, [1]), ops.map(fail, [1], limit=2), ops.filter(fail, [1])):
        with pytest.raises(KeyError):
            next(stream)


def test_bad_arguments_are_refused_at_once() -> None:
    for call in (
        lambda: ops.take([], -1),
        lambda: ops.buffer([], 0),
        lambda: ops.batch([], 0),
        lambda: ops.batch([], 1, -1),
        lambda: ops.throttle([], -1),
        lambda: ops.map(int, [], limit=0),
    ):
        with pytest.raises(ValueError, match="or more"):
            call()


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.integers(), max_size=8), max_size=4),
    st.integers(1, 4),
    st.integers(1, 4),
    st.booleans(),
)
def test_pipelines_lose_and_invent_nothing(lists: list[list[int]], size: int, ahead: int, channels: bool) -> None:
    sources: list[Any] = [stream_of(values) if channels else values for values in lists]
    batches = list(ops.batch(ops.buffer(ops.merge(*sources), ahead), size))
    assert all(len(batch) == size for batch in batches[:-1])
    assert sorted(value for batch in batches for value in batch) == sorted(
        value for values in lists for value in values
    )


@pytest.mark.parametrize("operator", [lambda s: ops.map(str, s), lambda s: ops.take(s, 1), lambda s: ops.batch(s, 1)])
def test_c8_stopping_an_operator_leaves_a_channel_and_its_ends_open(operator: Callable[[Any], Any]) -> None:
    chan: ecru.Chan[int] = ecru.Chan(10)
    receiver = chan.rx()
    for source in (chan, receiver):
        chan.send(1)
        chan.send(2)
        values = operator(source)
        next(values)
        values.close()
        assert not chan.closed
        assert not receiver.closed


@pytest.mark.parametrize(
    "operator",
    [ops.merge, lambda s: ops.map(str, s, limit=1), lambda s: ops.batch(s, 1, LONG), lambda s: ops.map(str, s)],
)
def test_c8_a_closed_end_gives_an_operator_nothing(operator: Callable[[Any], Any]) -> None:
    chan: ecru.Chan[int] = ecru.Chan(10)
    receiver, other = chan.rx(), chan.rx()
    for n in range(5):
        chan.send(n)
    values = operator(receiver)
    next(values)
    receiver.close()
    assert len(list(values)) <= 1  # what it had taken
    assert len(chan) >= 3
    with pytest.raises(ecru.ChanClosed, match="this end is closed"):
        next(operator(receiver))
    assert not other.closed


def test_a_buffer_stopped_early_reports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(ecru, "excepthook", lambda *about: told.append(about))
    values = ops.buffer(endless(), 3)
    assert next(values) == 0
    values.close()
    del values
    gc.collect()
    assert not told
