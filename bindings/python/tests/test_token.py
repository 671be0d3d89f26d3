"""Tokens by themselves: several parents (K1), whose fired (K2), what is called then (K4)."""

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import ecru
from ecru import _native as native

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

LONG = 30.0  # never reached


@pytest.mark.parametrize("which", [0, 1, 2])
def test_k1_a_linked_token_fires_with_any_of_its_parents(which: int) -> None:
    parents = (ecru.Token(), ecru.Token(), ecru.Token())
    child = ecru.Token(parents)
    assert not child.done
    parents[which].cancel()
    assert child.done
    assert child.origin == parents[which].id
    assert [parent.done for parent in parents].count(True) == 1


def test_k1_a_linked_token_has_the_nearest_deadline() -> None:
    child = ecru.Token((ecru.Token(timeout=LONG), ecru.Token(timeout=0.001)), timeout=LONG)
    child.wait()
    assert child.reason == "deadline"
    assert not child.fired_itself


@pytest.mark.parametrize(
    ("parent", "error"),
    [((), ValueError), ((ecru.Token(),) * 65, ValueError), ((ecru.Token(), 3), TypeError), ([], TypeError)],
)
def test_k1_bad_parents_are_refused(parent: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="parent: "):
        ecru.Token(parent)


def test_k2_the_error_says_whose_token_fired() -> None:
    with ecru.move_on_after(LONG) as outer, ecru.move_on_after(LONG) as inner:
        assert outer.token.id != inner.token.id
        assert inner.token.origin is None
        outer.cancel()
        with pytest.raises(ecru.Cancelled) as caught:
            ecru.sleep(LONG)
        assert caught.value.origin == outer.token.id == inner.token.origin
        raise caught.value
    assert outer.caught
    assert not inner.caught


# ---- what it was cancelled for ----


class Cause:
    """Any object."""


def waiting(token: ecru.Token, told: ecru.Chan[ecru.Cancelled]) -> None:
    with token, ecru.move_on_after(LONG):
        try:
            ecru.sleep(LONG)
        except ecru.Cancelled as error:
            told.try_send(error)
            raise


@pytest.mark.parametrize("cause", [Cause(), "a word", 0, LookupError("gone"), KeyboardInterrupt()])
def test_k1_the_cause_comes_to_all_below_as_it_is(cause: object) -> None:
    told: ecru.Chan[ecru.Cancelled] = ecru.Chan(None)
    token = ecru.Token()
    children = [ecru.Token(token), ecru.Token((ecru.Token(), token)), ecru.Token(ecru.Token(token))]
    tasks = [ecru.spawn(waiting, child, told) for child in (token, *children)]
    ecru.yield_()
    token.cancel(cause)
    token.cancel(Cause())
    for task in tasks:
        assert isinstance(task.exception(), ecru.Cancelled)
    errors = [told.recv() for _ in tasks]
    late = ecru.Token(token)
    for one in (token, late, *children):
        assert one.cause is cause
    with late, pytest.raises(ecru.Cancelled) as caught:
        ecru.sleep(LONG)
    for error in (*errors, caught.value):
        assert error.cause is cause
        assert error.reason == "cancelled"
        assert error.__cause__ is (cause if isinstance(cause, BaseException) else None)


def test_k1_without_one_there_is_no_cause() -> None:
    plain, over, never = ecru.Token(), ecru.Token(timeout=0.001), ecru.Token()
    plain.cancel()
    plain.cancel(Cause())
    over.wait()
    over.cancel(Cause())
    for token in (plain, over):
        with token, pytest.raises(ecru.Cancelled) as caught:
            ecru.sleep(LONG)
        assert caught.value.cause is caught.value.__cause__ is token.cause is None
    assert never.cause is ecru.Cancelled.cause is None


def test_k1_a_tasks_cause_comes_to_what_it_has_started() -> None:
    cause = LookupError("gone")
    inner: ecru.Chan[ecru.Task[None]] = ecru.Chan(1)
    task = ecru.spawn(lambda: inner.send(ecru.spawn(ecru.sleep, LONG)) or ecru.sleep(LONG))
    started = inner.recv()
    task.cancel(cause)
    for one in (task, started):
        error = one.exception()
        assert isinstance(error, ecru.Cancelled)
        assert error.cause is error.__cause__ is cause
    task.cancel(Cause())  # it has ended


def test_k1_a_scopes_cause_is_known_at_its_end() -> None:
    cause = Cause()
    with ecru.timeout(LONG) as scope:
        scope.cancel(cause)
        with pytest.raises(ecru.Cancelled) as caught:
            ecru.sleep(LONG)
        raise caught.value
    assert scope.caught
    assert caught.value.cause is scope.token.cause is cause


def test_t4_the_first_error_is_the_cause_of_the_others_end() -> None:
    def fail() -> None:
        raise LookupError("first")

    with pytest.raises(ExceptionGroup) as caught, ecru.TaskGroup() as group:
        other = group.go(ecru.sleep, LONG)
        group.go(fail)
        group.go(ecru.sleep, LONG)
    error = other.exception()
    assert isinstance(error, ecru.Cancelled)
    assert error.cause is caught.value.exceptions[0]


def test_t4_a_groups_cause_comes_to_all() -> None:
    cause = Cause()
    with ecru.TaskGroup() as group:
        task = group.go(ecru.sleep, LONG)
        group.cancel(cause)
    error = task.exception()
    assert isinstance(error, ecru.Cancelled)
    assert error.cause is cause


@pytest.mark.usefixtures("without_collections")
def test_k1_a_cause_goes_with_its_token() -> None:
    cause = Cause()
    there, before = weakref.ref(cause), sys.getrefcount(cause) if hasattr(sys, "getrefcount") else None
    token = ecru.Token()
    child = ecru.Token(token)
    token.cancel(cause=cause)
    with child, pytest.raises(ecru.Cancelled) as caught:
        ecru.sleep(LONG)
    assert caught.value.cause is child.cause is cause
    del caught
    gc.collect()
    del token
    assert child.cause is None  # a child keeps none
    if before is not None:
        assert sys.getrefcount(cause) == before
    del cause
    gc.collect()
    assert there() is None


@pytest.mark.usefixtures("without_collections")
def test_k1_a_cycle_through_a_cause_is_collected() -> None:
    def fail() -> None:
        token, task = ecru.Token(), ecru.spawn(ecru.sleep, LONG)
        try:
            raise Failure
        except Failure as error:
            token.cancel(error)  # whose traceback has this frame, which has the token
            task.cancel(error)
            task.join()
            there.append(weakref.ref(error))

    class Failure(Exception):
        pass

    there: list[weakref.ref[Failure]] = []
    fail()
    gc.collect()
    assert there[0]() is None


def test_k4_a_function_is_called_once_it_fires() -> None:
    token = ecru.Token()
    told: ecru.Chan[str] = ecru.Chan(None)
    registration = token.on_cancel(lambda: told.send("fired"))
    ecru.yield_()
    assert len(told) == 0
    token.cancel()
    token.cancel()
    assert told.recv() == "fired"
    assert not registration.remove()
    assert len(told) == 0


def test_k4_one_that_has_fired_calls_soon() -> None:
    token = ecru.Token()
    token.cancel()
    told: ecru.Chan[None] = ecru.Chan()
    token.on_cancel(lambda: told.send(None))
    told.recv()


def test_k4_removed_it_is_not_called() -> None:
    token = ecru.Token()
    called = []
    with token.on_cancel(lambda: called.append(1)):
        ecru.yield_()
    registration = token.on_cancel(lambda: called.append(2))
    assert registration.remove()
    assert registration.remove()
    token.cancel()
    ecru.yield_()
    assert not called


def test_k4_remove_waits_for_the_call_under_way_unless_it_is_in_it() -> None:
    token, go_on, inside = ecru.Token(), ecru.Event(), ecru.Event()
    said = []

    def work() -> None:
        inside.set()
        go_on.wait()
        said.append(registration.remove())

    registration = token.on_cancel(work)
    token.cancel()
    inside.wait()
    other = ecru.spawn(registration.remove)
    ecru.yield_()
    assert not other.done
    go_on.set()
    assert not other.result()
    assert said == [False]


def test_k4_it_outlives_the_scope_it_was_made_in() -> None:
    token = ecru.Token(shield=True)
    called = ecru.Event()
    with ecru.move_on_after(LONG) as scope:
        token.on_cancel(called.set)
        scope.cancel()
    ecru.yield_()
    token.cancel()
    assert called.wait(LONG)


def test_k4_what_it_raises_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: ecru.Chan[str] = ecru.Chan(None)
    monkeypatch.setattr(ecru, "excepthook", lambda task, error: told.send(repr(error)))
    token = ecru.Token()

    def fail() -> None:
        raise KeyError("x")

    registration = token.on_cancel(fail)
    token.cancel()
    assert not registration.remove()
    del registration
    while not (said := told.try_recv())[1]:
        gc.collect()  # where there are no reference counts
        ecru.sleep(0.001)
    assert said[0] == "KeyError('x')"


async def coroutine() -> None:
    """Not for on_cancel."""


@pytest.mark.parametrize("f", [None, 3, coroutine])
def test_k4_only_functions_are_called(f: Any) -> None:
    with pytest.raises(TypeError, match="function is needed"):
        ecru.Token().on_cancel(f)


def test_k4_another_thread_may_cancel() -> None:
    token = ecru.Token()
    called: ecru.Chan[None] = ecru.Chan()
    with token.on_cancel(lambda: called.send(None)):
        thread = threading.Thread(target=token.cancel)
        thread.start()
        called.recv()
        thread.join()


def _ends(count: int) -> None:
    """No more goroutines than that are left, sooner or later."""
    while native.goroutine_count() > count:
        gc.collect()
        ecru.sleep(0.001)


class Held:
    """What a function has."""


def _referring(*to: object) -> Callable[[], object]:
    return lambda: to


@pytest.mark.parametrize("knows_it", [False, True])
def test_k4_a_token_that_nobody_knows_any_more_forgets_what_it_was_to_call(knows_it: bool) -> None:
    before = native.goroutine_count()
    held = Held()
    known = weakref.ref(held)
    token = ecru.Token()
    for _ in range(2):
        token.on_cancel(_referring(held, token if knows_it else None))
    ecru.yield_()
    assert native.goroutine_count() == before + 2
    del token, held
    _ends(before)
    gc.collect()
    assert known() is None


def _telling(chan: ecru.Chan[object], token: ecru.Token) -> Callable[[], None]:
    return lambda: chan.send(token.reason)


def test_k4_one_that_has_fired_calls_though_nobody_knows_it_any_more() -> None:
    called: ecru.Chan[object] = ecru.Chan()
    token = ecru.Token()
    token.on_cancel(lambda: called.send("known"))
    token.on_cancel(_telling(called, token))
    ecru.yield_()
    token.cancel()
    del token
    gc.collect()
    assert {called.recv(), called.recv()} == {"known", "cancelled"}


def test_k4_a_deadline_is_waited_for_though_nobody_knows_its_token() -> None:
    called: ecru.Chan[None] = ecru.Chan()
    ecru.Token(timeout=0.01).on_cancel(lambda: called.send(None))
    gc.collect()
    called.recv()


def test_k4_who_has_the_registration_keeps_the_token() -> None:
    parent = ecru.Token()
    called: ecru.Chan[None] = ecru.Chan()
    registration = ecru.Token(parent).on_cancel(lambda: called.send(None))
    gc.collect()
    ecru.yield_()
    parent.cancel()
    called.recv()
    assert not registration.remove()


def test_k4_a_token_does_not_keep_what_was_removed() -> None:
    before = native.goroutine_count()
    token, held = ecru.Token(), Held()
    known = weakref.ref(held)
    with token.on_cancel(_referring(held)):
        del held
    _ends(before)
    gc.collect()
    assert known() is None
    assert not token.done
