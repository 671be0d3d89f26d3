"""The cases in Python, what they are judged by, and the targets. What a case does stands in tests/bench/python.py."""
from dataclasses import dataclass

from .targets import Better, Limit

TITLE = "Python benchmarks"
QUICK_PEERS = ["gevent"]
UNITS = {
    "cpu_ns_per_op": "ns",
    "wall_ns_per_op": "ns",
    "bytes_per_item": "B",
    "cpu_ns_per_request": "ns",
    "requests_per_second": "1/s",
    "p50_us": "us",
    "p99_us": "us",
    "wall_ms": "ms",
    "longest_ms": "ms",
    "scaling": "x",
}
MORE_IS_BETTER = {"scaling", "requests_per_second"}
NOT_COMPARED = set()
DETAILS = {  # under a case's name in the chart
    "cpu_ns_per_op": "CPU ns per operation",
    "bytes_per_item": "bytes each",
    "cpu_ns_per_request": "CPU ns per request",
    "wall_ms": "wall ms for 200",
    "longest_ms": "longest round trip while the GIL is held, ms",
    "scaling": "times faster, more is better",
}
REQUESTS = ("cpu_ns_per_request", "requests_per_second", "p50_us", "p99_us")
SCHEDULERS = ("gevent", "asyncio", "uvloop", "trio", "runloom", "go")
ALL = (*SCHEDULERS, "greenlet", "threads")
WITH_LOCKS = ("gevent", "asyncio", "uvloop", "trio", "threads")


@dataclass(frozen=True)
class Case:
    name: str
    full: float  # N of a sample, or seconds
    quick: float
    peers: tuple  # who has it beside ecru
    shown: tuple = ("cpu_ns_per_op",)  # metrics in table and chart; the JSON has all
    client: str = "alone"  # or of io_sampling.py: echo, tls, wrk
    connections: int = 0
    argument: str = ""  # path
    serves: str = ""  # Go's name of it
    scales: bool = False  # measured at each number of processors; all others at one


CASES = [
    Case("pingpong", 200_000, 50_000, ALL),
    Case("yield", 200_000, 50_000, (*SCHEDULERS, "greenlet")),
    Case("spawn_join", 100_000, 20_000, ALL),
    Case("spawn1000", 100_000, 20_000, ALL),
    Case("parked100k", 100_000, 10_000, ALL, ("cpu_ns_per_op", "bytes_per_item")),
    Case("lock", 200_000, 50_000, WITH_LOCKS),
    Case("rlock", 200_000, 50_000, ("gevent", "threads")),
    Case("semaphore", 100_000, 20_000, WITH_LOCKS),
    Case("queue", 100_000, 20_000, WITH_LOCKS),
    Case("taskgroup", 100_000, 20_000, ("gevent", "asyncio", "uvloop", "trio")),
    Case("echo", 1.5, 0.7, (*SCHEDULERS, "asyncio-protocol", "uvloop-protocol", "threads"), REQUESTS, "echo", 100, serves="echo"),
    Case("echo_patched", 1.5, 0.7, ("gevent", "runloom", "threads"), REQUESTS, "echo", 100),
    Case("echo_tls", 1.5, 0.7, ("gevent", "asyncio", "uvloop", "trio", "threads"), REQUESTS, "tls", 100),
    Case("requests200", 3, 1, ("gevent", "runloom", "threads"), ("wall_ms", "cpu_ns_per_request")),
    Case("wsgi_hello", 2, 1, ("gevent", "threads", "go"), REQUESTS, "wrk", 64, "/hello", serves="http"),
    Case("wsgi_own", 2, 1, ("gevent",), REQUESTS, "wrk", 64, "/hello"),
    Case("cpu_blocking", 2_000, 300, ("gevent", "asyncio", "uvloop", "trio", "runloom", "threads"), ("wall_ns_per_op", "scaling"), scales=True),
    Case("gil_held", 10, 3, ("threads",), ("longest_ms", "p50_us")),
    Case("compute_ft", 2_000, 300, ("threads",), ("wall_ns_per_op", "scaling"), scales=True),  # more than 1 x: without a GIL
]

CPU = "cpu_ns_per_request"
TARGETS = [
    Limit("pingpong", "cpu_ns_per_op", 250),
    Better("pingpong", 10, peer="gevent"),
    Better("pingpong", 10, peer="asyncio"),
    Limit("yield", "cpu_ns_per_op", 150),
    Limit("spawn_join", "cpu_ns_per_op", 600),
    Better("spawn_join", 8, peer="gevent"),
    Better("spawn_join", 8, peer="asyncio"),
    Limit("parked100k", "bytes_per_item", 10 * 1024),
    Better("lock", 2, peer="gevent"),
    Better("rlock", 2, peer="gevent"),
    Better("semaphore", 8, peer="gevent"),
    Better("queue", 1.5, peer="gevent"),
    Better("queue", 5, peer="asyncio"),
    Limit("taskgroup", "cpu_ns_per_op", 1200),
    Better("taskgroup", 8, peer="gevent"),
    Limit("echo", CPU, 4500),
    Better("echo", 1.3, metric=CPU, peer="uvloop"),
    Limit("echo_patched", CPU, 6000),
    Better("echo_patched", 1.5, metric=CPU, peer="gevent"),
    Better("echo_tls", 1, metric=CPU, peer="gevent"),
    Better("requests200", 0.9, metric="wall_ms", peer="gevent"),
    Better("wsgi_hello", 1.5, metric=CPU, peer="gevent"),
    Better("wsgi_own", 1.5, metric=CPU, peer="gevent"),
    Limit("cpu_blocking", "scaling", 1.7),
    Limit("gil_held", "longest_ms", 100),  # of the 200 it is held
    Better("gil_held", 4, metric="longest_ms", peer="threads"),
]
