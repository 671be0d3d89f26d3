"""The two kinds of targets."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Better:
    """A metric of ecru is at least `times` as good as a peer's, at these numbers of processors (None: at all that were measured)."""

    case: str
    times: float
    procs: int | None = None
    not_judged: str = ""  # why the figure says nothing
    metric: str = "cpu_ns_per_op"
    peer: str = "go"


@dataclass(frozen=True)
class Limit:
    """A metric of ecru is at most (or, where more is better, at least) `value`."""

    case: str
    metric: str
    value: float
    procs: int | None = None
