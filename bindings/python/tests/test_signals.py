"""Signals that come at the worst moment, and many of them."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import processes
import pytest

# ---- just before the thread sleeps ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory):
    """The environment of a program in which `arm` puts a signal between the last look at signals and the sleep."""
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) or shutil.which("cc")
    if not compiler or sys.platform != "linux":
        pytest.skip("there is no C compiler, or this is not Linux")
    made = tmp_path_factory.mktemp("preloaded") / "in_the_gap.so"
    source = Path(__file__).parent / "in_the_gap.c"
    subprocess.run([compiler, "-std=gnu11", "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return {"LD_PRELOAD": " ".join([*os.environ.get("LD_PRELOAD", "").split(), str(made)])}


SLEEPS = {
    "on a futex": "native.sleep(100)",
    "for ever": "native.Chan().recv()",
    "in the poller": "native.wait_fd(a.fileno(), 'r')",
    "in the poller for a time": "native.wait_fd(a.fileno(), 'r', 100)",
    "behind another goroutine": "native.spawn(native.sleep, 100).join()",
    "in a call of cffi": "ecru._abi.lib.ecru_sleep(100 * 10**9)",
}
IN_THE_GAP = """
import ctypes, os, signal, socket, sys, time
import ecru
from ecru import _native as native
a, b = socket.socketpair()
native.go(native.sleep, 100)
native.yield_()
arm = getattr(ctypes, "PyDLL", ctypes.CDLL)(None).arm  # PyPy has the one only
"""


@pytest.mark.parametrize("name", SLEEPS)
def test_an_interrupt_just_before_the_sleep_is_seen(name, preloaded):
    code = f"""
{"import ecru._abi" if "cffi" in name else ""}
for turn in range(3):
    try:
        arm(signal.SIGINT)
        {SLEEPS[name]}
    except KeyboardInterrupt:
        print("interrupted", turn)
"""
    ended = processes.run(IN_THE_GAP + code, environment=preloaded)
    assert (ended.out, ended.code, ended.err) == ([f"interrupted {turn}" for turn in range(3)], 0, "")


def test_own_handlers_run_though_they_came_just_before_the_sleep(preloaded):
    code = """
chan = native.Chan(cap=1)
signal.signal(signal.SIGUSR1, lambda *_: chan.send("handled"))
for _ in range(3):
    arm(signal.SIGUSR1)
    print(chan.recv())
"""
    ended = processes.run(IN_THE_GAP + code, environment=preloaded)
    assert (ended.out, ended.code, ended.err) == (["handled"] * 3, 0, "")


def test_one_that_follows_another_in_a_long_wait_is_seen(preloaded):
    code = """
calls, chan = [], native.Chan(cap=1)
def handle(*_):
    calls.append(None)
    if len(calls) == 1: arm(signal.SIGUSR1) # just before the wait goes on
    else: chan.send("handled")
def strike():
    native.sleep(0.1)
    os.kill(os.getpid(), signal.SIGUSR1)
signal.signal(signal.SIGUSR1, handle)
native.go(strike)
print(chan.recv())
"""
    ended = processes.run(IN_THE_GAP + code, environment=preloaded)
    assert (ended.out, ended.code, ended.err) == (["handled"], 0, "")


def test_a_signal_another_thread_has_taken_is_seen():
    ended = processes.run("""
        import signal, sys, threading
        from ecru import _native as native
        chan = native.Chan(cap=1)
        signal.signal(signal.SIGUSR1, lambda *_: chan.send("handled"))
        native.go(native.sleep, 100)
        native.yield_()
        def strike():
            while "recv" not in waiting(): native.sleep(0.001)
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        def waiting():
            return sys._current_frames()[threading.main_thread().ident].f_code.co_name
        thread = threading.Thread(target=strike)
        thread.start()
        def recv(): return chan.recv()
        print(recv())
        thread.join()
    """)
    assert (ended.out, ended.code, ended.err) == (["handled"], 0, "")


# ---- many -----------------------------------------------------------------------------------------------------------

STORM = """
import collections, os, signal, subprocess, sys, time
ROUNDS = 200
handled = collections.Counter()
reading, writing = os.pipe()
def handle(number, frame):
    handled[number] += 1
    os.write(writing, b"x")
def end(number, frame):
    raise SystemExit
signal.signal(signal.SIGUSR1, handle)
signal.signal(signal.SIGUSR2, handle)
signal.signal(signal.SIGTERM, end)
code = f'''
import os, signal
for _ in range({ROUNDS}):
    os.kill({os.getpid()}, signal.SIGUSR1)
    os.kill({os.getpid()}, signal.SIGUSR2)
    for _ in range(2): os.read({reading}, 1)
os.kill({os.getpid()}, signal.SIGTERM)
'''
def storm():
    subprocess.Popen([sys.executable, "-S", "-c", code], pass_fds=[reading])
def compute():
    while True: pass
def let_others():
    while True: native.yield_()
"""
MEANWHILE = {
    "nothing of ecru's": "while True: time.sleep(100)",
    "parked": "native.sleep(None)",
    "short sleeps": "while True: native.sleep(0.0001)",
    "yields": "native.go(let_others); let_others()",
    "another yields": "native.spawn(let_others).join()",
    "another computes": "native.spawn(compute).join()",
    "patched": "ecru.patch(); import _thread; _thread.start_new_thread(let_others, ()); time.sleep(100)",
    "a call of cffi": "while True: ecru._abi.lib.ecru_sleep(10**11)",
}


@pytest.mark.parametrize("name", MEANWHILE)
def test_every_signal_is_handled_that_comes_after_the_one_before_was(name):
    uses = "import ecru\nfrom ecru import _native as native\nnative.go(native.sleep, None)\n"
    if "cffi" in name:
        uses += "import ecru._abi\n"
    code = f"""
storm()
try:
    {MEANWHILE[name]}
finally:
    print(sorted(handled.values()), flush=True)
"""
    ended = processes.run(STORM + ("" if "ecru's" in name else uses) + code)
    assert (ended.out, ended.code, ended.err) == (["[200, 200]"], 0, "")


def test_who_is_started_while_a_handler_raises_runs_or_never_does():
    ended = processes.run("""
        import signal
        from ecru import _native as native
        class Interrupted(Exception): pass
        def interrupt(*_): raise Interrupted
        signal.signal(signal.SIGALRM, interrupt)
        native.spawn(int).join()
        starts, tasks = (native.spawn, native.go), []
        for turn in range(400):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + turn * 1e-6)
                tasks.append(starts[turn % 2](int)) # no destructor is interrupted
                while True: pass
            except Interrupted:
                pass
        with native.Token(timeout=30):
            while native.goroutine_count(): native.sleep(0.001)
        print("none is left")
    """)
    assert (ended.out, ended.code, ended.err) == (["none is left"], 0, "")


STORMY = """
import ecru, os, signal, threading
from ecru import _native as native
calls = 0
def handle(number, frame):
    global calls
    calls += 1
signal.signal(signal.SIGUSR1, handle)
over = False
def strike():
    global over
    for _ in range(20_000): os.kill(os.getpid(), signal.SIGUSR1)
    over = True
threading.Thread(target=strike).start()
chan = native.Chan()
def give():
    for n in range(20_000): chan.send(n)
    chan.close()
native.go(give)
"""


def test_what_goes_on_during_a_storm_of_signals_is_not_disturbed():
    ended = processes.run(
        STORMY
        + """
assert list(chan) == list(range(20_000))
while not over: native.sleep(0.001)
before = calls
os.kill(os.getpid(), signal.SIGUSR1)
assert calls > before > 0
print("whole")
"""
    )
    assert (ended.out, ended.code, ended.err) == (["whole"], 0, "")


TIMED = {
    "sleep": "native.sleep(0.3)",
    "lock": "lock.acquire(timeout=0.3)",
    "select": "native.select((native.Chan(),), timeout=0.3)",
    "descriptor": "native.wait_fd(a.fileno(), 'r', 0.3)",
    "descriptors": "native.wait_fds([(a.fileno(), 'r'), (b.fileno(), 'r')], 0.3)",
    "io": "timed_out(lambda: native.IO(a.fileno(), keep_open=True).recv(1, timeout=0.3))",
    "token": "expired()",
    "patched sleep": "ecru.patch(); time.sleep(0.3)",
    "patched socket": "ecru.patch(); a.settimeout(0.3); timed_out(lambda: a.recv(1))",
    "cffi call": "ecru._abi.lib.ecru_sleep(3 * 10**8)",
}


@pytest.mark.parametrize("name", TIMED)
def test_signals_neither_shorten_nor_prolong_a_wait(name):
    ended = processes.run(f"""
        import ecru, signal, socket, time
        {"import ecru._abi" if "cffi" in name else ""}
        from ecru import _native as native
        def timed_out(f):
            try: f()
            except TimeoutError: return
            raise AssertionError
        def expired():
            try:
                with native.Token(timeout=0.3): native.Chan().recv()
            except native.Cancelled: return
            raise AssertionError
        a, b = socket.socketpair()
        lock = native.Lock()
        lock.acquire()
        calls = 0
        def handle(number, frame):
            global calls
            calls += 1
        native.go(native.sleep, 100)
        native.yield_()
        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        began = time.monotonic()
        {TIMED[name]}
        took = time.monotonic() - began
        signal.setitimer(signal.ITIMER_REAL, 0)
        print("cffi" in "{name}" or took >= 0.3, took < 20, calls > 0)
    """)
    assert (ended.out, ended.code, ended.err) == (["True True True"], 0, "")
