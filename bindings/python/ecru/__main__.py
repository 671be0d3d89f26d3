"""python -m ecru [--no-patch] [--trace] (-m module | -c code | program | -) [argument ...]

Runs a program after ecru.patch().
"""

from __future__ import annotations

import argparse
import importlib.machinery
import io
import os
import pkgutil
import runpy
import sys
from types import CodeType, ModuleType
from typing import Any

USAGE = "python -m ecru [--no-patch] [--trace] (-m module | -c code | program | -) [argument ...]"


def parse(arguments: list[str]) -> argparse.Namespace:
    """What stands before the program's own arguments."""
    parser = argparse.ArgumentParser("python -m ecru", USAGE, "Runs a Python program with goroutines for its threads.")
    parser.add_argument("--no-patch", action="store_true", help="leave the standard library as it is")
    parser.add_argument("--trace", action="store_true", help="tell on stderr of goroutines that begin and end")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("-m", dest="module", action="store_true", help="program is a module, as of python -m")
    kinds.add_argument("-c", dest="code", action="store_true", help="program is code, as of python -c")
    parser.add_argument("program", help="a file, a directory, an archive, -: standard input; a module, code")
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
    _run(options)


def _fresh_main() -> dict[str, Any]:
    """The globals of a module __main__ that is the program's for good: threads may outlive the program's top level."""
    module = ModuleType("__main__")
    sys.modules["__main__"] = module
    return module.__dict__


def _run(options: argparse.Namespace) -> None:
    program = options.program
    sys.argv = ["-c" if options.code else program, *options.arguments]
    names = _fresh_main()
    if options.code:
        sys.path[0] = ""
        exec(compile(program, "<string>", "exec"), names)
    elif options.module:
        sys.path[0] = os.getcwd()
        runpy._run_module_as_main(program)  # type: ignore[attr-defined] # what python -m calls
    elif program == "-":
        sys.path[0] = ""
        exec(compile(sys.stdin.buffer.read(), "<stdin>", "exec"), names)
    elif pkgutil.get_importer(program) is not None:  # a directory or an archive
        sys.path[0] = program
        runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(program))
        names["__file__"] = program
        names["__loader__"] = importlib.machinery.SourceFileLoader("__main__", program)
        exec(_code_of(program), names)


def _code_of(path: str) -> CodeType:
    with io.open_code(os.path.abspath(path)) as file:
        compiled: CodeType | None = pkgutil.read_code(file)
    if compiled is not None:
        return compiled
    with io.open_code(os.path.abspath(path)) as file:
        return compile(file.read(), path, "exec")


if __name__ == "__main__":
    main()
