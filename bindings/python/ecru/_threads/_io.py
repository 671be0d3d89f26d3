"""Descriptors that park only their goroutine: connections, listeners, datagrams; and waiting for foreign ones."""

from __future__ import annotations

import os
from _thread import allocate_lock
from collections.abc import Callable, Sequence
from operator import index
from typing import TYPE_CHECKING, Any, NoReturn, SupportsFloat, TypeAlias, TypeVar

from ecru._abi import ffi, lib
from ecru._threads._base import (
    EAGAIN,
    ECLOSED,
    ETIMEDOUT,
    Cancelled,
    NotPickled,
    fail,
    in_scope,
    instant,
    wait,
    wait_for_effect,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

_Seconds: TypeAlias = SupportsFloat | None
T = TypeVar("T")
_IO = TypeVar("_IO", bound="IO")

_DIRECTIONS: dict[str, int] = {
    "r": lib.ECRU_IO_READ,
    "w": lib.ECRU_IO_WRITE,
    "rw": lib.ECRU_IO_READ | lib.ECRU_IO_WRITE,
}
_WORDS = {0: "", **{bits: word for word, bits in _DIRECTIONS.items()}}
_ROOM_BYTES = 4096  # that a stream reads ahead at least
_RESOLVE_MOST = 64
_uncleared = ffi.new_allocator(should_clear_after_alloc=False)


def _directions(word: Any) -> int:
    bits = _DIRECTIONS.get(word) if isinstance(word, str) else None
    if bits is None:
        raise ValueError('directions: "r", "w" or "rw"')
    return bits


def _bytes(number: Any, what: str) -> int:
    count = index(number)
    if count > 2**63 - 1:
        raise OverflowError(f"{what}: too many bytes")
    if count < 0:
        raise ValueError(f"negative buffersize in {what}")
    return count


def _descriptor(fd: Any) -> int:
    number = fd if isinstance(fd, int) else fd.fileno()
    if not isinstance(number, int):
        raise TypeError("fileno() returned a non-integer")
    if number < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({number})")
    return number


class IO(NotPickled):
    """IO(fd, keep_open=False)

    A descriptor that parks only its goroutine. keep_open: closing it leaves fd open. A timeout, in seconds, raises
    TimeoutError.
    """

    __module__ = "ecru"
    __slots__ = ("_handle",)

    _handle: Any

    def __new__(cls, fd: int, keep_open: bool = False) -> Self:
        out = ffi.new("ecru_io **")
        status = lib.ecru_io_adopt(out, index(fd), lib.ECRU_IO_KEEP_OPEN if keep_open else 0)
        if status != 0:
            fail(status)
        return cls._of(out[0])

    @classmethod
    def _of(cls, handle: Any) -> Self:
        """Takes it over."""
        io = object.__new__(cls)
        io._handle = ffi.gc(handle, lib.ecru_io_release)
        io._prepare()
        return io

    def _prepare(self) -> None:
        """What a subclass needs besides."""

    def _read(self, most: int, timeout: _Seconds, call: Any, *arguments: Any) -> int:
        """How many bytes; a datagram may be longer than `most`, as with recv(2)."""
        got = _within(timeout, wait, call, self._handle, *arguments)
        return most if got == lib.ECRU_EMSGSIZE else _count(got)

    def recv(self, bytes: int, timeout: _Seconds = None) -> bytes:
        """What is there, at least one byte; b"" at the end."""
        most = _bytes(bytes, "recv")
        buffer = _uncleared("char[]", most)
        got = self._read(most, timeout, lib.ecru_io_read, buffer, most)
        return ffi.buffer(buffer, got)[:]  # type: ignore[no-any-return]

    def recv_into(self, buffer: Buffer, bytes: int = 0, timeout: _Seconds = None) -> int:
        """As recv; 0 at the end."""
        most = _bytes(bytes, "recv_into")
        with ffi.from_buffer("char[]", buffer, require_writable=True) as room:
            if most > len(room):
                raise ValueError("buffer too small for requested bytes")
            most = most or len(room)
            return self._read(most, timeout, lib.ecru_io_read, room, most)

    def send(self, data: Buffer, timeout: _Seconds = None) -> int:
        """What fits, at least one byte."""
        with ffi.from_buffer("char[]", data) as view:
            return _count(_within(timeout, self._send, view))

    def _send(self, view: Any) -> int:
        while (sent := lib.ecru_io_try_write(self._handle, view, len(view))) == EAGAIN:
            ready = wait(lib.ecru_io_wait, self._handle, lib.ECRU_IO_WRITE)
            if ready < 0:
                return ready
        return sent  # type: ignore[no-any-return]

    def sendall(self, data: Buffer, timeout: _Seconds = None) -> None:
        """All of it; no other sendall interleaves."""
        with ffi.from_buffer("char[]", data) as view:
            _count(_within(timeout, self._send_all, view, len(view)))

    def _send_all(self, view: Any, left: int) -> int:
        written, begin = ffi.new("size_t *"), 0

        def go_on(handle: Any) -> int:  # after a signal: from where it stopped
            nonlocal begin, left
            status: int = lib.ecru_io_write(handle, view + begin, left, written)
            begin, left = begin + written[0], left - written[0]
            return status

        return wait(go_on, self._handle)

    def wait(self, directions: str, timeout: _Seconds = None) -> str:
        """Parks until "r", "w" or one of "rw" is ready; which."""
        bits = _directions(directions)
        return _WORDS[_count(_within(timeout, wait, lib.ecru_io_wait, self._handle, bits))]

    def accept(self, timeout: _Seconds = None, type: type[_IO] | None = None) -> Any:
        """The next connection of a listener, as that type."""
        kind = _kind(type)
        out = ffi.new("ecru_io **")
        _count(_within(timeout, wait, lib.ecru_accept, self._handle, out, ffi.NULL))
        return kind._of(out[0])

    def set_deadline(self, timeout: _Seconds, directions: str = "rw") -> None:
        """Timeout seconds from now on, calls in these directions raise TimeoutError, those under way too.

        None: never.
        """
        status = lib.ecru_io_set_deadline(self._handle, _directions(directions), instant(timeout))
        if status != 0:
            fail(status)

    def close(self) -> None:
        """Whoever waits for it is raised Closed. Idempotent."""
        status = lib.ecru_io_close(self._handle)
        if status not in (0, ECLOSED):
            fail(status)

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        fd: int = lib.ecru_io_descriptor(self._handle)
        return max(-1, fd)

    def shutdown(self, directions: str, /) -> None:
        """Ends "r", "w" or "rw" of a connection."""
        status = lib.ecru_io_shutdown(self._handle, _directions(directions))
        if status != 0:
            fail(status)

    def local(self) -> str:
        """The own address, as "host:port" or a path."""
        return self._address(lib.ecru_io_local)

    def peer(self) -> str:
        """The other side's address."""
        return self._address(lib.ecru_io_peer)

    def _address(self, ask: Any) -> str:
        found = ffi.new("ecru_address *")
        status = ask(self._handle, found)
        return _text(found) if status == 0 else fail(status)


def _within(timeout: _Seconds, call: Callable[..., T], *arguments: Any) -> T:
    """call(*arguments), in which the runtime's calls take so long at most. Raises nothing by itself."""
    if timeout is None:
        return call(*arguments)
    return in_scope(lib.ecru_deadline_enter, instant(timeout), call, *arguments)


def _as_timeout(timeout: _Seconds, call: Callable[[], T]) -> T:
    """The same for what waits several times: that the time is up is a TimeoutError."""
    try:
        return _within(timeout, call)
    except Cancelled:
        if timeout is None or lib.ecru_check() != 0:
            raise
        raise TimeoutError("timed out") from None


def _count(status: int) -> int:
    """What a call returned, if that is no error; a handle's own deadline is a TimeoutError."""
    if status >= 0:
        return status
    if status == ETIMEDOUT and lib.ecru_check() == 0:
        raise TimeoutError("timed out")
    fail(status)


def _kind(given: Any, base: type[IO] = IO) -> type[IO]:
    if given is None:
        return base
    if not (isinstance(given, type) and issubclass(given, base)):
        raise TypeError(f"type: {base.__name__} or a subclass of it")
    return given


class _Ahead:
    """What a stream has received and nobody has read. Not methods of Stream: subclasses have names of their own."""

    __slots__ = ("data", "reader")

    def __init__(self) -> None:
        self.data = bytearray()
        self.reader = allocate_lock()

    def alone(self, read: Callable[..., T], *arguments: Any) -> T:
        """read(*arguments), by one goroutine at a time, since the data is shared."""
        if not self.reader.acquire(False):
            raise RuntimeError("another goroutine is reading this stream")
        try:
            return read(*arguments)
        finally:
            self.reader.release()

    def take(self, count: int) -> bytes:
        data = bytes(self.data[:count])
        del self.data[:count]
        return data

    def fill(self, io: IO, least: int) -> bool:
        """Reads once. False: the end."""
        data = IO.recv(io, max(least, _ROOM_BYTES))
        self.data += data
        return bool(data)

    def find(self, io: IO, separator: bytes, most: int) -> int | None:
        """Bytes up to and with the separator; 0: the end comes before; None: there are `most` without it."""
        searched = 0
        while True:
            at = self.data.find(separator, searched, most)
            if at >= 0:
                return at + len(separator)
            if len(self.data) >= most:
                return None
            searched = max(0, len(self.data) - len(separator) + 1)
            if not self.fill(io, 1):
                return 0

    # What the methods of Stream do, alone.

    def some(self, io: IO, count: int, timeout: _Seconds) -> bytes:
        return self.take(_bytes(count, "recv")) if self.data else IO.recv(io, count, timeout)

    def some_into(self, io: IO, buffer: Buffer, count: int, timeout: _Seconds) -> int:
        if not self.data:
            return IO.recv_into(io, buffer, count, timeout)
        with ffi.from_buffer("char[]", buffer, require_writable=True) as room:
            if not 0 <= index(count) <= len(room):
                raise ValueError("recv_into: more bytes than the buffer has, or fewer than none")
            data = self.take(count or len(room))
            ffi.memmove(room, data, len(data))
            return len(data)

    def exactly(self, io: IO, count: int) -> bytes:
        while len(self.data) < count:
            if not self.fill(io, count - len(self.data)):
                raise EOFError("the stream ended before so many bytes had come")
        return self.take(count)

    def until(self, io: IO, separator: bytes, most: int) -> bytes:
        found = self.find(io, separator, most)
        if found is None:
            raise ValueError(f"no separator within {most} bytes")
        if found == 0 and self.data:
            raise EOFError("the stream ended before the separator came")
        return self.take(found)

    def line(self, io: IO, limit: int) -> bytes:
        found = self.find(io, b"\n", 2**62 if limit < 0 else limit)
        return self.take(limit if found is None else found or len(self.data))


class Stream(IO):
    """Stream(fd, keep_open=False)

    An IO that can be read by line, by length, up to a separator.
    """

    __module__ = "ecru"
    __slots__ = ("_received",)

    _received: _Ahead

    def _prepare(self) -> None:
        self._received = _Ahead()

    @property
    def buffered(self) -> int:
        """bytes that have been received and not been read"""
        return len(self._received.data)

    def recv(self, bytes: int, timeout: _Seconds = None) -> bytes:
        """What is there, at least one byte; b"" at the end."""
        ahead = self._received
        return ahead.alone(ahead.some, self, bytes, timeout)

    def recv_into(self, buffer: Buffer, bytes: int = 0, timeout: _Seconds = None) -> int:
        """As recv; 0 at the end."""
        ahead = self._received
        return ahead.alone(ahead.some_into, self, buffer, bytes, timeout)

    def read_exactly(self, bytes: int, timeout: _Seconds = None) -> bytes:
        """So many. EOFError: the stream ends before; what came stays to be read."""
        count, ahead = index(bytes), self._received
        if count < 0:
            raise ValueError("read_exactly: fewer bytes than none")
        return _as_timeout(timeout, lambda: ahead.alone(ahead.exactly, self, count))

    def read_until(self, separator: bytes, most: int = 65536, timeout: _Seconds = None) -> bytes:
        """Everything up to the separator, with it; b"" at the end.

        EOFError: the stream ends before it; ValueError: it is not within `most` bytes.
        """
        if not isinstance(separator, bytes):
            raise TypeError(f"expected bytes, {type(separator).__name__} found")
        if not 1 <= len(separator) <= index(most):
            raise ValueError("read_until: an empty separator, or one longer than the limit")
        ahead = self._received
        return _as_timeout(timeout, lambda: ahead.alone(ahead.until, self, separator, most))

    def read_line(self, most: int | None = None, timeout: _Seconds = None) -> bytes:
        r"""A line with its \n; without it if it is longer than `most` bytes or the stream ends; b"" at the end."""
        limit = -1 if most is None else index(most)
        if limit == 0:
            return b""
        ahead = self._received
        return _as_timeout(timeout, lambda: ahead.alone(ahead.line, self, limit))


class DatagramIO(IO):
    """DatagramIO(fd, keep_open=False)

    A datagram socket.
    """

    __module__ = "ecru"
    __slots__ = ()

    def recv_from(self, bytes: int, timeout: _Seconds = None) -> tuple[bytes, str]:
        """One datagram, or its beginning, and who sent it."""
        most = _bytes(bytes, "recv_from")
        buffer, sender = _uncleared("char[]", most), ffi.new("ecru_address *")
        got = self._read(most, timeout, lib.ecru_receive_from, buffer, most, sender)
        return ffi.buffer(buffer, got)[:], _text(sender)

    def send_to(self, data: Buffer, network: str, address: str, timeout: _Seconds = None) -> int:
        """Sends one datagram to a literal address."""
        to = _parsed(network, address)
        with ffi.from_buffer("char[]", data) as view:
            return _count(_within(timeout, wait, lib.ecru_send_to, self._handle, view, len(view), to))


# ---- addresses -------------------------------------------------------------------------------------------------------


def _text(address: Any) -> str:
    if address.bytes <= 2:
        return ""  # a Unix socket without a name
    text = ffi.new("char[]", lib.ECRU_ADDRESS_TEXT)
    status = lib.ecru_address_text(address, text, lib.ECRU_ADDRESS_TEXT)
    return os.fsdecode(ffi.string(text)) if status >= 0 else fail(status)


def _word(text: Any) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"a str is needed, not {type(text).__name__}")
    data = text.encode()
    if b"\0" in data:
        raise ValueError("embedded null character")
    return data


def _no_use_of(status: int, network: str, address: str) -> NoReturn:
    """Of a call that was given an address."""
    if status != lib.ECRU_EINVAL:
        fail(status)
    usual = "an address is host:port, the port 0 to 65535, or a Unix socket's path"
    raise ValueError(f"{address} ({network}): an invalid address, or option: {usual}")


def _parsed(network: str, text: str) -> Any:
    address = ffi.new("ecru_address *")
    status = lib.ecru_address_parse(address, _word(network), _word(text))
    return address if status == 0 else _no_use_of(status, network, text)


def dial(network: str, address: str, type: type[_IO] | None = None, local: str | None = None) -> Any:
    """Connects: network "tcp", "udp", "unix" ..., address "host:port" or a path.

    Bound to the literal address local first.
    """
    kind = _kind(type)
    options, out = ffi.new("ecru_dial_options *"), ffi.new("ecru_io **")
    options.size = ffi.sizeof("ecru_dial_options")
    bound = ffi.NULL if local is None else _parsed(network, local)
    options.local = bound
    status = wait_for_effect(lib.ecru_dial_with, options, out, _word(network), _word(address))
    return kind._of(out[0]) if status == 0 else _no_use_of(status, network, address)


def listen(
    network: str,
    address: str,
    type: type[_IO] | None = None,
    backlog: int = 0,
    reuse_port: bool = False,
    v6_only: bool = False,
    mode: int = 0,
) -> Any:
    """Listens: as dial; port 0 takes a free one. mode: a Unix socket's permissions."""
    kind = _kind(type)
    options, out = ffi.new("ecru_listen_options *"), ffi.new("ecru_io **")
    options.size = ffi.sizeof("ecru_listen_options")
    options.backlog, options.mode = backlog, mode
    options.flags = (lib.ECRU_LISTEN_REUSE_PORT if reuse_port else 0) | (lib.ECRU_LISTEN_V6_ONLY if v6_only else 0)
    status = wait(lib.ecru_listen_with, options, out, _word(network), _word(address))
    return kind._of(out[0]) if status == 0 else _no_use_of(status, network, address)


def resolve(host: str, network: str = "ip", /) -> list[str]:
    """The host's addresses, the best first, as "address:0". network: "ip", "ip4", "ip6"."""
    found = ffi.new("ecru_address[]", _RESOLVE_MOST)
    count = wait(lib.ecru_resolve, _word(host), _word(network), found, _RESOLVE_MOST)
    return [_text(found + i) for i in range(count)] if count >= 0 else fail(count)


# ---- foreign descriptors ---------------------------------------------------------------------------------------------


def _wait_fds(fds: list[tuple[int, int]], timeout: _Seconds) -> Any:
    """The events, of which the runtime has said what is ready; None: nothing in time."""
    until = instant(timeout)
    if not fds:
        status = wait(lib.ecru_sleep_until, until)
    else:
        events = ffi.new("ecru_fd_event[]", len(fds))
        for event, (fd, directions) in zip(events, fds, strict=True):
            event.descriptor, event.wanted = fd, directions
        status = wait(lib.ecru_wait_fds, events, len(fds), until)
    if status < 0:
        fail(status)
    return events if status > 0 else None


def wait_fd(fd: int, directions: str, timeout: _Seconds = None, /) -> str:
    """Parks until a foreign descriptor is ready: "r", "w", "rw"; "": not in time."""
    events = _wait_fds([(_descriptor(fd), _directions(directions))], timeout)
    return "" if events is None else _WORDS[events[0].ready]


def wait_fds(fds: Sequence[tuple[int, str]], timeout: _Seconds = None, /) -> list[tuple[int, str]]:
    """The same for several; those that are ready."""
    wanted = []
    for one in tuple(fds):  # nobody changes it meanwhile
        if not (isinstance(one, tuple) and len(one) == 2):
            raise TypeError(f"(fd, directions) is needed, not {one!r}")
        fd, word = one
        wanted.append((index(fd), _directions(word)))
    events = _wait_fds(wanted, timeout)
    return [] if events is None else [(event.descriptor, _WORDS[event.ready]) for event in events if event.ready]


def forget_fd(fd: int, /) -> None:
    """It is about to be closed: who waits for it gets OSError (EBADF)."""
    lib.ecru_forget_fd(index(fd))
