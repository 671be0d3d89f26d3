"""The I/O cases, what they are judged by, and the targets. What the servers do stands in tests/bench/io_server.c, what the client
does in tests/bench/io_load.c; wrk and redis-benchmark are the clients of the HTTP and RESP servers."""
from dataclasses import dataclass

from .targets import Better, Limit

TITLE = "I/O benchmarks"
QUICK_PEERS = ["go"]
UNITS = {
    "cpu_ns_per_request": "ns",
    "syscalls_per_request": "calls",
    "requests_per_second": "1/s",
    "p50_us": "us",
    "p99_us": "us",
    "bytes_per_item": "B",
    "wall_ns_per_op": "ns",
    "wall_ns_per_64k": "ns",
    "cpu_ns_per_op": "ns",
    "cpu_ns_per_64k": "ns",
}
DETAILS = {  # under a case's name in the chart
    "cpu_ns_per_request": "server CPU ns per request",
    "p99_us": "99 % within so many us",
    "bytes_per_item": "bytes each",
    "wall_ns_per_op": "wall ns each",
    "wall_ns_per_64k": "wall ns per 64 KiB",
}
MORE_IS_BETTER = {"requests_per_second"}
NOT_COMPARED = {"syscalls_per_request"}
REQUESTS = ("cpu_ns_per_request", "syscalls_per_request", "requests_per_second", "p50_us", "p99_us")


@dataclass(frozen=True)
class Case:
    name: str
    client: str  # echo, idle, storm, wrk, redis: io_sampling.py; alone: the program is its own client
    serves: str  # what the server is asked to be
    connections: int
    full: float  # seconds, connections in all, or requests
    quick: float
    shown: tuple = REQUESTS  # metrics in the table; the JSON has all
    argument: str = ""  # path, or depth of the pipeline


CASES = [
    Case("echo64", "echo", "echo", 64, 1.5, 0.7),
    Case("echo1000", "echo", "echo", 1000, 1.5, 0.7),
    Case("http_hello", "wrk", "http", 64, 2, 1, argument="/hello"),
    Case("http_file10k", "wrk", "http", 64, 2, 1, argument="/file10k.txt"),
    Case("kv_p1", "redis", "kv", 50, 100_000, 20_000, argument="1"),
    Case("kv_p16", "redis", "kv", 50, 400_000, 80_000, argument="16"),
    Case("idle100k", "idle", "echo", 100_000, 100_000, 10_000, ("bytes_per_item",)),
    Case("accept_storm", "storm", "echo", 64, 50_000, 5_000, ("wall_ns_per_op", "cpu_ns_per_request", "syscalls_per_request", "p99_us")),
    Case("file_read", "alone", "file_read", 64, 400_000, 50_000, ("wall_ns_per_op", "cpu_ns_per_op", "wall_ns_per_64k", "cpu_ns_per_64k")),
]

CPU = "cpu_ns_per_request"
TARGETS = [
    *(
        target
        for case in ("echo64", "echo1000")
        for target in (
            Better(case, 1.3, metric=CPU),
            Better(case, 1.0, metric=CPU, peer="uv"),
            Better(case, 1.0, metric=CPU, peer="tokio"),
            Better(case, 1.0, metric="p99_us"),
        )
    ),
    Better("http_hello", 1.5, metric=CPU),
    Better("http_hello", 0.9, metric=CPU, peer="nginx"),
    Better("http_hello", 1.0, metric="p99_us"),
    Better("http_file10k", 0.9, metric=CPU, peer="nginx"),
    Better("http_file10k", 1.0, metric="p99_us"),
    Better("kv_p1", 0.9, metric=CPU, peer="redis"),
    Better("kv_p16", 0.9, metric=CPU, peer="redis"),
    Limit("idle100k", "bytes_per_item", 8192),
    Better("idle100k", 2.0, metric="bytes_per_item"),
    Better("accept_storm", 1.2, metric="wall_ns_per_op"),
    Better("file_read", 0.8, metric="wall_ns_per_op", peer="threads"),
    Better("file_read", 0.8, metric="wall_ns_per_64k", peer="threads"),
]
