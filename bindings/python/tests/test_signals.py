"""Signals that come at the worst moment, and many of them."""

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
    return {"LD_PRELOAD": str(made)}


SLEEPS = {
    "on a futex": "native.sleep(100)",
    "for ever": "native.Chan().recv()",
    "in the poller": "native.wait_fd(a.fileno(), 'r')",
    "in the poller for a time": "native.wait_fd(a.fileno(), 'r', 100)",
    "behind another goroutine": "native.spawn(native.sleep, 100).join()",
    "in a call of cffi": "ecru._abi.lib.ecru_sleep(100 * 10**9)",
}
IN_THE_GAP = """
import ctypes, signal, socket, sys, time
import ecru, ecru._abi
from ecru import _native as native
a, b = socket.socketpair()
native.go(native.sleep, 100)
native.yield_()
arm = ctypes.PyDLL(None).arm
"""


@pytest.mark.parametrize("name", SLEEPS)
def test_an_interrupt_just_before_the_sleep_is_seen(name, preloaded):
    code = f"""
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
