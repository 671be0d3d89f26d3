"""Scopes, rules K1, K2, K5, K6: what a token that fires does to a block, and where that ends."""

import gc
import math
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

import ecru

LONG = 30.0  # never reached


def test_k2_a_timeout_ends_the_wait_and_raises_timeouterror() -> None:
    chan: ecru.Chan[int] = ecru.Chan()
    with pytest.raises(TimeoutError, match=r"0\.01 s") as caught, ecru.timeout(0.01):
        chan.recv()
    assert type(caught.value) is ecru.DeadlineExceeded
    assert isinstance(caught.value.__cause__, ecru.Cancelled)
    assert caught.value.__cause__.reason == "deadline"


def test_k2_a_block_that_is_in_time_is_left_alone() -> None:
    with ecru.timeout(LONG) as scope:
        ecru.sleep(0)
    assert not scope.caught
    assert not scope.expired
    ecru.check()


def test_k2_cancelled_is_raised_inside_at_each_wait() -> None:
    seen = []
    with ecru.move_on_after(0.001):
        for _ in range(3):
            try:
                ecru.sleep(LONG)
            except ecru.Cancelled as error:
                seen.append(error.reason)
        ecru.sleep(LONG)
    assert seen == ["deadline"] * 3


def test_k2_except_exception_does_not_stop_it() -> None:
    with pytest.raises(ecru.DeadlineExceeded), ecru.timeout(0.001):
        try:
            ecru.sleep(LONG)
        except Exception:
            pytest.fail("Cancelled is no Exception")


def test_k2_an_inner_scope_lets_the_outer_ones_cancel_pass() -> None:
    with ecru.move_on_after(0.001) as outer:
        with ecru.timeout(LONG) as inner:
            ecru.sleep(LONG)
        pytest.fail("the outer scope ends the block")
    assert outer.caught
    assert outer.expired
    assert not inner.caught
    assert not inner.expired


def test_k2_the_inner_scope_expires_alone() -> None:
    with ecru.timeout(LONG) as outer:
        with pytest.raises(ecru.DeadlineExceeded), ecru.timeout(0.001):
            ecru.sleep(LONG)
        ecru.sleep(0)
        ecru.check()
    assert not outer.expired


def test_k2_other_errors_pass_a_scope_that_has_expired() -> None:
    with pytest.raises(KeyError), ecru.timeout(0):
        try:
            ecru.sleep(LONG)
        except ecru.Cancelled:
            raise KeyError from None


def test_k2_move_on_after_just_ends() -> None:
    with ecru.move_on_after(0.001) as scope:
        ecru.sleep(LONG)
    assert scope.caught
    with ecru.move_on_after(LONG) as scope:
        pass
    assert not scope.caught


def test_k1_cancel_ends_the_block_without_an_error() -> None:
    with ecru.timeout(LONG) as scope:
        ecru.go(scope.cancel)
        ecru.sleep(LONG)
    assert scope.caught
    assert not scope.expired
    assert scope.token.reason == "cancelled"


def test_k1_it_reaches_the_goroutines_started_inside() -> None:
    with ecru.timeout(LONG) as scope:
        task = ecru.spawn(ecru.sleep, LONG)
        scope.cancel()
    with pytest.raises(ecru.Cancelled):
        task.result()


def test_k2_shield_lets_nothing_in() -> None:
    done = []
    with ecru.move_on_after(0.001) as scope:
        try:
            ecru.sleep(LONG)
        finally:
            with ecru.shield():
                ecru.sleep(0.002)
                done.append(True)
    assert scope.caught
    assert done


def test_k2_what_fired_outside_a_shield_is_raised_after_it() -> None:
    with ecru.move_on_after(LONG) as scope:
        with ecru.shield():
            scope.cancel()
            ecru.sleep(0.001)
        ecru.sleep(LONG)
    assert scope.caught


def test_k2_a_shield_has_a_time_of_its_own() -> None:
    with pytest.raises(ecru.DeadlineExceeded), ecru.shield(0.001):
        ecru.sleep(LONG)


def test_k2_deadline_is_an_instant() -> None:
    begin = ecru.now()
    with pytest.raises(ecru.DeadlineExceeded, match="deadline"), ecru.deadline(begin + 0.02):
        ecru.sleep(LONG)
    assert ecru.now() - begin >= 0.02


@pytest.mark.parametrize("seconds", [0, -1, -math.inf])
def test_k6_no_time_at_all(seconds: float) -> None:
    with pytest.raises(ecru.DeadlineExceeded), ecru.timeout(seconds):
        ecru.sleep(LONG)


@pytest.mark.parametrize("seconds", [None, math.inf, 1e300])
def test_k6_all_the_time(seconds: float | None) -> None:
    with ecru.timeout(seconds):
        ecru.sleep(0.001)


@pytest.mark.parametrize("make", [ecru.timeout, ecru.deadline, ecru.move_on_after, ecru.shield])
def test_bad_times_are_refused_at_once(make: Any) -> None:
    with pytest.raises(TypeError):
        make("1 s")
    with pytest.raises(ValueError, match="not a number"):
        make(math.nan)


def test_k5_reset_gives_another_deadline() -> None:
    with pytest.raises(ecru.DeadlineExceeded), ecru.timeout(LONG) as scope:
        assert scope.reset(0.001)
        ecru.sleep(LONG)
    assert not scope.reset(1)


def test_k5_reset_to_none_takes_it_away() -> None:
    with ecru.timeout(0.3) as scope:
        assert scope.reset(None)
        assert scope.remaining is None
        ecru.sleep(0.4)
    assert not scope.expired


def test_remaining_is_the_nearest_deadline() -> None:
    with ecru.timeout(5), ecru.timeout(LONG) as inner:
        assert inner.remaining is not None
        assert 0 < inner.remaining <= 5


def test_a_scope_is_entered_once() -> None:
    scope = ecru.timeout(1)
    with pytest.raises(RuntimeError, match="not been entered"):
        scope.cancel()
    with scope:
        pass
    with pytest.raises(RuntimeError, match="once"):
        scope.__enter__()


def test_scopes_end_in_the_reverse_order() -> None:
    outer, inner = ecru.timeout(1), ecru.timeout(1)
    outer.__enter__()
    inner.__enter__()
    with pytest.raises(RuntimeError, match="reverse order"):
        outer.__exit__(None, None, None)
    outer.cancel()
    with pytest.raises(ecru.Cancelled):
        ecru.sleep(0)
    inner.__exit__(None, None, None)
    ecru.sleep(0)
    with pytest.raises(RuntimeError, match="once"):
        outer.__exit__(None, None, None)


def test_a_scope_ends_in_the_goroutine_it_began_in() -> None:
    with ecru.timeout(1) as scope:
        error = ecru.spawn(scope.__exit__, None, None, None).exception()
    assert isinstance(error, RuntimeError)


def rows() -> Iterator[int]:
    with ecru.timeout(1) as scope:
        yield 1
        scope.cancel()
        yield 2


def test_scopes_of_interleaved_generators_leave_nothing_cancelled() -> None:
    first, second = rows(), rows()
    assert (next(first), next(second), next(first)) == (1, 1, 2)
    with pytest.raises(RuntimeError, match="reverse order"):
        first.close()
    second.close()
    ecru.sleep(0)


def test_a_scope_nobody_can_end_any_more_has_ended() -> None:
    token = ecru.Token()
    token.enter()
    token.cancel()
    with pytest.raises(ecru.Cancelled):
        ecru.sleep(0)
    del token
    ecru.sleep(0)


def test_a_scope_that_another_goroutine_drops_does_not_fire_any_more() -> None:
    scopes = []

    def begin() -> None:
        scopes.append(ecru.timeout(0.05).__enter__())
        ecru.spawn(scopes.clear).join()
        ecru.sleep(0.1)

    ecru.spawn(begin).result()


def test_k2_threads_have_scopes_too() -> None:
    said: list[object] = []

    def work() -> None:
        try:
            with ecru.timeout(0.001):
                ecru.Chan[int]().recv()
        except ecru.DeadlineExceeded as error:
            said.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(said) == 1


def test_k2_a_goroutine_inherits_the_deadline() -> None:
    def work() -> float | None:
        with ecru.move_on_after(None) as scope:
            return scope.remaining
        raise AssertionError

    with ecru.timeout(LONG):
        remaining = ecru.spawn(work).result()
    assert remaining is not None
    assert remaining <= LONG


@pytest.mark.usefixtures("without_collections")
def test_scopes_leave_no_garbage() -> None:
    def once() -> None:
        with ecru.move_on_after(0):
            ecru.sleep(1)

    once()
    gc.collect()
    for _ in range(100):
        once()
    assert gc.collect() < 100


def test_now_is_the_runtimes_clock_that_cffi_tells() -> None:
    before = ecru.now()
    runtimes = import_module("ecru._abi").lib.ecru_now() / 1e9
    assert before <= runtimes + 1e-6
    assert runtimes <= ecru.now() + 1e-6
    assert ecru.now is time.monotonic
