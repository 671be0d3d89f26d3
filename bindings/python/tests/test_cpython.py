"""CPython's own tests of threads and children under ecru.patch(), but known failures. ci/python-suite runs more."""

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import ecru

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[2] / "docs" / "python" / "cpython_suite.md"
VERSION = ".".join(platform.python_version_tuple()[:2])
SECONDS = 240
pytestmark = pytest.mark.timeout(SECONDS + 10)
if ecru.implementation == "threads":
    pytest.skip("nothing is patched", allow_module_level=True)
if f" {VERSION}." not in PAGE.read_text() or getattr(sys, "abiflags", ""):
    pytest.skip("ci/python-suite has not been run with this interpreter", allow_module_level=True)
if "LD_PRELOAD" in os.environ:
    pytest.skip("a sanitizer would have to follow what the interpreter's own tests do", allow_module_level=True)


def is_there(file: str) -> bool:
    """Whether the interpreter's test package has it; Debian's is one of its own."""
    try:
        return importlib.util.find_spec(f"test.{file}") is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("file", ["test_queue", "test_select", "test_subprocess", "test_thread", "test_threading"])
def test_nothing_else_fails_than_what_is_known(file: str, tmp_path: Path) -> None:
    if not is_there(file):
        pytest.skip("the interpreter's tests are not there")
    command = [sys.executable, "-m", "ecru.testing.suite", "--known", str(HERE / "cpython_known.toml")]
    command += ["--without-known", "--results", str(tmp_path), file]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert " 0 passed" not in ended.stdout
