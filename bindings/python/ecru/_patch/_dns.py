"""Names are looked up by another thread while the goroutine is parked; numbers are not names."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from typing import Any

from ecru._blocking import run_look_up
from ecru._patch._registry import Registry


def is_number(host: object) -> bool:
    """Whether it is an address, for which nobody is asked, or no host at all."""
    if not isinstance(host, str):
        return not isinstance(host, (bytes, bytearray))
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return True
    return False


_ANSWERS_AT_ONCE: dict[str, Callable[[object], bool]] = {  # of the first argument
    "getaddrinfo": is_number,
    "gethostbyname": is_number,
    "gethostbyname_ex": is_number,
    "gethostbyaddr": lambda host: not isinstance(host, (str, bytes, bytearray)),
    "getnameinfo": lambda address: not isinstance(address, tuple),
}


def _elsewhere(function: Callable[..., Any], answers_at_once: Callable[[object], bool]) -> Callable[..., Any]:
    @functools.wraps(function)
    def look_up(*args: Any, **kwargs: Any) -> Any:
        if answers_at_once(args[0] if args else kwargs.get("host")):
            return function(*args, **kwargs)
        return run_look_up(function, *args, **kwargs)

    return look_up


def install(registry: Registry) -> None:
    """Replaces the functions of socket that look names up."""
    for name, answers_at_once in _ANSWERS_AT_ONCE.items():
        registry.replace(socket, name, _elsewhere(getattr(socket, name), answers_at_once))
