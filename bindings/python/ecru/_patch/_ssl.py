"""TLS sockets park the goroutine.

The methods of ssl.SSLSocket are changed in place, contexts are left alone. The object's own timeout, which _ssl goes
by, is always 0; the one that was set is kept beside it.
"""

from __future__ import annotations

import _socket
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

from ecru import _native
from ecru._patch._registry import Registry
from ecru._patch._socket import Patience

_Result = TypeVar("_Result")
_base = _socket.socket
_KEPT = "_ecru_timeout"

_read, _write, _send, _unwrap = ssl.SSLSocket.read, ssl.SSLSocket.write, ssl.SSLSocket.send, ssl.SSLSocket.unwrap


def gettimeout(self: ssl.SSLSocket) -> float | None:
    """As socket.gettimeout."""
    try:
        timeout: float | None = vars(self)[_KEPT]
    except KeyError:  # made before the patch, or just now
        timeout = vars(self)[_KEPT] = _base.gettimeout(self)
        _base.settimeout(self, 0.0)
    return timeout


def settimeout(self: ssl.SSLSocket, value: float | None, /) -> None:
    """As socket.settimeout."""
    _base.settimeout(self, value)
    vars(self)[_KEPT] = _base.gettimeout(self)
    _base.settimeout(self, 0.0)


def getblocking(self: ssl.SSLSocket) -> bool:
    """As socket.getblocking."""
    return gettimeout(self) != 0


def _complete(
    self: ssl.SSLSocket, timeout: float | None, what: str, function: Callable[..., _Result], *args: Any
) -> _Result:
    patience = None
    while True:
        try:
            return function(*args)
        except ssl.SSLWantReadError:
            writes = False
            if timeout == 0:
                raise
        except ssl.SSLWantWriteError:
            writes = True
            if timeout == 0:
                raise
        patience = patience or Patience(timeout)
        try:
            _native.socket_wait(self.fileno(), writes, patience.left())
        except TimeoutError:
            raise TimeoutError(f"The {what} operation timed out") from None


def read(self: ssl.SSLSocket, len: int = 1024, buffer: Any = None) -> Any:
    """As SSLSocket.read."""
    return _complete(self, gettimeout(self), "read", _read, self, len, buffer)


def write(self: ssl.SSLSocket, data: Any) -> int:
    """As SSLSocket.write."""
    return _complete(self, gettimeout(self), "write", _write, self, data)


def send(self: ssl.SSLSocket, data: Any, flags: int = 0) -> int:
    """As SSLSocket.send."""
    return _complete(self, gettimeout(self), "write", _send, self, data, flags)


def unwrap(self: ssl.SSLSocket) -> Any:
    """As SSLSocket.unwrap."""
    return _complete(self, gettimeout(self), "shutdown", _unwrap, self)


def do_handshake(self: ssl.SSLSocket, block: bool = False) -> None:
    """As SSLSocket.do_handshake."""
    self._check_connected()  # type: ignore[attr-defined]
    timeout = gettimeout(self)
    _complete(self, None if timeout == 0 and block else timeout, "handshake", self._sslobj.do_handshake)  # type: ignore[attr-defined]


def install(registry: Registry) -> None:
    """Changes the methods of ssl.SSLSocket that may wait, and those about its timeout."""
    for method in (gettimeout, settimeout, getblocking, read, write, send, unwrap, do_handshake):
        registry.replace(ssl.SSLSocket, method.__name__, method)
    registry.replace(ssl.SSLSocket, "timeout", property(gettimeout))
