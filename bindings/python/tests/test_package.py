"""The package as a whole: what it says of itself, and that one runtime stands behind both of its modules."""

import ctypes
import importlib.resources
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import MethodDescriptorType
from typing import Any

import processes
import pytest

import ecru
import ecru.net
from ecru import _native

IMPORT_IN_SUB_INTERPRETER = """
import sys
try:
    import _interpreters
    run, interpreter = _interpreters.exec, _interpreters.create(sys.argv[1])
except ModuleNotFoundError:  # before 3.13
    import _xxsubinterpreters
    run, interpreter = _xxsubinterpreters.run_string, _xxsubinterpreters.create(isolated=sys.argv[1] == "isolated")
run(interpreter, '''
try:
    import ecru
    print("imported", flush=True)
except ImportError as error:
    print(error, flush=True)
''')
"""


def test_version_is_the_runtimes() -> None:
    assert ecru.__version__ == _native.version()


def test_types_are_told_to_checkers() -> None:
    assert importlib.resources.files("ecru").joinpath("py.typed").is_file()


def test_the_module_of_cffi_shares_the_runtime() -> None:
    abi = importlib.import_module("ecru._abi")
    assert abi is ecru._abi is sys.modules["ecru._abi"]
    assert ecru._abi.__file__ == _native.__file__
    assert ecru._abi.ffi.string(ecru._abi.lib.ecru_version()).decode() == _native.version()
    assert ecru._abi.lib.ecru_maxprocs() >= 1


def test_the_runtimes_names_stay_inside() -> None:
    library = ctypes.CDLL(_native.__file__)
    assert hasattr(library, "PyInit__native")
    assert not hasattr(library, "ecru_version")


@pytest.mark.parametrize("kind", ["isolated", "legacy"])
def test_sub_interpreters_are_refused(kind: str) -> None:
    command = [sys.executable, "-c", IMPORT_IN_SUB_INTERPRETER, kind]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    assert "interpreters" in said, said


@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="its shadow is larger than the limit")
def test_it_is_imported_where_addresses_are_few() -> None:
    ended = processes.run("""
import resource
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
import faulthandler
import ecru
import mmap

many_of_them = mmap.mmap(-1, 1200 << 20, prot=mmap.PROT_READ)  # are left to others

chan = ecru.Chan()
task = ecru.spawn(chan.recv)
ecru.yield_()
faulthandler.dump_traceback()
chan.send(7)
print(task.result())
""")
    assert (ended.out, ended.code) == (["7"], 0)


def test_exceptions_have_the_names_programs_know() -> None:
    public = [one for name in ecru.__all__ if isinstance(one := getattr(ecru, name), type)]
    errors = [one for one in public if issubclass(one, BaseException)]
    assert ecru.DeadlockError in errors
    for error in errors:
        assert getattr(ecru, error.__qualname__) is error
        assert error.__module__ in ("ecru", "threading", "queue")


def test_what_there_is_says_in_what_state_it_is() -> None:
    def fail() -> None:
        raise LookupError

    task = ecru.spawn(fail)
    task.name = "finder"
    assert repr(task) == "<ecru.Task finder, running>"
    assert task.exception()
    assert repr(task) == "<ecru.Task finder, raised LookupError>"
    task = ecru.spawn(int)
    task.join()
    assert repr(task) == f"<ecru.Task task-{task.id}, returned>"

    scope, group = ecru.timeout(50), ecru.TaskGroup()
    assert (repr(scope), repr(group)) == ("<ecru.Scope, not entered>", "<ecru.TaskGroup, not entered>")
    with scope:
        assert re.fullmatch(r"<ecru.Scope, <ecru.Token, (50|49.\d) s left>>", repr(scope))
    with group:
        assert repr(group) == "<ecru.TaskGroup, open, 0 failed, <ecru.Token, no deadline>>"
        group.cancel()
    assert repr(group) == "<ecru.TaskGroup, ended, <ecru.Token, fired: cancelled>>"


async def coroutine() -> None:
    """Which spawn is not for."""


class WithCoroutine:
    async def method(self) -> None:
        """As coroutine."""


@pytest.mark.parametrize("function", [coroutine, WithCoroutine().method])
def test_coroutine_functions_are_refused(function: Any) -> None:
    for start in (ecru.go, ecru.spawn, ecru.gather, ecru.race):
        with pytest.raises(TypeError, match=r"ecru\.aio\.run"):
            start(function)
    for limit in (None, 1):
        with ecru.TaskGroup(limit) as group, pytest.raises(TypeError, match=r"ecru\.aio\.run"):
            group.go(function)


ON_DEMAND = """
import sys, threading, types
import ecru
from ecru import net
assert not {"asyncio", "concurrent.futures", "ssl", "ecru.net", "ecru.aio"} & set(sys.modules)
assert "__getattr__" not in vars(ecru)  # with one no look-up of ecru.go is specialised
seen = []
threads = [threading.Thread(target=lambda: seen.append(net.Listener)) for _ in range(4)]
for thread in threads: thread.start()
tasks = [ecru.spawn(lambda: net.Listener) for _ in range(4)]
seen += [task.result() for task in tasks]
for thread in threads: thread.join()
assert len(seen) == 8 and set(seen) == {ecru.net.Listener}
assert net is ecru.net is sys.modules["ecru.net"] and type(net) is types.ModuleType
import ecru.wsgi._server
assert ecru.wsgi._server.__spec__.parent == "ecru.wsgi" and type(ecru.wsgi) is types.ModuleType
sys.modules["asyncio"] = None
for _ in range(2):
    try:
        ecru.aio.run
    except ImportError as error:
        assert error.name == "asyncio", error
del sys.modules["asyncio"]
ecru.aio.answer = 42
assert ecru.aio.answer == 42 and callable(ecru.aio.run)
print("good")
"""


def test_modules_are_loaded_on_demand() -> None:
    ended = processes.run(ON_DEMAND)
    assert ended.out == ["good"], ended.err


PACKED = """
import sys, types, zipfile, zipimport
with zipfile.ZipFile(sys.argv[1], "w") as archive:
    archive.writestr("packed/__init__.py", "from ecru._on_demand import stand_in; asked = stand_in(__name__, 'asked')")
    archive.writestr("packed/asked.py", "import packed.sibling; answer = packed.sibling.answer")
    archive.writestr("packed/sibling.py", "answer = 42")
    archive.writestr("packed/later.py", "")
sys.path.insert(0, sys.argv[1])
import packed, importlib.util
assert importlib.util.find_spec("packed.asked").loader.get_source("packed.asked").startswith("import")
assert packed.asked.answer == 42
import packed.later
assert packed.asked is sys.modules["packed.asked"] is not packed.sibling and type(packed.asked) is types.ModuleType
assert type(packed.asked.__loader__) is type(packed.asked.__spec__.loader) is zipimport.zipimporter
print("good")
"""


def test_modules_on_demand_leave_a_loader_that_others_share_as_it_is(tmp_path: Path) -> None:
    ended = processes.run(PACKED, str(tmp_path / "packed.zip"))
    assert ended.out == ["good"], ended.err


PATCHED_WHEN_IMPORTED = """
import sys, types, zipfile, zipimport
with zipfile.ZipFile(sys.argv[1], "w") as archive:
    archive.writestr("packed/__init__.py", "")
    archive.writestr("packed/asked.py", "import packed.sibling")
    archive.writestr("packed/sibling.py", "")
    archive.writestr("packed/later.py", "")
sys.path.insert(0, sys.argv[1])
from ecru._patch import _imports
class Old:
    def find_module(self, name, path=None): return None
installed = []
_imports.at_next_import("packed.asked", lambda module: installed.append(module.__name__))
sys.meta_path.insert(1, Old())
import packed.asked
del sys.meta_path[1]
import packed.later
assert installed == ["packed.asked"], installed
assert type(packed.asked.__loader__) is type(packed.asked.__spec__.loader) is zipimport.zipimporter
print("good")
"""


def test_what_is_patched_when_it_is_imported_leaves_a_loader_that_others_share_as_it_is(tmp_path: Path) -> None:
    ended = processes.run(PATCHED_WHEN_IMPORTED, str(tmp_path / "packed.zip"))
    assert ended.out == ["good"], ended.err


OLD_FINDER = """
import sys
import ecru
class Old:
    def find_module(self, name, path=None): return None
sys.meta_path.insert(1, Old())
assert ecru.net.Listener
print("good")
"""


def test_modules_on_demand_are_found_beside_finders_of_the_old_kind() -> None:
    ended = processes.run(OLD_FINDER)
    assert ended.out == ["good"], ended.err


def public_classes() -> Iterator[type]:
    for module in (ecru, ecru.net):
        for name, value in vars(module).items():
            if isinstance(value, type) and value.__module__.startswith("ecru") and not name.startswith("_"):
                yield value


@pytest.mark.skipif(ecru.implementation == "threads", reason="classes are written in Python")
def test_methods_that_classes_inherit_from_c_are_their_own() -> None:
    """CPython specialises calls of those only."""
    for cls in public_classes():
        for name in dir(cls):
            method = inspect.getattr_static(cls, name)
            if isinstance(method, MethodDescriptorType) and method.__objclass__.__module__.startswith("ecru"):
                assert method.__objclass__ is cls, (cls, name)


@pytest.mark.skipif(ecru.implementation == "threads", reason="classes are written in Python")
def test_methods_of_others_stay_theirs() -> None:
    for cls, method in [(ecru.Chan, str.join), (str, ecru.Chan.send), (ecru.Chan, len), (1, ecru.Chan.send)]:
        with pytest.raises(TypeError, match="method_of"):
            _native.method_of(cls, method)  # type: ignore[arg-type]
