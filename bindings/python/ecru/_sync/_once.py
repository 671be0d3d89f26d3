"""Once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from ecru._arguments import plain
from ecru._native import Lock
from ecru._sync._waits import me

T = TypeVar("T")
P = ParamSpec("P")


class Once:
    """Runs a function once, whoever asks first; the others wait for that run."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._runner = 0
        self._done = False
        self._result: Any = None
        self._error: Exception | None = None

    @property
    def done(self) -> bool:
        """Whether it has run."""
        return self._done

    def do(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """f(*args, **kwargs) if no call has run yet. Returns, or raises, in every caller what that run did.

        A run that is cancelled (or ends with another BaseException that is no Exception) does not count: the next
        caller runs. RuntimeError when called from within f.
        """
        plain(f)
        if not self._done:
            if self._runner == me():
                raise RuntimeError("Once.do called from the function it runs")
            with self._lock:
                if not self._done:
                    self._run(f, args, kwargs)
        if self._error is not None:
            raise self._error
        return cast(T, self._result)

    def _run(self, f: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._runner = me()
        try:
            self._result = f(*args, **kwargs)
        except Exception as error:
            self._error = error
        finally:
            self._runner = 0
        self._done = True
