"""Sleep, after and tickers, rule K6."""

import math
from collections.abc import Callable

import pytest

import ecru

LONG = 30.0  # never reached


@pytest.mark.parametrize("seconds", [0.02, 0.0005])
def test_k6_sleeps_at_least_so_long(seconds: float) -> None:
    begin = ecru.now()
    ecru.sleep(seconds)
    assert ecru.now() - begin >= seconds


@pytest.mark.parametrize("seconds", [0, -1, -math.inf])
def test_k6_no_time_returns_at_once(seconds: float) -> None:
    ecru.sleep(seconds)


def test_k6_for_ever_ends_when_cancelled() -> None:
    for seconds in (None, math.inf, 1e300):
        with ecru.move_on_after(0.001) as scope:
            ecru.sleep(seconds)
        assert scope.caught


def test_bad_times() -> None:
    for use in (ecru.sleep, ecru.after, ecru.Ticker):
        with pytest.raises(TypeError):
            use("1")  # type: ignore[operator]
        with pytest.raises(ValueError, match="number"):
            use(math.nan)  # type: ignore[operator]
    for seconds in (0, -1):
        with pytest.raises(ValueError, match="positive"):
            ecru.Ticker(seconds)


def test_k6_goroutines_sleep_side_by_side() -> None:
    begin = ecru.now()
    with ecru.TaskGroup() as group:
        for _ in range(1000):
            group.go(ecru.sleep, 0.05)
    assert 0.05 <= ecru.now() - begin < 1000 * 0.05 / 4


def test_k6_a_ticker_does_not_drift() -> None:
    begin = ecru.now()
    instants = []
    with ecru.Ticker(0.005) as ticker:
        for instant in ticker:
            instants.append(instant)
            if len(instants) == 8:
                break
    assert all(instant <= ecru.now() for instant in instants)
    steps = [round((instant - begin) / 0.005, 1) for instant in instants]
    assert steps == sorted(set(steps))
    assert all(abs(step - round(step)) < 0.5 for step in steps)


def test_k6_missed_ticks_are_dropped() -> None:
    ticker = ecru.Ticker(0.002)
    first = ticker.wait()
    ecru.sleep(0.02)
    late = ticker.wait()
    assert late - first > 0.015
    assert late <= ecru.now()
    assert ticker.wait() > late


def test_k6_a_tick_goes_to_one() -> None:
    ticker = ecru.Ticker(0.001)
    instants: list[float] = []

    def take(wait: Callable[[], float]) -> None:
        instants.append(wait())
        assert instants[-1] <= ecru.now()

    with ecru.TaskGroup() as group:
        for _ in range(10):
            group.go(take, ticker.wait)
            group.go(take, lambda: ecru.select(ticker).value)
    assert len(set(instants)) == 20


def test_a_stopped_ticker_ends() -> None:
    ticker = ecru.Ticker(LONG)
    waiting, iterating = ecru.spawn(ticker.wait), ecru.spawn(list, ticker)
    ecru.yield_()
    ticker.stop()
    ticker.stop()
    assert isinstance(waiting.exception(), ecru.ChanClosed)
    assert iterating.result() == []


def test_a_ticker_in_a_thread() -> None:
    ticker = ecru.Ticker(0.001)
    got = ecru.run_blocking(lambda: [ticker.wait() for _ in range(3)])
    assert got == sorted(set(got))
    assert len(got) == 3
