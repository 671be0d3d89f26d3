"""The cases with their sizes, what they are judged by, and the targets. What a case does stands in tests/bench/core.c."""
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Faster:
    """At least `times` as fast as Go by CPU time, at these numbers of processors (None: at all that were measured)."""

    case: str
    times: float
    procs: int | None = None
    not_judged: str = ""  # why the figure says nothing


@dataclass(frozen=True)
class Limit:
    """A metric of ecru is at most (or, where more is better, at least) `value`."""

    case: str
    metric: str
    value: float


def max_map_count():
    try:
        return int(open("/proc/sys/vm/max_map_count").read())
    except OSError:
        return 65530


TARGETS = [
    Limit("ctx_switch", "cpu_ns_per_op", 3),
    Faster("yield", 4, 1),
    Faster("yield", 4, 2, "two goroutines on two processors have nobody to yield to: see yield64"),
    Faster("yield64", 4),
    Faster("spawn_join", 3),
    Faster("pingpong", 3, 1),
    Faster("pingpong", 2, 2),
    Faster("spsc", 1.5),
    Faster("mpmc", 1.5),
    Faster("select2", 2),
    Faster("select8", 2),
    Faster("mutex1", 1.2),
    Faster("mutex4", 1.2),
    Faster("sleepers", 2),
    Faster("skynet", 2),
    Limit("parked", "bytes_per_item", 4.7 * 1024),
    Limit("parked", "mappings", max_map_count()),
    Limit("sleep50", "latency_us", 120),
    Limit("hogs", "kept_percent", 40),
    Limit("blocker", "max_delay_ms", 20),
]
