"""python -m ecru [--no-patch] [--trace] (-m module | program) [argument ...]: runs a program after ecru.patch()."""

from __future__ import annotations

import argparse
import os
import runpy
import sys

USAGE = "python -m ecru [--no-patch] [--trace] (-m module | program) [argument ...]"


def parse(arguments: list[str]) -> argparse.Namespace:
    """What stands before the program's own arguments."""
    parser = argparse.ArgumentParser("python -m ecru", USAGE, "Runs a Python program with goroutines for its threads.")
    parser.add_argument("--no-patch", action="store_true", help="leave the standard library as it is")
    parser.add_argument("--trace", action="store_true", help="tell on stderr of goroutines that begin and end")
    parser.add_argument("-m", dest="module", action="store_true", help="program is a module, as of python -m")
    parser.add_argument("program", help="a file, or a module after -m")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser.parse_args(arguments)


def main() -> None:
    """Runs it in this process, as python itself would."""
    options = parse(sys.argv[1:])
    if options.trace:
        from ecru import _trace

        _trace.start()
    if not options.no_patch:
        from ecru import patch

        patch()
    sys.argv = [options.program, *options.arguments]
    if options.module:
        sys.path[0] = os.getcwd()
        runpy.run_module(options.program, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(options.program))
        runpy.run_path(options.program, run_name="__main__")


if __name__ == "__main__":
    main()
