"""Programs run by an interpreter of their own."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass

INTERPRETER = [sys.executable, "-X", "faulthandler", "-W", "ignore::ResourceWarning"]  # debug builds show them


@dataclass
class Ended:
    """What a program left: lines on both outputs, exit code (negative: a signal)."""

    out: list[str]
    err: str
    code: int


def run(
    code: str,
    *arguments: str,
    timeout: float = 40,
    flags: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
) -> Ended:
    """Run code, with faulthandler, to its end. environment: besides what this process has."""
    command = [*INTERPRETER, *flags, "-c", textwrap.dedent(code), *arguments]
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=variables)
    return Ended(done.stdout.splitlines(), done.stderr, done.returncode)


def interrupt(code: str, number: int = signal.SIGINT, timeout: float = 40) -> Ended:
    """Run code, with faulthandler; once it has said "ready" send it a signal."""
    command = [*INTERPRETER, "-u", "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if said.strip() == "ready":
            os.kill(process.pid, number)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            out, err = process.communicate()
        return Ended((said + out).splitlines(), err, process.returncode)
