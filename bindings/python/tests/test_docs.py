"""Every code block of docs/python runs, and says what the block of text after it has; README.md's runs, too.

The blocks of a page are one program: they run in order, in one process, each in the names the former have left.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import ecru

ROOT = Path(__file__).resolve().parents[3]
pytest_plugins = "pytester"
DOCS = ROOT / "docs" / "python"
PAGES = sorted(page for page in (*DOCS.glob("*.md"), ROOT / "README.md") if "```python" in page.read_text())
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "======== {} ========"


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """Each program and what it is to say."""
    found: list[tuple[str, str]] = []
    for language, text in BLOCK.findall(page.read_text()):
        if language == "python":
            found.append((text, ""))
        elif language == "text" and found:
            found[-1] = (found[-1][0], text)
    return found


def test_there_are_pages() -> None:
    assert {"tutorial", "from_asyncio", "from_gevent", "from_threads", "README"} <= {page.stem for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_blocks(page: Path, tmp_path: Path) -> None:
    blocks = blocks_of(page)
    source = "".join(f"{code}\nprint({MARK.format(number)!r})\n" for number, (code, _) in enumerate(blocks))
    program = tmp_path / f"{page.stem}.py"
    program.write_text(source)
    result = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=50, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    expected = "".join(f"{said}{MARK.format(number)}\n" for number, (_, said) in enumerate(blocks))
    assert result.stdout == expected


def test_the_block_for_pytest(pytester: pytest.Pytester) -> None:
    """It is no part of its page's program."""
    (source,) = [text for language, text in BLOCK.findall((DOCS / "testing.md").read_text()) if language == "py"]
    pytester.makepyfile(source)
    result = pytester.runpytest_subprocess("-p", "ecru.pytest_plugin", timeout=50)
    result.assert_outcomes(passed=1)


# ---- the reference ---------------------------------------------------------------------------------------------------

MODULES = {"aio", "futures", "gunicorn", "net", "operators", "pytest_plugin", "wsgi"}
KINDS = "class|data|exception|function|module"
DIRECTIVE = re.compile(rf"^\.\. (?:auto|py:)(?:{KINDS}):: (?:ecru\.)?(\w+(?:\.\w+)*)", re.MULTILINE)


def in_reference() -> set[str]:
    """What has an entry, without the package's name."""
    return {name for page in DOCS.glob("reference/*.rst") for name in DIRECTIVE.findall(page.read_text())}


def test_every_public_name_is_in_the_reference() -> None:
    names = set(ecru.__all__) - {"__version__"} | MODULES
    assert names - in_reference() == set()


def test_every_page_is_in_the_references_contents() -> None:
    pages = {page.stem for page in DOCS.glob("reference/*.rst")} - {"index"}
    contents = (DOCS / "reference" / "index.rst").read_text().split(".. toctree::")[1].split()
    assert set(contents) == pages


def test_public_modules_that_are_packages_have_all_their_names_there() -> None:
    named = in_reference()
    assert {f"wsgi.{name}" for name in ecru.wsgi.__all__} <= named
