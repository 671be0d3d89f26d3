"""python -m ecru.testing.monkey_test [options] FILE: runs a file of the interpreter's own tests after ecru.patch().

FILE is a module of the installed package `test`, such as test_socket. Prints a line of JSON for each test that begins
or ends: {"test": id, "outcome": "begin" | "pass" | "fail" | "error" | "skip", "detail": text}. A test that takes too
long ends the process, with the stacks of all goroutines on stderr: start it again with --done.
"""

from __future__ import annotations

import argparse
import faulthandler
import fnmatch
import importlib
import json
import os
import sys
import tempfile
import traceback
import unittest
from collections.abc import Iterator
from typing import Any

import ecru


class Results(unittest.TestResult):
    """Writes each outcome down at once."""

    def __init__(self, descriptor: int, seconds: float) -> None:
        """descriptor: where to. seconds: what a test may take."""
        super().__init__()
        self._descriptor = descriptor
        self._seconds = seconds
        self._write = ecru.get_original("os", "write")
        self._outcome: tuple[str, str] = ("pass", "")

    def _put(self, test: Any, outcome: str, detail: str = "") -> None:
        line = json.dumps({"test": test_id(test), "outcome": outcome, "detail": detail})
        self._write(self._descriptor, line.encode() + b"\n")

    def startTest(self, test: unittest.TestCase) -> None:
        """Tells that it begins."""
        super().startTest(test)
        self._outcome = ("pass", "")
        self._put(test, "begin")
        faulthandler.dump_traceback_later(self._seconds, exit=True)

    def stopTest(self, test: unittest.TestCase) -> None:
        """Tells how it was."""
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)
        self._put(test, *self._outcome)

    def _worse(self, outcome: str, error: Any) -> None:
        kind, value, trace = error
        where = traceback.extract_tb(trace)[-1:]
        place = f" at {os.path.basename(where[0].filename)}:{where[0].lineno}" if where else ""
        detail = (str(value).splitlines() or [""])[0]
        self._outcome = (outcome, f"{kind.__name__}: {detail}{place}"[:300])
        sys.stderr.write("".join(traceback.format_exception(*error)))

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        """It raised something else; for a class or module as a whole there is no test."""
        super().addError(test, err)
        self._worse("error", err)
        if not isinstance(test, unittest.TestCase):
            self._put(test, *self._outcome)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        """An assertion failed."""
        super().addFailure(test, err)
        self._worse("fail", err)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        """Part of it failed."""
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._worse("fail", err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        """It does not apply."""
        super().addSkip(test, reason)
        self._outcome = ("skip", reason)
        if not isinstance(test, unittest.TestCase):
            self._put(test, *self._outcome)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        """It should have failed."""
        super().addUnexpectedSuccess(test)
        self._outcome = ("fail", "unexpected success")


def test_id(test: Any) -> str:
    """file.class.method."""
    return str(test.id()).removeprefix("test.").removeprefix("__main__.")


def _is_among(test: str, patterns: set[str]) -> bool:
    return test in patterns or any(fnmatch.fnmatchcase(test, pattern) for pattern in patterns)


def _tests(suite: unittest.TestSuite | unittest.TestCase) -> Iterator[unittest.TestCase]:
    if isinstance(suite, unittest.TestCase):
        yield suite
    else:
        for part in suite:
            yield from _tests(part)


def _load(file: str) -> unittest.TestSuite:
    return unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(f"test.{file}"))


def main() -> None:
    """Runs what is left of the file."""
    parser = argparse.ArgumentParser("python -m ecru.testing.monkey_test")
    parser.add_argument("--no-patch", action="store_true", help="run it over the standard library as it is")
    parser.add_argument("--done", help="a file of test ids, one a line, that are left out, or patterns")
    parser.add_argument("--match", help="only tests whose id contains this")
    parser.add_argument("--seconds", type=float, default=60, help="what a test may take")
    parser.add_argument("file")
    options = parser.parse_args()
    descriptor = os.dup(1)
    os.dup2(2, 1)
    if not options.no_patch:
        ecru.patch()
    from test import support  # type: ignore[import-not-found]

    support.verbose = False
    support.use_resources = ["network"] if options.file == "test_socketserver" else []  # it means the loopback
    done = set()
    if options.done:
        with open(options.done) as lines:
            done = set(lines.read().split("\n"))
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        tests = [test for test in _tests(_load(options.file)) if not _is_among(test_id(test), done)]
        if options.match:
            tests = [test for test in tests if options.match in test_id(test)]
        unittest.TestSuite(tests).run(Results(descriptor, options.seconds))
        os.chdir("/")


if __name__ == "__main__":
    main()
