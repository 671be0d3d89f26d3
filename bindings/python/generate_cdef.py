"""Writes the C source of ecru._abi, cffi's API-mode module over the public headers, from those headers alone.

Of what the compiler's preprocessor prints (`cc -E -dD`), the lines that come from ecru's own headers are the
declarations. Macros that expand to integers become constants; others (initialisers, functions) have no counterpart in
cffi and are left out. cffi checks sizes, offsets and values against the headers when its output is compiled.

Usage: generate_cdef.py --compiler CC --include runtime/include --output build/_abi.c
"""

import argparse
import re
import subprocess
from pathlib import Path

import cffi

HEADER = "#include <ecru/ecru.h>\n"
LINE_MARKER = re.compile(r'# \d+ "([^"]*)"')
OBJECT_MACRO = re.compile(r"#define (ECRU_[A-Z0-9_]+) +\S")
INTEGER_EXPRESSION = re.compile(r"(0[xX][0-9a-fA-F]+[uUlL]*|\d+[uUlL]*|<<|>>|[-+*/%&|^~() ])+")


def preprocess(compiler: str, include: Path, source: str, *flags: str) -> str:
    """What the preprocessor makes of `source`, without attributes. Raises RuntimeError with its words if it refuses."""
    command = [compiler, "-E", *flags, "-D__attribute__(x)=", f"-I{include}", "-x", "c", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout


def own_lines(preprocessed: str, headers: Path) -> list[str]:
    """The lines that come from files in `headers`, without line markers."""
    lines, own = [], False
    for line in preprocessed.splitlines():
        marker = LINE_MARKER.match(line)
        if marker:
            own = Path(marker[1]).parent == headers
        elif own:
            lines.append(line)
    return lines


def integer_macros(compiler: str, include: Path, names: list[str]) -> list[str]:
    """Those of the macros `names` that expand to an integer constant."""
    probes = "".join(f'"probe {name}" {name}\n' for name in names)
    text = preprocess(compiler, include, HEADER + probes, "-P")
    expansions = re.findall(r'^"probe (\w+)" *(.*)$', text, re.MULTILINE)
    return [name for name, expansion in expansions if INTEGER_EXPRESSION.fullmatch(expansion)]


def declarations(compiler: str, include: Path) -> str:
    """The text for FFI.cdef: every type, function and integer constant of <ecru/ecru.h>."""
    lines = own_lines(preprocess(compiler, include, HEADER, "-dD"), include / "ecru")
    macros = [match[1] for line in lines if (match := OBJECT_MACRO.match(line))]
    constants = [f"#define {name} ..." for name in integer_macros(compiler, include, macros)]
    return "\n".join(constants + [line for line in lines if line.strip() and not line.startswith("#")]) + "\n"


def main() -> None:
    """Writes the source; its time is new even if its text is not, as ninja expects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", required=True, help="C compiler")
    parser.add_argument("--include", required=True, type=Path, help="directory that holds ecru/ecru.h")
    parser.add_argument("--output", required=True, type=Path, help="C source to write")
    arguments = parser.parse_args()
    ffi = cffi.FFI()
    ffi.cdef(declarations(arguments.compiler, arguments.include.resolve()))
    ffi.set_source("ecru._abi", HEADER)
    ffi.emit_c_code(str(arguments.output))
    arguments.output.touch()


if __name__ == "__main__":
    main()
