"""What recurses through C: runs the forms given, each once in a goroutine, by its name and what it ended with."""

import asyncio
import contextvars
import copy
import ctypes
import functools
import heapq
import itertools
import json
import pickle
import re
import sqlite3
import sys
import types
from xml.etree import ElementTree

from ecru import _native as native

DEEP = 100_000


def nested():
    """A list in a list in a list ..."""
    inner = []
    for _ in range(DEEP):
        inner = [inner]
    return inner


def special(**methods):
    """An object whose class has these methods."""
    return types.new_class("Special", (), {}, lambda names: names.update(methods))()


# ---- functions that call back ---------------------------------------------------------------------------------------


def by_itself():
    return by_itself()


def by_sorted(_=None):
    return sorted([0], key=by_sorted)


def by_list_sort(_=None):
    [0, 1].sort(key=by_list_sort)


def by_cmp_to_key(*_):
    return len(sorted([0, 1], key=functools.cmp_to_key(by_cmp_to_key)))


def by_min(_=None):
    return min([0], key=by_min)


def by_map(_=None):
    return list(map(by_map, [0]))


def by_filter(_=None):
    return list(filter(by_filter, [0]))


def by_lambdas(_=None):
    return (lambda x: list(map(lambda y: by_lambdas(y), [x])))(0)


def by_reduce(*_):
    return functools.reduce(by_reduce, [0, 1])


def by_groupby(_=None):
    return [list(group) for _, group in itertools.groupby([0], by_groupby)]


def by_partial():
    return functools.partial(by_partial)()


@functools.lru_cache(None)
def by_lru_cache(n=0):
    return by_lru_cache(n + 1)


def by_context():
    return contextvars.copy_context().run(by_context)


def by_sub(_=None):
    return re.sub("a", by_sub, "a")


def by_exec():
    exec("by_exec()", globals())


def by_eval():
    return eval("by_eval()", globals())


def by_generators():
    yield from by_generators()


def by_ctypes():
    seen = []

    def call():
        try:
            back()
        except RecursionError as error:
            seen.append(error)

    back = ctypes.PYFUNCTYPE(None)(call)
    back()
    raise seen[0] if seen else RecursionError("in the callback, where none can be raised")


def by_qsort():
    seen = []
    sort = ctypes.CDLL(None).qsort

    def compare(_, __):
        try:
            sort((ctypes.c_int * 2)(2, 1), 2, 4, back)
        except RecursionError as error:
            seen.append(error)
        return 0

    back = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(compare)
    sort((ctypes.c_int * 2)(2, 1), 2, 4, back)
    raise seen[0] if seen else RecursionError("in the callback, where none can be raised")


def by_sqlite(_=None):
    database = sqlite3.connect(":memory:")
    database.create_function("again", 1, by_sqlite)
    try:
        return database.execute("select again(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        raise RecursionError from error


class Finder:
    """Imports the next module to find one."""

    def find_spec(self, name, path, target=None):
        __import__(f"deeper{int(name[6:]) + 1}")


def by_import():
    sys.meta_path.insert(0, Finder())
    try:
        __import__("deeper1")
    finally:
        del sys.meta_path[0]


# ---- special methods ------------------------------------------------------------------------------------------------


def by_getattr():
    return special(__getattr__=lambda self, name: getattr(self, name + "x")).a


def by_getattribute():
    return special(__getattribute__=lambda self, name: getattr(self, name)).a


def by_property():
    return special(a=property(lambda self: self.a)).a


def by_descriptor():
    return special(a=special(__get__=lambda self, it, _=None: it.a)).a


def by_repr():
    return repr(special(__repr__=lambda self: f"{self!r}"))


def by_str():
    return str(special(__str__=lambda self: str(self)))


def by_format():
    return f"{special(__format__=lambda self, _: format(self))}"


def by_init():
    class Thing:
        def __init__(self):
            Thing()

    Thing()


def by_call():
    class Thing:
        pass

    Thing.__call__ = Thing()
    Thing()()


def by_eq():
    return special(__eq__=lambda self, other: [self] == [special(__eq__=type(self).__eq__)]) == 0


def by_hash():
    return hash(special(__hash__=lambda self: hash((self,))))


def by_lt():
    return sorted([it := special(__lt__=lambda self, _: sorted([self, self])), it])


def by_heap():
    return heapq.heapify([it := special(__lt__=lambda self, _: heapq.heapify([self, self])), it])


def by_iter():
    return iter(special(__iter__=lambda self: iter(self)))


def by_sum():
    return sum([special(__radd__=lambda self, _: sum([self]))])


def by_index():
    return [][special(__index__=lambda self: range(self).start)]


def by_instancecheck():
    kind = type("Kind", (type,), {"__instancecheck__": lambda cls, it: isinstance(it, cls)})
    return isinstance(1, kind("Thing", (), {}))


def by_coroutines():
    async def wait():
        await wait()

    asyncio.run(wait())


# ---- what is nested -------------------------------------------------------------------------------------------------


def of_repr():
    return repr(nested())


def of_deepcopy():
    return copy.deepcopy(nested())


def of_pickle():
    return pickle.dumps(nested())


def of_reduce():
    class Thing:
        def __reduce__(self):
            return list, ([Thing()],)

    return pickle.dumps(Thing())


def of_json():
    return json.dumps(nested())


def of_json_default():
    return json.dumps(object(), default=lambda it: [object()])


def of_json_text():
    return json.loads("[" * DEEP)


def of_expression():
    return re.compile("(" * 5000 + ")" * 5000)


def of_source():
    return compile("(" * 20_000 + ")" * 20_000, "nested", "eval")


def of_operators():
    return compile("-" * DEEP + "1", "nested", "eval")


def of_sum():
    return compile("+".join(["1"] * DEEP), "nested", "eval")


def of_xml():
    element = ElementTree.Element("a")
    for _ in range(DEEP):
        outer = ElementTree.Element("a")
        outer.append(element)
        element = outer
    return ElementTree.tostring(element)


def ending(form):
    """The name of the error that it ends with; what the parser says when it is too much for it counts as such."""
    try:
        form()
    except (MemoryError, SyntaxError):
        return "RecursionError"
    except BaseException as error:
        return type(error).__name__
    return "none"


if __name__ == "__main__":
    sys.unraisablehook = lambda unraisable: None
    for name in sys.argv[1:]:
        form = globals()[name]
        run = (lambda: list(by_generators())) if form is by_generators else form
        print(name, flush=True, end=" ")
        print(native.spawn(ending, run).result(), flush=True)
