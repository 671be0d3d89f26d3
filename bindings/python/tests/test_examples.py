"""The programs in bindings/python/examples say what they should, each in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PROGRAMS = sorted(EXAMPLES.glob("*.py"))
ERRORS = {"fire_and_forget": "BrokenPipeError: the other side has hung up"}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_examples(program: Path) -> None:
    result = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=40, check=False)
    assert result.stdout == (EXAMPLES / "expected" / f"{program.stem}.txt").read_text(), result.stderr
    assert result.returncode == 0
    assert ERRORS.get(program.stem, "") in result.stderr
    assert bool(result.stderr) == (program.stem in ERRORS)


def test_each_expectation_has_a_program() -> None:
    assert {path.stem for path in EXAMPLES.glob("expected/*")} == {program.stem for program in PROGRAMS}
