"""What tests of connections share: goroutines whose failures come back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ecru import _native


@contextmanager
def running(function: Callable[..., object], *arguments: Any) -> Iterator[_native.Task[Any]]:
    """A goroutine beside the block: cancelled at its end, and what it raised is raised here."""
    task = _native.spawn(function, *arguments)
    try:
        yield task
    finally:
        task.cancel()
        error = task.exception()
    if error is not None and not isinstance(error, _native.Cancelled):
        raise error
