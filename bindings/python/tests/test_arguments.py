"""Arguments that cannot be: told by their names, before anything is done."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest

import ecru
from ecru import futures, net, wsgi
from ecru import operators as ops


async def coroutine() -> None:
    """What only ecru.aio runs."""


TAKE_FUNCTIONS: list[Callable[[Any], object]] = [
    ecru.go,
    ecru.spawn,
    ecru.run,
    ecru.run_blocking,
    ecru.Once().do,
    ecru.WaitGroup().go,
    lambda f: futures.GoroutineExecutor(1).submit(f),
    lambda f: ecru.gather(f),
    lambda f: ecru.race(f),
]


@pytest.mark.parametrize("take", TAKE_FUNCTIONS)
def test_coroutine_functions_are_refused(take: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=r"a plain function is needed, not .*coroutine"):
        take(coroutine)


@pytest.mark.parametrize("take", TAKE_FUNCTIONS)
def test_what_cannot_be_called_is_refused(take: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=r"a callable .*is needed, not"):
        take(5)


@pytest.mark.parametrize("refused", [coroutine, 5])
def test_a_refused_function_does_not_count(refused: Any) -> None:
    group = ecru.WaitGroup()
    with pytest.raises(TypeError):
        group.go(refused)
    assert group.count == 0


X: Any = "x"
WRONG: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: ecru.Condition(X), TypeError, "lock: a Lock or an RLock, not 'x'"),
    (lambda: ecru.TaskGroup(X), TypeError, "limit: a whole number, or None for no limit, not 'x'"),
    (lambda: ecru.TaskGroup(0), ValueError, "limit: 1 or more, or None for no limit, not 0"),
    (lambda: ecru.as_completed([], X), TypeError, "limit: a whole number"),
    (lambda: ecru.map(int, [], limit=X), TypeError, "limit: a whole number"),
    (lambda: ecru.gather(limit=X), TypeError, "limit: a whole number"),
    (lambda: ecru.Barrier(X), TypeError, "parties: a whole number, not 'x'"),
    (lambda: ecru.Ticker(X), TypeError, "a ticker's period: a number of seconds, not 'x'"),
    (lambda: ecru.Ticker(float("nan")), ValueError, "a ticker's period: not a number"),
    (lambda: ecru.timeout(X), TypeError, "seconds: a number of seconds, not 'x'"),
    (lambda: futures.GoroutineExecutor(X), TypeError, "max_workers: a whole number, or None, not 'x'"),
    (lambda: ops.map(int, [], limit=X), TypeError, "limit: a whole number, or None for one after the other"),
    (lambda: ops.take([], X), TypeError, "count: a whole number"),
    (lambda: ops.buffer([], X), TypeError, "size: a whole number"),
    (lambda: ops.batch([], X), TypeError, "size: a whole number"),
    (lambda: ops.batch([], 1, X), TypeError, "seconds: a number of seconds"),
    (lambda: ops.throttle([], X), TypeError, "seconds: a number of seconds"),
    (lambda: net.dial("127.0.0.1:99999"), ValueError, r"127\.0\.0\.1:99999 \(tcp\): an invalid address"),
    (lambda: net.listen("127.0.0.1:99999"), ValueError, "the port 0 to 65535"),
    (lambda: wsgi.serve(X, "127.0.0.1:0"), TypeError, "an application is a callable, not .x."),
]


@pytest.mark.parametrize(("make", "error", "words"), WRONG)
def test_errors_name_the_argument(make: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


NOT_COPIED: list[Callable[[], object]] = [
    ecru.Chan,
    lambda: ecru.spawn(int),
    ecru.Token,
    ecru.Lock,
    ecru.RLock,
    ecru.Semaphore,
    ecru.Event,
    ecru.Queue,
    lambda: ecru.Ticker(1),
    lambda: net.pair()[0],
]


@pytest.mark.parametrize("make", NOT_COPIED)
def test_what_others_wait_at_is_not_pickled(make: Callable[[], object]) -> None:
    with pytest.raises((TypeError, pickle.PicklingError), match=r"(?i)can.*t pickle"):
        pickle.dumps(make())
