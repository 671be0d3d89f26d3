"""All tests: a hang or a crash says where (faulthandler), and hypothesis needs no database.

Where goroutines are threads the tests of threads_known.toml are left out, where they run on several workers those of
workers_known.toml, and everywhere those that need what cannot be installed.
"""

import gc
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import hypothesis
import pytest
import yielding

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import ecru

yielding.begin()
hypothesis.settings.register_profile("ecru", database=None, deadline=None)
hypothesis.settings.load_profile("ecru")

NO_CFFI = not find_spec("cffi")
WITHOUT = "there is no cffi for this interpreter"  # 3.13t
OF_CFFI = "\nfrom ecru._abi import", "\nfrom ecru import _native, _threads"  # in files that need it whole


class LeftOut(pytest.Module):
    """A file that could not be imported."""

    def collect(self) -> NoReturn:
        """Nothing."""
        pytest.skip(WITHOUT)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Files for cffi are skipped, where they would fail to be imported."""
    needs = any(words in module_path.read_text() for words in OF_CFFI)
    return LeftOut.from_parent(parent, path=module_path) if NO_CFFI and needs else None


HERE = Path(__file__).parent
KNOWN = {"threads": HERE / "threads_known.toml", "workers": HERE / "workers_known.toml"}


def known(where: str, interpreter: str | None = sys.implementation.name) -> dict[str, str]:
    """The reason of each file, test or case that is left out with an interpreter, or any. where: a key of KNOWN."""
    listed: list[dict[str, Any]] = tomllib.loads(KNOWN[where].read_text())["different"]
    here = [one for one in listed if interpreter in (None, one.get("interpreter", interpreter))]
    return {name: one["reason"] for one in here for name in one["tests"]}


def skip_known(items: list[pytest.Item], where: str) -> None:
    """Marks what is listed."""
    reasons = known(where)
    for item in items:
        name = f"{item.path.name}::{item.name}"
        for key in (item.path.name, name, name.partition("[")[0]):
            if key in reasons:
                item.add_marker(pytest.mark.skip(reason=reasons[key]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that were found."""
    for item in items:
        if NO_CFFI and "cffi" in item.name:
            item.add_marker(pytest.mark.skip(reason=WITHOUT))
    if ecru.implementation == "threads":
        skip_known(items, "threads")
    if ecru.workers() > 1:
        skip_known(items, "workers")


@pytest.fixture
def without_collections() -> Iterator[None]:
    """The collector runs when it is asked to."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


if ecru.implementation == "threads":
    ecru._threads._task.YIELD_SECONDS = 5.0  # tests yield until the others wait: on a busy machine, too

    def pytest_ignore_collect(collection_path: Path) -> bool | None:
        """Whole files, which might not even be imported."""
        return collection_path.name in known("threads") or None
