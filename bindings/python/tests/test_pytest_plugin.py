"""ecru.pytest_plugin, in pytests of their own."""

import re

import pytest

pytest_plugins = "pytester"
SECONDS = 150  # of which PyPy takes some to begin
pytestmark = pytest.mark.timeout(SECONDS + 20)


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run_pytest(source: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess("-p", "ecru.pytest_plugin", *options, timeout=SECONDS)

    return run_pytest


def test_a_test_with_the_fixture_is_a_goroutine(run) -> None:  # type: ignore[no-untyped-def]
    result = run(
        """
        import pytest
        import ecru as module

        @pytest.fixture
        def other():
            return 5

        def test_inside(ecru, other):
            assert module.current().name == "test_inside"
            chan = ecru.Chan()
            ecru.go(chan.send, other)
            assert chan.recv() == 5

        def test_outside():
            assert module.current() is None

        class TestClass:
            @pytest.mark.parametrize("number", [1, 2])
            def test_method(self, ecru, number):
                assert ecru.current() is not None

        def test_skipped(ecru):
            pytest.skip("not today")

        @pytest.mark.xfail(raises=LookupError)
        def test_fails(ecru):
            raise LookupError
        """
    )
    result.assert_outcomes(passed=4, skipped=1, xfailed=1)


def test_failures_show_the_tests_lines(run) -> None:  # type: ignore[no-untyped-def]
    result = run("def test_wrong(ecru):\n    number = 6\n    assert number == 7\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert number == 7", "E*assert 6 == 7"])


def test_a_deadline_says_where_the_test_waited(run) -> None:  # type: ignore[no-untyped-def]
    result = run(
        """
        import pytest

        @pytest.mark.ecru(timeout=0.05)
        def test_marked(ecru):
            ecru.Chan().recv()  # for ever

        def test_by_setting(ecru):
            ecru.sleep(None)

        def test_own_deadline(ecru):
            with pytest.raises(ecru.DeadlineExceeded), ecru.timeout(0.01):
                ecru.sleep(None)
        """,
        "-o",
        "ecru_timeout=0.1",
    )
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(["*took longer than 0.05 s; it waited", "*ecru.Chan().recv()  # for ever"])


@pytest.mark.parametrize("marker", ["tmeout=1", "1, 2", "1, timeout=2", "'soon'", "timeout='soon'"])
def test_a_marker_that_says_something_else_is_an_error(run, marker: str) -> None:  # type: ignore[no-untyped-def]
    source = f"import pytest\n@pytest.mark.ecru({marker})\ndef test(ecru): pass\ndef test_other(ecru): pass\n"
    result = run(source)
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["pytest.mark.ecru(timeout=seconds): *"])


LEAKING = """
import pytest
import ecru as module

@pytest.fixture
def background():
    task = module.spawn(module.sleep, None)
    yield
    task.cancel()

def wait_for_ever():
    module.sleep(None)

def test_leaks(ecru):
    ecru.go(wait_for_ever)
    ecru.yield_()

def test_ends_soon(ecru):
    ecru.go(ecru.sleep, 0.01)

def test_fixture_ends_it(ecru, background):
    pass

def test_without_fixture():
    module.go(wait_for_ever)
    module.yield_()
"""


@pytest.mark.parametrize(
    ("options", "leaks"), [([], 1), (["--ecru-leak-check"], 2), (["-o", "ecru_leak_check=true"], 2)]
)
def test_goroutines_left_are_errors(run, options: list[str], leaks: int) -> None:  # type: ignore[no-untyped-def]
    result = run(LEAKING, *options)
    result.assert_outcomes(passed=4, errors=leaks)
    result.stdout.fnmatch_lines(["*1 goroutine left by the test:", "*in wait_for_ever"])
    result.stdout.no_fnmatch_line("*Warning*")


NATIVE = """
def test_receives(ecru):
    ecru.go(ecru.Chan().recv)

def test_sleeps(ecru):
    ecru.spawn(ecru.sleep, 100).name = "sleeper"
    ecru.yield_()

def test_clean(ecru):
    ecru.spawn(ecru.sleep, 0)
"""


def test_those_in_functions_that_are_not_pythons_are_errors_too(run) -> None:  # type: ignore[no-untyped-def]
    result = run(NATIVE)
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(["*[[]*receive*[]]:", "*sleeper [[]*sleep*[]]:"])


FAILING = """
import ecru as module

def fail():
    raise LookupError("nobody looks")

def test_fails(ecru):
    ecru.go(fail)
    ecru.yield_()

def test_fails_without_fixture():
    module.go(fail)
    module.yield_()

def test_has_a_hook(monkeypatch):
    monkeypatch.setattr(module, "excepthook", lambda task, error: None)
    module.go(fail)
    module.yield_()

def test_is_asked_for(ecru):
    assert ecru.spawn(fail).exception()
"""


def test_errors_nobody_asks_for_are_warnings(run) -> None:  # type: ignore[no-untyped-def]
    result = run(FAILING)
    result.assert_outcomes(passed=4, warnings=2)
    result.stdout.fnmatch_lines(["*UnhandledGoroutineWarning*", "*LookupError: nobody looks"])
    run(FAILING, "-W", "error").assert_outcomes(passed=4, errors=2)


RANDOM = """
import random
import pytest

@pytest.mark.parametrize("number", range(2))
def test_random(ecru, number):
    a, b = ecru.Chan(None), ecru.Chan(None)
    for _ in range(40):
        a.send(0), b.send(0)
    picked = [ecru.select(a, b).index for _ in range(40)]
    print("found:", random.random(), ecru.random.random(), picked)
"""


def test_what_is_random_follows_from_the_seed(run) -> None:  # type: ignore[no-untyped-def]
    def found(*options: str) -> tuple[str, list[str]]:
        text = run(RANDOM, "-s", *options).stdout.str()
        seed = re.search(r"--ecru-seed=(\d+)", text)
        assert seed is not None
        return seed[1], re.findall("found: .*", text)

    seed, first = found()
    assert len(set(first)) == 2
    assert found("--ecru-seed", seed) == (seed, first)
    assert found("--ecru-seed", "7") != found("--ecru-seed", "8")


def test_what_another_test_has_left_is_not_this_ones(run) -> None:  # type: ignore[no-untyped-def]
    result = run(
        """
        import ecru as module

        module.go(module.Chan().recv)

        def test_first(ecru):
            pass

        def test_leaves():
            module.go(module.Chan().recv)

        def test_second(ecru):
            pass
        """
    )
    result.assert_outcomes(passed=3)


def test_an_error_at_once_is_the_tests_that_started_it(run) -> None:  # type: ignore[no-untyped-def]
    result = run(
        """
        import ecru as module

        def test_starts():
            module.go(lambda: 1 / 0)

        def test_second(ecru):
            pass
        """,
        "-W",
        "error::ecru.pytest_plugin.UnhandledGoroutineWarning",
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_starts*"])
