#!/usr/bin/env python3
"""How much C stack a goroutine of Python uses, as a table of docs/internals/python.md.

build/python/<version>/python tests/bench/python_stack.py: each row runs in a goroutine whose stack nobody has used
before, and which then parks in a channel. The lowest byte that is not 0 tells how far it came, counted from the end of
the stack's last page. There lies the goroutine's control block, and where the stack starts differs by up to 960 bytes,
so that goroutines do not share a cache's sets. x86-64, Linux.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import platform
import re
import sqlite3
import traceback
from collections.abc import Callable
from typing import Any

import ecru

PAGE_BYTES = mmap.PAGESIZE
RETURN_STACK_POINTER = b"\x48\x89\xe0\xc3"  # mov %rsp, %rax; ret


code = mmap.mmap(-1, PAGE_BYTES, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(RETURN_STACK_POINTER)
stack_pointer = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
pages = open("/proc/self/pagemap", "rb", buffering=0)  # noqa: SIM115 - for good


def is_present(address: int) -> bool:
    """Whether the page has memory."""
    pages.seek(address // PAGE_BYTES * 8)
    return bool(pages.read(8)[7] & 0x80)


def lowest_used(address: int) -> int:
    """Below an address of a stack."""
    first = address // PAGE_BYTES * PAGE_BYTES
    while is_present(first - PAGE_BYTES):
        first -= PAGE_BYTES
    data = ctypes.string_at(first, address - first)
    return first + len(data) - len(data.lstrip(b"\0"))


parked: list[Any] = []


def used(operation: Callable[[], object]) -> int:
    """Bytes."""
    told: ecru.Chan[int] = ecru.Chan(2)
    go_on: ecru.Chan[None] = ecru.Chan()

    def run() -> None:
        told.send(stack_pointer())
        operation()
        told.send(0)
        go_on.recv()

    parked.append((ecru.spawn(run), go_on))  # its stack is nobody else's
    address, _ = told.recv(), told.recv()
    ecru.yield_()
    return -(-address // PAGE_BYTES) * PAGE_BYTES - lowest_used(address)


def by_itself(levels: int) -> None:
    """A call of Python by Python."""
    if levels:
        by_itself(levels - 1)


def by_map(levels: int) -> None:
    """By C."""
    if levels:
        list(map(by_map, [levels - 1]))


def by_sorted(levels: int) -> int:
    """By the C that takes most."""
    return len(sorted([levels - 1], key=by_sorted)) if levels else 0


def a_level(function: Callable[[int], object]) -> str:
    """Bytes for each, of 200."""
    return f"{(used(lambda: function(300)) - used(lambda: function(100))) / 200:.0f} a level"


def nested(levels: int) -> Any:
    """A list in a list in a list ..."""
    inner: list[Any] = []
    for _ in range(levels):
        inner = [inner]
    return inner


def query() -> None:
    """A table, a join, an order."""
    database = sqlite3.connect(":memory:")
    database.execute("create table t(a)")
    database.execute("insert into t values (1)")
    database.execute("select count(*) from t x join t y group by x.a order by 1").fetchall()
    database.close()


ROWS: list[tuple[str, Callable[[], object]]] = [
    ("parked in a channel's `recv`", lambda: used(int)),
    ("`ecru.sleep`", lambda: used(lambda: ecru.sleep(0.001))),
    ("a Python function that calls itself", lambda: a_level(by_itself)),
    ("the same through `map`", lambda: a_level(by_map)),
    ("the same through `sorted(key=)`", lambda: a_level(by_sorted)),
    ("`json.dumps` of nested lists", lambda: a_level(lambda levels: json.dumps(nested(levels)))),
    ("`json.loads` of them", lambda: a_level(lambda levels: json.loads("[" * levels + "]" * levels))),
    ("`re.match(r'(a\\|b)*c', 'ab' * 1000 + 'c')`", lambda: used(lambda: re.match(r"(a|b)*c", "ab" * 1000 + "c"))),
    ("a query of `sqlite3`", lambda: used(query)),
    ("`traceback.format_exception`", lambda: used(lambda: traceback.format_exception(ValueError("x")))),
]


def main() -> None:
    """The table."""
    print(f"| CPython {platform.python_version()} | bytes of C stack |\n|---|---|")
    for name, measure in ROWS:
        print(f"| {name} | {measure()} |")


if __name__ == "__main__":
    main()
