"""What the programs of the Python benchmarks share: `bench_X.py CASE PROCS N`, with a port for N where it is a server.

One process measures one case once and prints one line of key=value pairs, as tests/bench/core.c does; the cases are
defined in tests/bench/python.py. CPU time is the whole process', without what it took to import.
"""
import hashlib
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
BATCH = 1000  # of spawn1000, taskgroup
QUEUED = 100  # of queue
BUFFER_BYTES = 512  # of the echo servers
BACKLOG = 1024
HELD_SECONDS = 0.2

procs = 1
_cpu0_ns = _wall0_ns = 0


def begin() -> None:
    global _cpu0_ns, _wall0_ns
    _wall0_ns, _cpu0_ns = time.perf_counter_ns(), time.process_time_ns()


def end(operations: int, **more: float) -> None:
    """Prints what was used since begin(), by operation."""
    cpu_ns, wall_ns = time.process_time_ns() - _cpu0_ns, time.perf_counter_ns() - _wall0_ns
    values = {"cpu_ns_per_op": cpu_ns / operations, "wall_ns_per_op": wall_ns / operations, **more}
    print(*(f"{name}={value:.3f}" for name, value in values.items()), flush=True)


def end_of_requests(rounds: int, requests: int) -> None:
    cpu_ns, wall_ns = time.process_time_ns() - _cpu0_ns, time.perf_counter_ns() - _wall0_ns
    print(f"wall_ms={wall_ns / rounds / 1e6:.3f} cpu_ns_per_request={cpu_ns / requests:.1f}", flush=True)


def memory_bytes() -> int:
    """Resident pages and page tables."""
    kib = 0
    with open("/proc/self/status") as lines:
        for line in lines:
            if line.startswith(("VmRSS:", "VmPTE:")):
                kib += int(line.split()[1])
    return kib * 1024


def compute() -> None:
    """About a millisecond in C that needs no GIL."""
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 2000)


def spin() -> int:
    """About a tenth of a millisecond of pure Python."""
    value = 0
    for number in range(1500):
        value += number * number
    return value


def hold_gil(turns: int, serve: Callable[[socket.socket], object], rest: Callable[[float], object]) -> None:
    """Another process asks what `serve` starts, while this thread keeps the GIL in one call for HELD_SECONDS; then others may run."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, str(HERE / "asker.py"), str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE, text=True)
    theirs.close()
    assert process.stdout
    start = time.thread_time()
    sum(range(10_000_000))
    numbers = int(10_000_000 * HELD_SECONDS / (time.thread_time() - start))
    serve(ours)
    process.stdout.readline()
    begin()
    for _ in range(turns):
        sum(range(numbers))
        rest(HELD_SECONDS / 10)
    ours.shutdown(socket.SHUT_RDWR)
    longest, median = process.stdout.read().split()
    end(turns, longest_ms=float(longest), p50_us=float(median))


def listening(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), backlog=BACKLOG)


def server_context(kind: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
    """TLS with a certificate of its own."""
    context = kind(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as both:
        options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        subprocess.run(["openssl", "req", "-x509", *options, "-keyout", "-", "-out", "-"], stdout=both, stderr=subprocess.DEVNULL, check=True)
        context.load_cert_chain(both.name)
    return context


def slow_server() -> str:
    """Starts slow_server.py, which ends with this process. returns: its address."""
    command = [sys.executable, str(HERE / "slow_server.py")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    _alive.append(process)
    return process.stdout.readline().strip()


_alive: list[Any] = []  # its standard input would be closed with the object


def gunicorn(worker: str, port: int, *more: str) -> None:
    """Becomes gunicorn with `procs` workers of this class."""
    options = ["--worker-class", worker, "--workers", str(procs), "--bind", f"127.0.0.1:{port}", "--chdir", str(HERE)]
    options += ["--log-level", "warning", "--graceful-timeout", "1", "--no-control-socket", *more, "hello:application"]
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *options])


def main(cases: Mapping[str, Callable[[int], Any]], run: Callable[[Any], Any] | None = None) -> None:
    """`run` drives what a case returns, where cases are coroutine functions."""
    global procs
    if len(sys.argv) != 4 or sys.argv[1] not in cases:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(cases)} PROCS N|PORT")
    procs = int(sys.argv[2])
    done = cases[sys.argv[1]](int(sys.argv[3]))
    if done is not None and run is not None:
        run(done)
    sys.stdout.flush()
    os._exit(0)  # what is still parked or waiting is nobody's business
