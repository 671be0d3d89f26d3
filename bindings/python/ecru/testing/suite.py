"""python -m ecru.testing.suite: runs files of CPython's own suite under ecru.patch(), and says what came of it.

Each file runs in processes of its own (monkey_test): one that a test ends, because it crashed or took too long, is
followed by one for the rest. Failures are compared with a table of known ones (TOML): a list `known` of tables with
`test` (a pattern as of fnmatch over file.class.method), `reason` (text), and, where it is not everywhere, `versions` (a
list of "major.minor") and `sometimes` (true: it may also pass).
Exit code 1: a failure nobody knows of, or a known one that is none.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import json
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILES = (
    "test_socket",
    "test_ssl",
    "test_select",
    "test_selectors",
    "test_queue",
    "test_threading",
    "test_thread",
    "test_subprocess",
    "test_httplib",
    "test_urllib2_localnet",
    "test_ftplib",
    "test_socketserver",
    "test_wsgiref",
)


@dataclasses.dataclass
class Known:
    """A failure that is expected."""

    test: str
    reason: str
    versions: list[str] = dataclasses.field(default_factory=list)
    sometimes: bool = False

    def is_here(self) -> bool:
        """Whether it is about this interpreter."""
        return not self.versions or ".".join(platform.python_version_tuple()[:2]) in self.versions

    def matches(self, test: str) -> bool:
        """Whether it is about this test, on this interpreter."""
        return self.is_here() and fnmatch.fnmatchcase(test, self.test)


def read_known(path: Path) -> list[Known]:
    """The table. TypeError: a name in it is wrong."""
    return [Known(**entry) for entry in tomllib.loads(path.read_text())["known"]]


def run_file(
    file: str, seconds: float, patched: bool, log: Any, without: Iterable[str] = ()
) -> dict[str, tuple[str, str]]:
    """Test -> (outcome, detail) of one file. seconds: what a test may take. without: patterns of those left out."""
    outcomes: dict[str, tuple[str, str]] = {}
    with tempfile.NamedTemporaryFile("w+", suffix=".done") as done:
        done.write("".join(f"{pattern}\n" for pattern in without))
        done.flush()
        while True:
            command = [
                sys.executable,
                "-X",
                "faulthandler",
                "-m",
                "ecru.testing.monkey_test",
                "--seconds",
                str(seconds),
            ]
            command += ["--done", done.name, *([] if patched else ["--no-patch"]), file]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
            assert process.stdout is not None
            begun = None
            for line in process.stdout:
                entry = json.loads(line)
                begun = entry["test"] if entry["outcome"] == "begin" else None
                if begun is None:
                    outcomes[entry["test"]] = entry["outcome"], entry["detail"]
            code = process.wait()
            if begun is None:
                if code != 0:
                    outcomes[f"{file}.at_the_end"] = "crash", f"exit code {code}"
                return outcomes
            outcomes[begun] = ("hang", f"longer than {seconds:g} s") if code == 1 else ("crash", f"exit code {code}")
            done.write("".join(f"{test}\n" for test in outcomes))
            done.flush()


@dataclasses.dataclass
class Summary:
    """Of one file: how many tests, and which were no pass."""

    passed: int = 0
    skipped: int = 0
    known: dict[str, str] = dataclasses.field(default_factory=dict)  # test -> reason
    failed: dict[str, str] = dataclasses.field(default_factory=dict)  # test -> detail
    unexpected: list[str] = dataclasses.field(default_factory=list)  # known to fail, yet did not


def summarize(outcomes: dict[str, tuple[str, str]], table: list[Known]) -> Summary:
    """Compares with the table."""
    summary = Summary()
    for test, (outcome, detail) in sorted(outcomes.items()):
        entry = next((known for known in table if known.matches(test)), None)
        if outcome == "skip":
            summary.skipped += 1
        elif outcome == "pass":
            summary.passed += 1
            if entry is not None and not entry.sometimes and "*" not in entry.test:
                summary.unexpected.append(test)
        elif entry is not None:
            summary.known[test] = entry.reason
        else:
            summary.failed[test] = f"{outcome}: {detail}"
    return summary


def make_table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown of version -> file -> summary."""
    versions = sorted(results, key=lambda version: [int(part) for part in version.split(".")])
    lines = [
        "# CPython's own tests under ecru.patch()",
        "",
        "Written by `ci/python-suite`: passed / known failures / skipped. The tests are the interpreter's own, after",
        "`ecru.patch()`, with the time of a minute for each. Whatever fails otherwise fails `ci/python-suite`.",
        "",
        "| | " + " | ".join(versions) + " |",
        "|---|" + "---|" * len(versions),
    ]
    for file in FILES:
        cells = []
        for version in versions:
            counts = results[version].get(file)
            cells.append(f"{counts['passed']} / {len(counts['known'])} / {counts['skipped']}" if counts else "")
        lines.append(f"| {file} | " + " | ".join(cells) + " |")
    lines += ["", "## Known failures", "", "| test | versions | reason |", "|---|---|---|"]
    reasons: dict[tuple[str, str], list[str]] = {}
    for version in versions:
        for counts in results[version].values():
            for test, reason in counts["known"].items():
                reasons.setdefault((test, reason), []).append(version)
    lines += [f"| {test} | {', '.join(found)} | {reason} |" for (test, reason), found in sorted(reasons.items())]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Runs the files, writes <results>/<version>.json, and the table of all that are there."""
    parser = argparse.ArgumentParser("python -m ecru.testing.suite")
    parser.add_argument("--known", type=Path, required=True, help="the table of known failures")
    parser.add_argument("--results", type=Path, required=True, help="a directory for what came of it, and the log")
    parser.add_argument("--seconds", type=float, default=60, help="what a test may take")
    parser.add_argument("--table", type=Path, help="a file of Markdown to be written from all results")
    parser.add_argument("--no-patch", action="store_true", help="for comparison: over the standard library as it is")
    parser.add_argument("--without-known", action="store_true", help="known failures are left out, one of which hangs")
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored, and so by the tests
    table, version, bad = read_known(options.known), platform.python_version(), False
    options.results.mkdir(parents=True, exist_ok=True)
    path = options.results / f"{version}.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    with (options.results / f"{version}.log").open("w") as log:
        for file in options.files or FILES:
            without = [known.test for known in table if options.without_known and known.is_here()]
            outcomes = run_file(file, options.seconds, not options.no_patch, log, without)
            summary = summarize(outcomes, table)
            results[file] = dataclasses.asdict(summary)
            counts = f"{summary.passed} passed, {summary.skipped} skipped, {len(summary.known)} known failures"
            print(f"{version} {file}: {counts}, {len(summary.failed)} failed", flush=True)
            for test, detail in summary.failed.items():
                print(f"  {test}: {detail}", flush=True)
            for test in summary.unexpected:
                print(f"  {test}: passes, though the table says it fails", flush=True)
            bad = bad or bool(summary.failed or summary.unexpected)
    if not options.no_patch:
        path.write_text(json.dumps(results, indent=1))
        if options.table:
            everything = {file.stem: json.loads(file.read_text()) for file in options.results.glob("*.json")}
            options.table.write_text(make_table(everything))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
