"""Modules that wait while they are imported."""

import sys
import threading
from pathlib import Path

import pytest
from processes import run

import ecru

SLOW = "import ecru\necru.sleep(0.05)\nVALUE = 1\n"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes modules, which can be imported in the test, and are forgotten after it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names = []

    def write(**sources: str) -> None:
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source)
            names.append(name)

    yield write
    for name in names:
        sys.modules.pop(name, None)


def value_of(name: str) -> object:
    module = __import__(name)
    return module.VALUE


def test_who_comes_while_a_module_is_imported_waits_for_it(modules):
    modules(slow_module=SLOW)
    assert ecru.gather(*[lambda: value_of("slow_module")] * 3) == [1, 1, 1]


def test_so_does_a_thread(modules):
    modules(slow_for_thread=SLOW)
    values = []
    thread = threading.Thread(target=lambda: values.append(value_of("slow_for_thread")))

    def first():
        thread.start()
        return value_of("slow_for_thread")

    assert ecru.spawn(first).result() == 1
    thread.join()
    assert values == [1]


def test_two_that_import_each_others_modules_do_not_wait_for_ever(modules):
    modules(
        slow_one="import ecru\necru.sleep(0.02)\nimport slow_two\nVALUE = 1\n",
        slow_two="import ecru\necru.sleep(0.02)\nimport slow_one\nVALUE = 2\n",
    )
    with ecru.timeout(30):
        assert ecru.gather(lambda: value_of("slow_one"), lambda: value_of("slow_two")) == [1, 2]


def test_who_waits_for_an_import_can_be_cancelled(modules, monkeypatch):
    gate = ecru.Event()
    monkeypatch.setattr(sys, "ecru_gate", gate, raising=False)
    modules(slow_waited_for="import sys\nsys.ecru_gate.wait()\nVALUE = 1\n")
    first = ecru.spawn(value_of, "slow_waited_for")
    ecru.yield_()
    second = ecru.spawn(value_of, "slow_waited_for")
    ecru.yield_()
    second.cancel()
    assert isinstance(second.exception(), ecru.Cancelled)
    gate.set()
    assert first.result() == 1
    assert value_of("slow_waited_for") == 1


def test_a_forked_child_imports(modules, tmp_path):
    modules(slow_child=SLOW)
    done = run(
        f"""
        import os, sys
        sys.path.insert(0, {str(tmp_path)!r})
        import ecru
        ecru.sleep(0.001)
        child = os.fork()
        import slow_child
        if child == 0:
            os._exit(slow_child.VALUE)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
    )
    assert done.out == ["1"], done.err


def test_an_import_starts_nothing():
    done = run(
        """
        import os
        import ecru
        import xml.dom.minidom
        print(len(os.listdir("/proc/self/task")))
        """
    )
    assert done.out == ["1"], done.err
