"""The cases with their sizes, what they are judged by, and the targets. What a case does stands in tests/bench/core.c."""
from dataclasses import dataclass

from .targets import Better, Limit

TITLE = "core benchmarks"
QUICK_PEERS = ["go"]
UNITS = {
    "cpu_ns_per_op": "ns",
    "wall_ns_per_op": "ns",
    "bytes_per_item": "B",
    "mappings": "mappings",
    "scaling": "x",
    "latency_us": "us",
    "kept_percent": "%",
    "max_delay_ms": "ms",
}
MORE_IS_BETTER = {"scaling", "kept_percent"}
DETAILS = {  # under a case's name in the chart
    "cpu_ns_per_op": "CPU ns per operation",
    "wall_ns_per_op": "wall ns per step",
    "bytes_per_item": "bytes each",
    "latency_us": "us, median",
    "kept_percent": "% of the fair share, 100 is fair",
    "max_delay_ms": "ms, longest",
    "scaling": "times faster, more is better",
}
NOT_COMPARED = {"kept_percent"}  # below 100 the hogs starve the pairs, above it the pairs starve the hogs


@dataclass(frozen=True)
class Case:
    name: str
    full: int  # N of a sample
    quick: int
    shown: tuple = ("cpu_ns_per_op",)  # metrics in table and chart; the JSON has all


CASES = [
    Case("ctx_switch", 1, 1),
    Case("yield", 2_000_000, 500_000),
    Case("yield64", 2_000_000, 500_000),
    Case("spawn_join", 1_000_000, 200_000),
    Case("spawn_task", 1_000_000, 200_000),
    Case("spawn_batch", 1_000_000, 200_000),
    Case("pingpong", 1_000_000, 200_000),
    Case("spsc", 5_000_000, 2_000_000),
    Case("mpmc", 5_000_000, 1_000_000),
    Case("select2", 1_000_000, 300_000),
    Case("select8", 500_000, 100_000),
    Case("mutex1", 20_000_000, 5_000_000),
    Case("mutex4", 5_000_000, 1_000_000),
    Case("parked", 1_000_000, 50_000, ("cpu_ns_per_op", "bytes_per_item", "mappings")),
    Case("sleepers", 1_000_000, 50_000),
    Case("skynet", 1_000_000, 100_000),
    Case("compute", 300_000_000, 50_000_000, ("wall_ns_per_op", "scaling")),
    Case("sleep50", 500, 50, ("latency_us",)),
    Case("hogs", 1_000, 150, ("kept_percent",)),
    Case("blocker", 2_000, 300, ("max_delay_ms",)),
]


def max_map_count():
    try:
        return int(open("/proc/sys/vm/max_map_count").read())
    except OSError:
        return 65530


TARGETS = [
    Limit("ctx_switch", "cpu_ns_per_op", 3),
    Better("yield", 4, 1),
    Better("yield", 4, 2, "two goroutines on two processors have nobody to yield to: see yield64"),
    Better("yield64", 4),
    Better("spawn_join", 3),
    Better("pingpong", 3, 1),
    Better("pingpong", 2, 2),
    Better("spsc", 1.5),
    Better("mpmc", 1.5),
    Better("select2", 2),
    Better("select8", 2),
    Better("mutex1", 1.2),
    Better("mutex4", 1.2),
    Better("sleepers", 2),
    Better("skynet", 2),
    Limit("parked", "bytes_per_item", 4.7 * 1024),
    Limit("parked", "mappings", max_map_count()),
    Limit("sleep50", "latency_us", 120),
    Limit("hogs", "kept_percent", 40),
    Limit("blocker", "max_delay_ms", 20),
]
