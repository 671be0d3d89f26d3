"""Tests that patch the standard library: each in an interpreter of its own."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_BODY = """
import faulthandler; faulthandler.dump_traceback_later({seconds}, exit=True)
import ecru; ecru.patch({features})
import yielding; yielding.begin()
import {module}; {module}.{name}.__wrapped__()
"""
SECONDS = 45


def patched(function: Callable[[], None], features: str = "") -> Callable[[], None]:
    """Runs the test after ecru.patch() in a child, whose imports all come after it."""

    @functools.wraps(function)
    def test() -> None:
        body = _BODY.format(seconds=SECONDS, features=features, module=function.__module__, name=function.__name__)
        run(body)

    test.__signature__ = None  # type: ignore[attr-defined]
    return test


def run(body: str, *arguments: str) -> str:
    """What a program prints, all warnings being errors."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-X", "faulthandler", "-W", "error", "-c", body, *arguments]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=SECONDS + 10
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
