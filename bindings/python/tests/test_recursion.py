"""Recursion as deep as the interpreter's limit, in a goroutine: an error, never a crash."""

import os
import re
import subprocess
import sys
from pathlib import Path

import processes
import pytest
from running import results


def deepen(n):
    return 0 if n == 0 else 1 + deepen(n - 1)


def test_recursion_has_the_interpreters_limit():
    def f(_):
        depth = deepen(900)
        with pytest.raises(RecursionError):
            deepen(100_000)
        return depth

    assert results(f, 1, 2, 3) == [900] * 3
    assert deepen(900) == 900


RECURSIONS = {
    "python": "def f(n): return f(n + 1)",
    "sorted": "def f(n): return sorted([n, n], key=lambda x: f(n + 1))",
    "map": "def f(n): return next(map(f, [n + 1]))",
    "getattr": """class A:
    def __getattr__(self, name): return getattr(self, name + 'x')
def f(n): A().y""",
    "init": """class A:
    def __init__(self): A()
def f(n): A()""",
    "repr of a class": """class A:
    def __repr__(self): return repr(self)
def f(n): repr(A())""",
    "compare": """class A:
    def __eq__(self, other): return A() == other
def f(n): A() == 1""",
    "call": """class A: pass
A.__call__ = A()
def f(n): A()()""",
    "exec": "def f(n): exec('f(n + 1)', {'f': f, 'n': n})",
    "import hooks": "import functools\ndef f(n): return functools.reduce(lambda a, b: f(n + 1), [1, 2])",
    "repr of a list": "def f(n):\n    x = []\n    for i in range(100000): x = [x]\n    repr(x)",
    "json": "import json\ndef f(n): json.loads('[' * 100000)",
    "json out": "import json\ndef f(n):\n    x = []\n    for i in range(100000): x = [x]\n    json.dumps(x)",
    "pickle": "import pickle\ndef f(n):\n    x = []\n    for i in range(100000): x = [x]\n    pickle.dumps(x)",
    "pickle in python": "import pickle\ndef f(n):\n    x = []\n    for i in range(3000): x = [x]\n    pickle._dumps(x)",
    "copy": "import copy\ndef f(n):\n    x = []\n    for i in range(3000): x = [x]\n    copy.deepcopy(x)",
    "isinstance": "def f(n):\n    x = ()\n    for i in range(100000): x = (x,)\n    isinstance(1, x)",
    "compile": "def f(n): compile('-' * 100000 + '1', 'x', 'eval')",
    "brackets": "def f(n): compile('(' * 199 + ')' * 199, 'x', 'eval'); compile('[' * 1000, 'x', 'eval')",
    "regular expressions": "import re\ndef f(n): re.compile('(' * 5000 + ')' * 5000)",
    "literals": "import ast\ndef f(n): ast.literal_eval('+' * 100000 + '1')",
    "generators": "def g(n):\n    yield from g(n + 1)\ndef f(n): list(g(n))",
    "iterators": "import itertools\ndef f(n):\n    x = []\n    for i in range(99): x = itertools.chain(x)\n    next(x)",
    "destructors": "def f(n):\n    x = []\n    for i in range(1000000): x = [x]\n    del x\n    raise RecursionError",
}


SAID = {"RecursionError", "MemoryError", "SyntaxError", "RuntimeError", "error"}  # the parser and re have their own
SAID |= {"NoneType", "StopIteration"}  # this version can do it without recursion


@pytest.mark.parametrize("name", RECURSIONS)
def test_deep_recursion_is_an_error(name):
    ended = processes.run(
        RECURSIONS[name]
        + """
from ecru import _native as native
error = native.spawn(f, 0).exception()
print(type(error).__name__)
native.spawn(int).result()
"""
    )
    assert ended.code == 0, ended.err
    assert ended.out[0] in SAID


RECURSIONS_PROGRAM = Path(__file__).parent / "recursions.py"


FORMS = re.findall(r"^def ((?:by|of)_\w+)", RECURSIONS_PROGRAM.read_text(), re.MULTILINE)
if "libasan" in os.environ.get("LD_PRELOAD", ""):
    FORMS.remove("by_qsort")  # its qsort calls back twice where one would do: 2 ** depth times in all


@pytest.fixture(scope="module")
def ended():
    """All forms, one after the other in one process."""
    command = [sys.executable, "-X", "faulthandler", RECURSIONS_PROGRAM, *FORMS]
    return subprocess.run(command, capture_output=True, text=True, timeout=55)


@pytest.mark.parametrize("form", FORMS)
def test_whatever_it_goes_through_recursion_ends_with_recursion_error(form, ended):
    assert f"{form} RecursionError" in ended.stdout.splitlines(), ended.stderr
    assert ended.returncode == 0


NEEDS_STACK = {
    "imports": """import ssl, json, decimal, sqlite3, unittest, email.mime.text, xml.dom.minidom, http.client, asyncio
    ssl.create_default_context()""",
    "select": "import select; select.select([], [], [], 0.001)",
    "resolver": "import socket; socket.getaddrinfo('localhost', 80)",
    "pickle": "import pickle\n    x = []\n    for i in range(200): x = [x]\n    pickle.loads(pickle.dumps(x))",
    "json": "import json\n    x = []\n    for i in range(300): x = [x]\n    json.loads(json.dumps(x))",
    "nested calls from C": "def k(n): return 0 if n == 0 else next(map(k, [n - 1]))\n    k(150)",
    "regular expressions": "import re; re.compile('(' * 90 + 'a' + ')' * 90).match('a')",
    "brackets": "compile('(' * 90 + '1' + ')' * 90, 'x', 'eval')",
    "statements": "compile(chr(10).join(' ' * i + 'if 1:' for i in range(19)) + ' pass', 'x', 'exec')",
}


@pytest.mark.parametrize("name", NEEDS_STACK)
def test_what_a_thread_can_do_a_goroutine_can(name):
    ended = processes.run(f"""
from ecru import _native as native
def f():
    {NEEDS_STACK[name]}
    return 'done'
print(native.spawn(f).result())
""")
    assert (ended.out, ended.code) == (["done"], 0), ended.err


def test_a_raised_limit_is_honoured():
    ended = processes.run("""
        import sys
        from ecru import _native as native
        def deepen(n): return 0 if n == 0 else 1 + deepen(n - 1)
        sys.setrecursionlimit(3000)
        print(native.spawn(deepen, 2800).result())
    """)
    assert (ended.out, ended.code) == (["2800"], 0), ended.err


RAISED = """
import sys
from ecru import _native as native
def deepen(n): return 0 if n == 0 else 1 + deepen(n - 1)
def has_room(depth):
    try: return deepen(depth) == depth
    except RecursionError: return False
"""


def test_a_limit_raised_far_is_honoured():
    """Through functions of Python: those of C take stack."""
    ended = processes.run(RAISED + "sys.setrecursionlimit(50_000); print(native.spawn(has_room, 45_000).result())")
    assert (ended.out, ended.code) == (["True"], 0), ended.err


@pytest.mark.parametrize("form", ["of_repr", "by_lt", "of_json", "of_pickle", "by_sub", "by_sorted", "by_map"])
def test_without_a_limit_recursion_through_c_ends_with_recursion_error(form):
    program = "import sys; sys.setrecursionlimit(10**6); sys.argv[0] = sys.argv.pop(1); exec(open(sys.argv[0]).read())"
    ended = processes.run(program, str(RECURSIONS_PROGRAM), form, timeout=55)
    assert (ended.out, ended.code) == ([f"{form} RecursionError"], 0), ended.err


def test_what_is_withheld_of_a_limit_is_given_back_when_it_is_lowered():
    ended = processes.run(
        RAISED
        + """
sys.setrecursionlimit(10**6)
resume = native.Chan()
def look():
    resume.recv()
    return has_room(900), has_room(5000)
tasks = [native.spawn(look) for _ in range(3)]
native.yield_()
sys.setrecursionlimit(1000)
for task in tasks:
    resume.send(None)
    print(*task.result(), has_room(900), native.spawn(has_room, 900).result())
"""
    )
    assert (ended.out, ended.code) == (["True False True True"] * 3, 0), ended.err


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the interpreter limits what recurses through C by itself")
def test_where_a_goroutine_raises_its_own_limit_faulthandler_tells_of_the_overflow():
    ended = processes.run(
        RAISED
        + """
def f(_=None): return list(map(f, [0]))
def g():
    sys.setrecursionlimit(10**6)
    f()
native.spawn(g).join()
"""
    )
    assert ended.code != 0
    assert "Fatal Python error: Segmentation fault" in ended.err
    assert "in g" in ended.err or "in f" in ended.err
