"""Names are looked up by a thread of the pool while the goroutine is parked; numbers are not names."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from typing import Any

from ecru._patch._offload import offload
from ecru._patch._registry import Registry

_FUNCTIONS = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo")


def is_number(host: object) -> bool:
    """Whether it is an address, for which nobody is asked."""
    if not isinstance(host, str):
        return not isinstance(host, (bytes, bytearray))
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return True
    return False


def _elsewhere(function: Callable[..., Any], asks_of_numbers: bool) -> Callable[..., Any]:
    @functools.wraps(function)
    def look_up(*args: Any, **kwargs: Any) -> Any:
        host = args[0] if args else kwargs.get("host")
        if not asks_of_numbers and is_number(host):
            return function(*args, **kwargs)
        return offload(function, *args, **kwargs)

    return look_up


def install(registry: Registry) -> None:
    """Replaces the functions of socket that look names up."""
    for name in _FUNCTIONS:
        asks_of_numbers = name in ("gethostbyaddr", "getnameinfo")
        registry.replace(socket, name, _elsewhere(getattr(socket, name), asks_of_numbers))
