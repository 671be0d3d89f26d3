"""All tests: a hang or a crash says where (faulthandler), and hypothesis needs no database.

Where goroutines are threads the tests of threads_known.toml are left out, and everywhere the files that need what
cannot be installed.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hypothesis
import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import ecru

hypothesis.settings.register_profile("ecru", database=None, deadline=None)
hypothesis.settings.load_profile("ecru")

# What an interpreter cannot have (3.13t: cffi, and what is made with it) its tests are not collected for.
USES = {
    "cffi": ("import cffi", "from cffi", "_abi import", "import _abi", "import _native, _threads"),
    "greenlet": ("import greenlet", "from greenlet"),
    "trustme": ("net_helpers", "import trustme"),
}
collect_ignore = [
    path.name
    for path in Path(__file__).parent.glob("test_*.py")
    for package, words in USES.items()
    if not find_spec(package) and any(word in path.read_text() for word in words)
]

KNOWN = Path(__file__).with_name("threads_known.toml")


def known(interpreter: str | None = sys.implementation.name) -> dict[str, str]:
    """The reason of each file, test or case that is left out with an interpreter, or any."""
    listed: list[dict[str, Any]] = tomllib.loads(KNOWN.read_text())["different"]
    here = [one for one in listed if interpreter in (None, one.get("interpreter", interpreter))]
    return {name: one["reason"] for one in here for name in one["tests"]}


def skip_known(items: list[pytest.Item]) -> None:
    """Marks what is listed."""
    reasons = known()
    for item in items:
        name = f"{item.path.name}::{item.name}"
        for key in (item.path.name, name, name.partition("[")[0]):
            if key in reasons:
                item.add_marker(pytest.mark.skip(reason=reasons[key]))


if ecru.implementation == "threads":
    ecru._threads._task.YIELD_SECONDS = 5.0  # tests yield until the others wait: on a busy machine, too

    def pytest_ignore_collect(collection_path: Path) -> bool | None:
        """Whole files, which might not even be imported."""
        return collection_path.name in known() or None

    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        """All that were found."""
        skip_known(items)
