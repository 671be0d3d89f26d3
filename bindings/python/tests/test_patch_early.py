"""ecru.patch() after others have been imported: what they hold is replaced, or told of."""

import sys
from importlib.util import find_spec

import pytest
from patched import run


def test_names_and_locks_taken_before_the_patch_are_changed():
    body = """
import logging, threading, functools
from threading import Lock, get_ident
from time import sleep
from socket import socket
lock, condition, old_socket = Lock(), threading.Condition(), socket
import ecru; ecru.patch()
import time, socket as module
def check(): assert get_ident() == threading.get_ident() != threading.main_thread().ident
thread = threading.Thread(target=check); thread.start(); thread.join()
assert sleep is time.sleep and Lock is threading.Lock and socket is module.socket is old_socket
assert type(lock) is type(condition._lock._is_owned.__self__ and threading.Lock()), type(lock)
assert type(condition._lock) is type(threading.RLock()) and condition.acquire.__self__ is condition._lock
assert type(logging._lock) is type(threading.RLock())
print("ok")
"""
    assert run(body) == "ok\n"


PATCH_AND_TELL = """
import warnings, ecru
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    ecru.patch()
for warning in caught:
    assert warning.category is ecru.EarlyImportWarning
    print(warning.message)
"""

EARLY = """
import functools, queue, select, time
def nap(sleep=time.sleep): sleep(0)
def keyword(*, sleep=time.sleep): sleep(0)
def closing():
    sleep = time.sleep
    return lambda: sleep(0)
closure = closing()
class Sleeps:
    direct = time.sleep
    static = staticmethod(time.sleep)
class Has: pass
has, has_many = Has(), Has()
has.sleep = time.sleep
vars(has_many).update({str(number): number for number in range(100)}, sleep=time.sleep)
table, listed, part = {"sleep": time.sleep}, [time.sleep, select.select], functools.partial(time.sleep, 0)
class Derived(queue.SimpleQueue): pass
made = queue.SimpleQueue()
"""


def assert_reported(program, places):
    assert run(program).splitlines() == [f"{place}: patch before it is imported" for place in places]


def test_what_cannot_be_changed_is_reported():
    places = [
        "__main__.Derived is derived from SimpleQueue",
        "__main__.Sleeps has sleep as its direct",
        "__main__.Sleeps has sleep as its static",
        "__main__.closing.<locals>.<lambda> has sleep in its closure",
        "__main__.keyword has sleep as a default",
        "__main__.listed has select, sleep",
        "__main__.nap has sleep as a default",
        "__main__.part has sleep",
        "__main__.table has sleep",
        "a _queue.SimpleQueue was made",
        "an object of __main__.Has has sleep as its sleep",
    ]
    assert_reported(EARLY + PATCH_AND_TELL, places)


LAZY = """
class Lazy:
    @property
    def __class__(self): print("evaluated")
lazy = [Lazy(), Lazy()]
class LazyHolder(Lazy): __slots__ = "sleep", "lock"
import threading, time
holder = LazyHolder()
holder.sleep, holder.lock = time.sleep, threading.Lock()
"""


def test_lazy_objects_are_left_alone():
    assert_reported(LAZY + PATCH_AND_TELL, ["an object of __main__.LazyHolder has sleep as its sleep"])


LAZILY = """
import importlib.util, sys, time
def lazily(name):
    spec = importlib.util.find_spec(name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
wave, sqlite3, greenlet = lazily("wave"), lazily("sqlite3"), lazily("greenlet")
wave.nap, wave.naps = time.sleep, [time.sleep]
"""
OF_LAZY_MODULES = """
print({type(module).__name__ for module in (wave, sqlite3, greenlet)})
print(wave.Wave_read.__name__, wave.nap is time.sleep)
print(sqlite3.Connection.__module__ == "sqlite3", sqlite3.connect(":memory:").execute("select 1").fetchone())
print(issubclass(sqlite3.Connection, ecru.get_original("sqlite3", "Connection")))
print(greenlet.getcurrent() is not None, type(greenlet).__name__)
"""


@pytest.mark.skipif(not find_spec("greenlet"), reason="there is no greenlet for this interpreter")  # 3.13t
def test_lazy_modules_are_looked_into_and_patched_without_being_loaded():
    said = run(LAZILY + PATCH_AND_TELL + OF_LAZY_MODULES).splitlines()
    assert said[:2] == ["wave.naps has sleep: patch before it is imported", "{'_LazyModule'}"]
    assert said[2:] == ["Wave_read True", "False (1,)", "True", "True module"]


REFUSING = """
import threading, time
def refuse(*asked): raise RuntimeError(asked[1:])
class Refusing(type): __getattr__ = refuse
class RefusingAll(type): __getattribute__ = refuse
class Unhashable(type): __eq__ = refuse
class OfRefusing(metaclass=Refusing): nap = time.sleep
class OfRefusingAll(metaclass=RefusingAll): nap = time.sleep
class OfUnhashable(metaclass=Unhashable): pass
class Derived(OfUnhashable): pass
class Slotted:
    __slots__, __getattr__ = ("nap", "lock"), refuse
class NoDict:
    __slots__, __dict__ = ("nap", "lock"), property(refuse)
class Strange:
    __slots__, __dict__ = ("nap", "lock"), ()
class Growing:  # while it is looked at, as an object of another thread's may
    def __str__(self): vars(grows).update({f"more{len(vars(grows))}": 1}); return "growing"
class Grows: __module__ = Growing()
holders = [Slotted(), NoDict(), Strange(), grows := Grows()]
for holder in holders: holder.nap, holder.lock = time.sleep, threading.Lock()
grows.other = grows.__dict__["another"] = time.sleep
unhashable = Derived()
"""


def test_objects_that_refuse_to_be_asked_do_not_end_the_search():
    places = [
        "__main__.OfRefusing has sleep as its nap",
        "__main__.OfRefusingAll has sleep as its nap",
        "an object of __main__.NoDict has sleep as its nap",
        "an object of __main__.Slotted has sleep as its nap",
        "an object of __main__.Strange has sleep as its nap",
        "an object of growing.Grows has sleep as its another",
        "an object of growing.Grows has sleep as its nap",
        "an object of growing.Grows has sleep as its other",
    ]
    assert_reported(REFUSING + PATCH_AND_TELL + "assert type(grows.lock) is threading.Lock", places)


LOCKS = """
import collections, dataclasses, functools, threading
from threading import Lock, RLock
class Slotted:
    __slots__ = ("lock", "unset")
    def __init__(self, lock): self.lock = lock
@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    lock: object
class Plain:
    shared = Lock()
    def __init__(self, lock): self.lock = lock
def default(lock=Lock(), *, keyword=RLock()): return lock, keyword
def closing(lock): return lambda: lock
def waiting(lock): yield lock; yield lock
def taken():
    lock = Lock()
    lock.acquire()
    return lock
Pair = collections.namedtuple("Pair", "lock count")
"""

REPLACED = """
def locks():
    yield from (slotted.lock, frozen.lock, plain.lock, Plain.shared, closed(), lock, *default())
    yield from (*listed, *queued, *members, *table.values())
slotted, frozen, plain, closed, lock = Slotted(RLock()), Frozen(Lock()), Plain(Lock()), closing(RLock()), Lock()
listed, queued, members, table = [Lock()], collections.deque([Lock()]), {Lock(), RLock()}, {"lock": Lock()}
assert all(type(one).__module__ == "_thread" for one in locks()) # the interpreter now remembers where they are
"""
ARE_REPLACED = """
print(sorted({f"{type(one).__module__}.{type(one).__qualname__}" for one in locks()}))
assert all(isinstance(one, (ecru._native.Lock, ecru._native.RLock)) for one in locks())
"""


def test_free_locks_are_replaced_wherever_something_can_be_put_in_their_place():
    assert run(LOCKS + REPLACED + PATCH_AND_TELL + ARE_REPLACED) == "['_thread.RLock', 'ecru.Lock']\n"


STAYING = """
pair, several, by_lock, part = Pair(Lock(), 1), frozenset({RLock()}), {Lock(): 1}, functools.partial(print, Lock())
suspended = waiting(Lock())
next(suspended)
lock, listed, table = taken(), [taken()], {"a": {"b": [taken()]}}
slotted, plain, closed = Slotted(taken()), Plain(taken()), closing(taken())
nested = Plain([(Lock(),)])
Plain.shared.acquire()
reentrant = RLock()
reentrant.acquire()
condition = threading.Condition(RLock())
condition.acquire()
"""


def test_locks_that_stay_are_reported():
    places = [
        "__main__.Plain has a taken lock as its shared",
        "__main__.by_lock has a lock",
        "__main__.closing.<locals>.<lambda> has a taken lock in its closure",
        "__main__.listed has a taken lock",
        "__main__.lock is a taken lock",
        "__main__.pair has a lock",
        "__main__.part has a lock",
        "__main__.reentrant is a taken reentrant lock",
        "__main__.several has a reentrant lock",
        "__main__.table has a taken lock",
        "__main__.waiting has a lock as a local variable",
        "an object of __main__.Plain has a lock as its lock",
        "an object of __main__.Plain has a taken lock as its lock",
        "an object of __main__.Slotted has a taken lock as its lock",
        "an object of threading.Condition has a taken reentrant lock as its _lock",
    ]
    if sys.version_info < (3, 11):  # an object of its own, a frame, is between the generator and its variables
        places.remove("__main__.waiting has a lock as a local variable")
    assert_reported(LOCKS + STAYING + PATCH_AND_TELL, places)


ELSEWHERE_TOO = """
def main():
    local = Lock()
    one, two, three = Plain(local), Plain(Lock()), Plain(Lock())
    two.pair, three.part = (two.lock, 1), functools.partial(three.lock.acquire)
    old = [one.lock, two.lock, three.lock]
    numbers = [id(lock) for lock in old]
    old.clear()
    patch()
    assert [id(holder.lock) for holder in (one, two, three)] == numbers
    assert one.lock is local and two.pair[0] is two.lock and three.part.func.__self__ is three.lock
"""


def test_a_lock_that_cannot_be_replaced_everywhere_stays_one():
    body = ELSEWHERE_TOO + "def patch():" + PATCH_AND_TELL.replace("\n", "\n    ") + "\nmain()\n"
    places = [
        "an object of __main__.Plain has a lock as its lock",
        "an object of __main__.Plain has a lock as its pair",
    ]
    assert_reported(LOCKS + body, places)


BOUND = """
class Of:
    def __init__(self, lock): self.lock, self.acquire, self.release = lock, lock.acquire, lock.release
bound, condition, enter = Of(Lock()), threading.Condition(), [Lock().__enter__]
notify = condition.release
"""
ARE_BOUND_ANEW = """
assert isinstance(bound.lock, ecru._native.Lock) and isinstance(condition._lock, ecru._native.RLock)
assert bound.acquire.__self__ is bound.release.__self__ is bound.lock
assert isinstance(enter[0].__self__, ecru._native.Lock)
assert condition.acquire.__self__ is condition._is_owned.__self__ is notify.__self__ is condition._lock
"""


def test_bound_methods_of_replaced_locks_are_their_successors():
    assert run(LOCKS + BOUND + PATCH_AND_TELL + ARE_BOUND_ANEW) == ""


OF_THREADS = """
import logging.handlers, multiprocessing, queue, subprocess, tempfile, threading
event, items, up = threading.Event(), queue.Queue(), threading.Barrier(4)
def waits(wait): up.wait(); wait()
for wait in (event.wait, items.get, lambda: event.wait(40)): threading.Thread(target=waits, args=(wait,)).start()
up.wait()
while len(event._cond._waiters) < 2 or not items.not_empty._waiters: pass
"""
END_THEM = """
event.set()
items.put(1)
"""


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="3.13t, once a thread has started, does not tell what refers to a lock: it stays, and is reported, rightly",
)
def test_locks_that_threads_have_for_themselves_are_not_reported():
    assert run(OF_THREADS + PATCH_AND_TELL + END_THEM) == ""


WALKS = """
import gc, sys, time
held = [(time.sleep,) for _ in range(int(sys.argv[1]))]
walks, walk = 0, gc.get_referrers
def counted(*sought):
    global walks
    walks += 1
    return walk(*sought)
gc.get_referrers = counted
import ecru; ecru.patch()
print(walks)
"""


def test_however_much_is_found_the_heap_is_walked_as_often():
    assert run(WALKS, "0") == run(WALKS, "500")
