"""Sockets park the goroutine.

The class socket.socket is changed in place, so that what was imported or derived before is, too. Receiving and sending
of streams is done by the native module on the descriptor; all else by _socket's own methods, tried without waiting. The
timeout stays where it was, in the object. A descriptor that was waited for is non-blocking until its object is closed
or detached.
"""

from __future__ import annotations

import _socket
import errno
import os
import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ecru import _native
from ecru._native import socket_recv, socket_recv_into, socket_send, socket_sendall
from ecru._patch import _buffered
from ecru._patch._registry import Registry

_Result = TypeVar("_Result")
_base = _socket.socket
_FULL_SECONDS = 0.001  # between attempts to connect to a Unix socket with a full backlog: nothing tells of room


def try_now(self: socket.socket, function: Callable[..., _Result], *args: Any) -> _Result:
    """Calls a method of _socket.socket with the object as if its timeout were 0, for a descriptor that was kept."""
    timeout = _base.gettimeout(self)
    if not timeout:  # None: what the descriptor is decides
        return function(self, *args)
    _base.settimeout(self, 0.0)
    try:
        return function(self, *args)
    finally:
        _base.settimeout(self, timeout)


class Patience:
    """How long an operation of a socket may take, all in all: its timeout."""

    def __init__(self, timeout: float | None) -> None:
        """timeout: seconds; None: no limit."""
        self._until = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float | None:
        """Seconds, or None for no limit. TimeoutError if there are none left."""
        if self._until is None:
            return None
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


def complete(self: socket.socket, writes: bool, flags: int, function: Callable[..., _Result], *args: Any) -> _Result:
    """Calls a method of _socket.socket with the object, and again when the socket is ready, until it need not wait.

    flags: what is among args of these.
    """
    timeout = self.gettimeout()
    if timeout == 0 or (timeout is None and flags & socket.MSG_DONTWAIT):
        return function(self, *args)
    fd = self.fileno()
    patience = Patience(timeout)
    _native.socket_keep(fd)
    while True:
        try:
            return try_now(self, function, *args)
        except BlockingIOError:
            _native.socket_wait(fd, writes, patience.left())


def _is_number(host: str, family: int) -> bool:
    try:
        socket.inet_pton(family, host)
    except OSError:
        return False
    return True


def resolve(self: socket.socket, address: Any) -> Any:
    """An address whose host is a number: names are looked up without keeping the thread."""
    if self.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple) or len(address) < 2:
        return address
    host, port, *rest = address
    if (
        not isinstance(host, str)
        or not isinstance(port, int)
        or host in ("", "<broadcast>")
        or _is_number(host, self.family)
    ):
        return address
    found = socket.getaddrinfo(host, port, self.family, self.type, self.proto)[0][4]
    return (found[0], port, *(rest or found[2:]))


def __init__(self: socket.socket, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
    _init(self, family, type, proto, fileno)
    if _native.socket_begin(_base.fileno(self)):
        _base.settimeout(self, _base.gettimeout(self))


def recv(self: socket.socket, bufsize: int, flags: int = 0, /) -> bytes:
    """As socket.recv."""
    return socket_recv(self.fileno(), bufsize, self.gettimeout(), flags)


def recv_into(self: socket.socket, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
    """As socket.recv_into."""
    return socket_recv_into(self.fileno(), buffer, nbytes, self.gettimeout(), flags)


def send(self: socket.socket, data: Any, flags: int = 0, /) -> int:
    """As socket.send."""
    return socket_send(self.fileno(), data, self.gettimeout(), flags)


def sendall(self: socket.socket, data: Any, flags: int = 0, /) -> None:
    """As socket.sendall."""
    socket_sendall(self.fileno(), data, self.gettimeout(), flags)


def recvfrom(self: socket.socket, bufsize: int, flags: int = 0, /) -> Any:
    """As socket.recvfrom."""
    return complete(self, False, flags, _base.recvfrom, bufsize, flags)


def recvfrom_into(self: socket.socket, buffer: Any, nbytes: int = 0, flags: int = 0) -> Any:
    """As socket.recvfrom_into."""
    return complete(self, False, flags, _base.recvfrom_into, buffer, nbytes, flags)


def recvmsg(self: socket.socket, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> Any:
    """As socket.recvmsg."""
    return complete(self, False, flags, _base.recvmsg, bufsize, ancbufsize, flags)


def recvmsg_into(self: socket.socket, buffers: Any, ancbufsize: int = 0, flags: int = 0, /) -> Any:
    """As socket.recvmsg_into."""
    return complete(self, False, flags, _base.recvmsg_into, buffers, ancbufsize, flags)


def sendto(self: socket.socket, *args: Any) -> int:
    """As socket.sendto."""
    if len(args) in (2, 3):
        args = (*args[:-1], resolve(self, args[-1]))
    flags = args[1] if len(args) == 3 and isinstance(args[1], int) else 0
    return complete(self, True, flags, _base.sendto, *args)


def sendmsg(self: socket.socket, *args: Any) -> int:
    """As socket.sendmsg."""
    flags = args[2] if len(args) > 2 and isinstance(args[2], int) else 0
    return complete(self, True, flags, _base.sendmsg, *args)


def sendmsg_afalg(self: socket.socket, *args: Any, **kwargs: Any) -> int:
    """As socket.sendmsg_afalg."""
    return complete(self, True, 0, lambda self: _base.sendmsg_afalg(self, *args, **kwargs))


def _accept(self: socket.socket) -> tuple[int, Any]:
    accept: Callable[[socket.socket], tuple[int, Any]] = _base._accept  # type: ignore[attr-defined]
    return complete(self, False, 0, accept)


def _connect(self: socket.socket, address: Any) -> int:
    """Returns 0 or errno. TimeoutError."""
    timeout = self.gettimeout()
    if timeout == 0:
        return _base.connect_ex(self, address)
    patience = Patience(timeout)
    address = resolve(self, address)
    fd = self.fileno()
    _native.socket_keep(fd)
    error = try_now(self, _base.connect_ex, address)
    while error == errno.EAGAIN and self.family == socket.AF_UNIX:
        left = patience.left()
        _native.sleep(_FULL_SECONDS if left is None else min(left, _FULL_SECONDS))
        error = try_now(self, _base.connect_ex, address)
    if error != errno.EINPROGRESS:
        return error
    _native.socket_wait(fd, True, patience.left())
    return _base.getsockopt(self, socket.SOL_SOCKET, socket.SO_ERROR)


def connect(self: socket.socket, address: Any, /) -> None:
    """As socket.connect."""
    error = _connect(self, address)
    if error:
        raise OSError(error, os.strerror(error))


def connect_ex(self: socket.socket, address: Any, /) -> int:
    """As socket.connect_ex."""
    try:
        return _connect(self, address)
    except TimeoutError:
        return errno.EAGAIN
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno is None:
            raise
        return error.errno


def settimeout(self: socket.socket, value: float | None, /) -> None:
    """As socket.settimeout."""
    _base.settimeout(self, value)
    if value is None and _native.socket_is_kept(fd := _base.fileno(self)):
        os.set_blocking(fd, False)


def setblocking(self: socket.socket, flag: bool, /) -> None:
    """As socket.setblocking."""
    self.settimeout(None if flag else 0.0)


def _real_close(self: socket.socket, _ss: type[_socket.socket] = _base) -> None:
    fd = _base.fileno(self)
    if fd >= 0:
        _native.socket_end(fd)
    _ss.close(self)


def __del__(
    self: socket.socket,
    _fileno: Callable[[Any], int] = _base.fileno,
    _end: Callable[[int], None] = _native.socket_end,
    _finalize: Callable[[Any], None] = _base.__del__,  # type: ignore[attr-defined]
) -> None:
    """Closes it, as _socket's own does, if nobody has; the number is somebody else's then."""
    fd = _fileno(self)
    if fd >= 0:
        _end(fd)
    _finalize(self)


def detach(self: socket.socket) -> int:
    """As socket.detach."""
    fd = _base.fileno(self)
    if fd >= 0:
        _native.socket_end(fd)
    return _detach(self)


def _sendfile_use_sendfile(self: socket.socket, *args: Any, **kwargs: Any) -> int:
    _native.socket_keep(self.fileno())
    sent: int = _sendfile(self, *args, **kwargs)
    return sent


_init = socket.socket.__init__
_detach = socket.socket.detach
_sendfile = socket.socket._sendfile_use_sendfile  # type: ignore[attr-defined]
_ASKED_EACH_TIME = ("fileno", "gettimeout")
_METHODS = (
    *(
        __init__,
        __del__,
        _accept,
        connect,
        connect_ex,
        settimeout,
        setblocking,
        _real_close,
        detach,
        _sendfile_use_sendfile,
    ),
    *(recv, recv_into, recvfrom, recvfrom_into, recvmsg, recvmsg_into),
    *(send, sendall, sendto, sendmsg, sendmsg_afalg),
)


def install(registry: Registry) -> None:
    """Changes the methods of socket.socket that may wait, and gives makefile files that goroutines may share."""
    registry.replace(socket, "io", _buffered.names())
    for name in _ASKED_EACH_TIME:
        registry.replace(socket.socket, name, _native.method_of(socket.socket, getattr(_base, name)))
    for method in _METHODS:
        registry.replace_if_there(socket.socket, method.__name__, method)
