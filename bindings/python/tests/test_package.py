"""The package as a whole: what it says of itself, and that one runtime stands behind both of its modules."""

import ctypes
import importlib.resources
import subprocess
import sys

import pytest

import ecru
from ecru import _abi, _native

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
    assert ecru.__version__ == _native.version() == _abi.ffi.string(_abi.lib.ecru_version()).decode()


def test_types_are_told_to_checkers() -> None:
    assert importlib.resources.files("ecru").joinpath("py.typed").is_file()


def test_both_modules_share_one_runtime() -> None:
    assert sys.modules["ecru._abi"] is _abi is ecru._abi
    assert _abi.__file__ == _native.__file__
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
