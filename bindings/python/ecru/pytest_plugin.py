"""pytest and goroutines: a test that asks for the fixture `ecru` runs in a goroutine of its own, with a deadline.

    @pytest.mark.ecru(timeout=2)          # seconds; default: the setting ecru_timeout
    def test_channel(ecru):
        chan = ecru.Chan()                # the fixture has all of the module
        ecru.go(chan.send, ecru.random.random())
        chan.recv()

Goroutines it has started and left behind are an error, told with where they wait; with the setting
ecru_leak_check = true, or --ecru-leak-check, also those of all other tests. A goroutine's error that nobody has asked
for is a warning of the test's (UnhandledGoroutineWarning; `-W error` makes it an error). What is random (the fixture's
`random`, the module random, and which case of a select is picked) follows from --ecru-seed, which is printed at the
start.
"""

from __future__ import annotations

import importlib
import random
import time
import traceback
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pytest

from ecru import _arguments, _home, _native

_PATIENCE_SECONDS = 0.5  # until what a test has left is a leak


class Ecru:
    """The value of the fixture: all that the module ecru has; seed and random (a random.Random) of this test."""

    def __init__(self, seed: str) -> None:
        """seed: of this test."""
        self.seed = seed
        self.random = random.Random(seed)

    def __getattr__(self, name: str) -> Any:
        """The module's."""
        return getattr(importlib.import_module("ecru"), name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Settings and options."""
    parser.addini("ecru_timeout", "seconds a test with the fixture ecru may take", default="60")
    parser.addini("ecru_leak_check", "report goroutines left by any test", type="bool", default=False)
    group = parser.getgroup("ecru")
    group.addoption("--ecru-seed", type=int, help="what is random in tests follows from it")
    group.addoption("--ecru-leak-check", action="store_true", help="report goroutines left by any test")


def pytest_configure(config: pytest.Config) -> None:
    """The marker, and the seed."""
    config.addinivalue_line("markers", "ecru(timeout): seconds a test with the fixture ecru may take")
    if config.option.ecru_seed is None:
        config.option.ecru_seed = random.SystemRandom().randrange(1, 1 << 32)


def pytest_report_header(config: pytest.Config) -> str:
    """Says the seed."""
    return f"ecru: --ecru-seed={config.option.ecru_seed}"


def _seed_of(node: pytest.Item) -> str:
    return f"{node.config.option.ecru_seed} {node.nodeid}"


@pytest.fixture
def ecru(request: pytest.FixtureRequest) -> Ecru:
    """Runs the test in a goroutine with a deadline; the module ecru, and `random`. Goroutines left are an error."""
    return Ecru(_seed_of(request.node))


def _marked(marker: pytest.Mark) -> float | None:
    """Its seconds; None: it says nothing. TypeError, ValueError: it says something else."""
    if len(marker.args) + len(marker.kwargs) > 1 or not marker.kwargs.keys() <= {"timeout"}:
        raise TypeError(f"not {(*marker.args, *marker.kwargs)}")
    for value in (*marker.args, *marker.kwargs.values()):
        return _arguments.seconds("timeout", value)
    return None


def _limit(item: pytest.Item) -> float:
    marker = item.get_closest_marker("ecru")
    marked = None if marker is None else _marked(marker)
    return float(item.config.getini("ecru_timeout")) if marked is None else marked


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A marker that says something else is an error of the test, whether it has the fixture or not."""
    for marker in item.iter_markers("ecru"):
        try:
            _marked(marker)
        except (TypeError, ValueError) as error:
            raise pytest.fail.Exception(f"pytest.mark.ecru(timeout=seconds): {error}", pytrace=False) from None


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a test that has the fixture in a goroutine."""
    if "ecru" not in pyfuncitem.fixturenames:
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    seconds = _limit(pyfuncitem)
    random.seed(_seed_of(pyfuncitem))
    _native.start_seeded(pyfuncitem.config.option.ecru_seed)  # unless it runs
    with _native.Token(timeout=seconds) as token:
        task = _native.spawn(pyfuncitem.obj, **arguments)
        task.name = pyfuncitem.name
    error = task.exception()
    if isinstance(error, _native.Cancelled) and token.fired_itself:
        pytest.fail(f"the test took longer than {seconds:g} s; it waited\n{_last_frames(error)}", pytrace=False)
    if error is not None:
        raise error
    return True


def _last_frames(error: BaseException) -> str:
    return "".join(traceback.format_tb(error.__traceback__)).rstrip()


# ---- leaks, and errors nobody has asked for --------------------------------------------------------------------------


class UnhandledGoroutineWarning(pytest.PytestWarning):
    """A goroutine of a test has failed, and nobody has asked for its error."""


@dataclass
class _Watch:
    """What there was before a test, and what has happened since: goroutines; texts of errors."""

    before: set[int] | None
    errors: list[str]


_watch = pytest.StashKey[_Watch]()


def _goroutines() -> dict[int, tuple[_native.Task[Any], FrameType | None]]:
    """This thread's, by id; a frame of None: it is in a function that is not Python's."""
    here = _native.home_id()
    return {
        number: (task, frame)
        for number, thread, task, frame in _native.goroutines()
        if thread == here and task is not None
    }


def _let_begin() -> None:
    """Waits until what was started so far is among _goroutines, or has ended."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while _native.is_home() and _native.goroutine_count() > len(_goroutines()) and time.monotonic() < end:
        _native.sleep(0.001)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, None, None]:
    """Remembers what runs before a test; collects errors for it unless the program has a hook of its own."""
    config = item.config
    checks = config.option.ecru_leak_check or config.getini("ecru_leak_check")
    checks = checks or "ecru" in getattr(item, "fixturenames", ())
    if checks:
        _let_begin()
    watch = item.stash[_watch] = _Watch(set(_goroutines()) if checks else None, [])

    def collect(task: _native.Task[Any], error: BaseException, /) -> None:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        watch.errors.append(f"Exception in goroutine {task.name}\n\n{''.join(lines)}")

    module: Any = importlib.import_module("ecru")
    hook = module.excepthook
    if hook is not _home.excepthook:
        yield
        return
    module.excepthook = collect
    yield
    if module.excepthook is collect:
        module.excepthook = hook


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, None]:
    """Goroutines left are an error of the teardown; errors of goroutines are warnings."""
    outcome = yield
    watch = item.stash.get(_watch, None)
    if watch is None:
        return
    try:
        if watch.before is not None and outcome.excinfo is None:
            _fail_of_leaks(watch.before)
        _let_begin()  # the errors they have at once are this test's
        for text in watch.errors:
            warnings.warn(UnhandledGoroutineWarning(text), stacklevel=1)
    except BaseException as error:
        outcome.force_exception(error)


def _fail_of_leaks(before: set[int]) -> None:
    left = _wait_for_ends(before)
    if left:
        count = f"{len(left)} goroutine{'s' if len(left) > 1 else ''}"
        pytest.fail(f"{count} left by the test:\n{_pictures(left)}", pytrace=False)


def _pictures(left: dict[int, tuple[_native.Task[Any], FrameType | None]]) -> str:
    states = {state["id"]: state for state in _home._states()["goroutines"]}
    threads = _home.threads_of(left)
    pictures = []
    for number, (task, frame) in left.items():
        state = states.get(number, {})
        stack = "".join(traceback.format_stack(frame)).rstrip() if frame is not None else "  in no function of Python's"
        name = _home.name_of(task, threads.get(number))
        pictures.append(f"{name} [{state.get('reason', state.get('state', 'it runs'))}]:\n{stack}")
    return "\n".join(pictures)


def _wait_for_ends(before: set[int]) -> dict[int, tuple[_native.Task[Any], FrameType | None]]:
    """Those goroutines that are neither from before nor end soon."""
    if not _native.is_home():
        return {}
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        now = _goroutines()
        left = {number: one for number, one in now.items() if number not in before}
        if _native.goroutine_count() == len(now) - len(left) or time.monotonic() >= end:  # others have yet to begin
            return left
        del left, now
        _native.sleep(0.001)
