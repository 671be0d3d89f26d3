"""pytest and goroutines: a test that asks for the fixture `ecru` runs in a goroutine of its own, with a deadline.

    @pytest.mark.ecru(timeout=2)          # seconds; default: the setting ecru_timeout
    def test_channel(ecru):
        chan = ecru.Chan()                # the fixture has all of the module
        ecru.go(chan.send, ecru.random.random())
        chan.recv()

Goroutines it has started and left behind are an error, told with where they wait; with the setting
ecru_leak_check = true, or --ecru-leak-check, also those of all other tests. What is random (the fixture's `random`, the
module random, and which case of a select is picked) follows from --ecru-seed, which is printed at the start.
"""

from __future__ import annotations

import importlib
import random
import sys
import time
import traceback
from collections.abc import Generator
from typing import Any

import pytest

from ecru import _native
from ecru._abi import ffi, lib

_PATIENCE_SECONDS = 0.5  # until what a test has left is a leak
_GOROUTINE = 1 << 62  # in the identities of sys._current_frames()


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


def _start(seed: int) -> None:
    """Starts the runtime with the seed, unless it runs."""
    options = ffi.new("ecru_options *")
    options.size = ffi.sizeof("ecru_options")
    options.stack_bytes = 1 << 20
    options.flags = lib.ECRU_NO_SIGNAL_HANDLERS
    options.seed = seed
    lib.ecru_start(options)


def pytest_report_header(config: pytest.Config) -> str:
    """Says the seed."""
    return f"ecru: --ecru-seed={config.option.ecru_seed}"


def _seed_of(node: pytest.Item) -> str:
    return f"{node.config.option.ecru_seed} {node.nodeid}"


@pytest.fixture
def ecru(request: pytest.FixtureRequest) -> Ecru:
    """Runs the test in a goroutine with a deadline; the module ecru, and `random`. Goroutines left are an error."""
    return Ecru(_seed_of(request.node))


def _limit(item: pytest.Item) -> float:
    marker = item.get_closest_marker("ecru")
    if marker is not None and (marker.args or "timeout" in marker.kwargs):
        return float(marker.kwargs.get("timeout", *marker.args))
    return float(item.config.getini("ecru_timeout"))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a test that has the fixture in a goroutine."""
    if "ecru" not in pyfuncitem.fixturenames:
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    seconds = _limit(pyfuncitem)
    random.seed(_seed_of(pyfuncitem))
    _start(pyfuncitem.config.option.ecru_seed)
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


# ---- leaks -----------------------------------------------------------------------------------------------------------


def _goroutines() -> dict[int, Any]:
    """The frames of all goroutines, by identity."""
    return {number: frame for number, frame in sys._current_frames().items() if number & _GOROUTINE}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, None, None]:
    """Reports goroutines that are left once the test and its fixtures have ended."""
    config = item.config
    checks = config.option.ecru_leak_check or config.getini("ecru_leak_check")
    if not checks and "ecru" not in getattr(item, "fixturenames", ()):
        yield
        return
    before = set(_goroutines())
    item.stash[_before] = before
    yield


_before = pytest.StashKey[set[int]]()


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, None]:
    """Its own part of the above: an error of the teardown is one of the test."""
    outcome = yield
    before = item.stash.get(_before, None)
    if before is None:
        return
    outcome.get_result()
    left = _wait_for_ends(before)
    if left:
        stacks = "\n".join("".join(traceback.format_stack(frame)).rstrip() for frame in left.values())
        pytest.fail(f"{len(left)} goroutine{'s' if len(left) > 1 else ''} left by the test:\n{stacks}", pytrace=False)


def _wait_for_ends(before: set[int]) -> dict[int, Any]:
    """Those goroutines that are neither from before nor end soon."""
    if not _native.is_home():
        return {}
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        left = {number: frame for number, frame in _goroutines().items() if number not in before}
        if not left or time.monotonic() >= end:
            return left
        del left
        _native.sleep(0.001)
