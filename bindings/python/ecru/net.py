"""Connections, listeners and datagrams that park only their goroutine; TLS through the module ssl.

An address is `("host", port)`, `"host:port"` (`":80"`: any local address, when dialling this machine) or
`"unix:/path"`; IPv6 hosts stand in brackets in the second form. Timeouts are in seconds, for the whole call, and end it
with TimeoutError; None is no limit. Of what is closed here, by whichever goroutine, every call ends with
ecru.ChanClosed, which is no OSError: those are the network's.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, SupportsFloat, TypeAlias, TypeVar

from ecru import _native
from ecru._native import Closed
from ecru._own_methods import own_methods

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "Address",
    "Conn",
    "Datagram",
    "Listener",
    "TLSConn",
    "dial",
    "dial_datagram",
    "listen",
    "listen_datagram",
    "lookup",
    "pair",
]

Address: TypeAlias = tuple[str, int] | str
_Seconds: TypeAlias = SupportsFloat | None
_Kind: TypeAlias = type[BaseException] | None
_Self = TypeVar("_Self", bound="_native.IO")

_CHUNK_BYTES = 65536  # of plain text encrypted, and of cipher text received, at a time
_FAREWELL_SECONDS = 1.0  # a close_notify waits so long for room
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class _Limit:
    """Inside, waits end after so many seconds; its end raises TimeoutError then."""

    __slots__ = ("_token",)

    def __init__(self, seconds: _Seconds) -> None:
        self._token = None if seconds is None else _native.Token(timeout=seconds)

    def __enter__(self) -> None:
        if self._token is not None:
            self._token.enter()

    def __exit__(self, kind: _Kind, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._token is None:
            return
        self._token.leave()
        if isinstance(error, _native.Cancelled) and self._token.fired_itself:
            raise TimeoutError("timed out") from None


def _host_port(host: str, port: int | str) -> str:
    if isinstance(port, int) and not 0 <= port <= 65535:
        raise ValueError(f"no port of an address: {port}")
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _where(address: Address, stream: bool = True) -> tuple[str, str]:
    """Network and address as the runtime wants them."""
    if isinstance(address, tuple) and len(address) >= 2 and isinstance(address[0], str):
        return ("tcp" if stream else "udp"), _host_port(address[0], address[1])
    if not isinstance(address, str):
        raise TypeError(f'an address is (host, port), "host:port" or "unix:/path", not {address!r}')
    if address.startswith("unix:"):
        return ("unix" if stream else "unixgram"), address[5:]
    host, colon, port = address.rpartition(":")
    if not colon:
        raise ValueError(f"no port in address {address!r}")
    return ("tcp" if stream else "udp"), _host_port(host.removeprefix("[").removesuffix("]"), port)


def _address(text: str) -> Address:
    """("host", port) or the path, of the runtime's text."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or text.startswith(("/", "@")):
        return text
    return host.removeprefix("[").removesuffix("]"), int(port)


class _Named(_native.IO):
    """What all descriptors of this module have in common."""

    __slots__ = ()

    @property
    def local_address(self) -> Address:
        """The own address: (host, port), or a Unix socket's path."""
        return _address(self.local())

    @property
    def closed(self) -> bool:
        """Whether close() has been called."""
        return self.fileno() < 0

    def __enter__(self: _Self) -> _Self:
        """Itself; the end of the block closes it."""
        return self

    def __exit__(self, kind: _Kind, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        fd = self.fileno()
        return f"<{type(self).__name__} closed>" if fd < 0 else f"<{type(self).__name__} {self.local()} fd={fd}>"


@own_methods
class Conn(_native.Stream, _Named):
    """A stream connection: dial() and Listener.accept() make them.

    One goroutine may read while another writes. sendall() calls of several do not interleave; reads by line, by length
    or up to a separator belong to one goroutine at a time.
    """

    __slots__ = ("__weakref__",)

    tls: ssl.SSLObject | None = None

    @property
    def peer_address(self) -> Address:
        """The other side's address."""
        return _address(self.peer())

    def write(self, data: Buffer, timeout: _Seconds = None) -> None:
        """As sendall()."""
        self.sendall(data, timeout)

    def readline(self, most: int | None = None, timeout: _Seconds = None) -> bytes:
        """As read_line()."""
        return self.read_line(most, timeout)

    def __iter__(self) -> Iterator[bytes]:
        """The lines, each with its end, until the other side ends."""
        while line := self.read_line():
            yield line

    def detach(self) -> int:
        """A descriptor of the caller's own, blocking; closes this. What is buffered is lost."""
        fd = os.dup(self.fileno())
        self.close()
        os.set_blocking(fd, True)
        return fd


def _is_cut_off(error: ssl.SSLError) -> bool:
    """Some interpreters have no SSLEOFError for it."""
    return isinstance(error, ssl.SSLEOFError) or error.reason == "UNEXPECTED_EOF_WHILE_READING"


@own_methods
class TLSConn(Conn):
    """A connection under TLS; `tls` is its ssl.SSLObject (version, cipher, certificates, the ALPN protocol).

    The handshake happens in dial(); for accepted ones with the first call, or handshake(). Any number of goroutines may
    use it. A stream the other side cuts off without saying so (close_notify) is at its end, as with the module ssl's
    sockets; with suppress_ragged_eofs = False it raises ssl.SSLError, unless the context's options have
    ssl.OP_IGNORE_UNEXPECTED_EOF.
    """

    __slots__ = (
        "_ahead",
        "_ended",
        "_engine",
        "_fed",
        "_incoming",
        "_outgoing",
        "_reading",
        "_ready",
        "_sending",
        "_unsent",
        "_writing",
        "suppress_ragged_eofs",
        "tls",
    )

    tls: ssl.SSLObject
    suppress_ragged_eofs: bool

    def _begin(self, context: ssl.SSLContext, server_side: bool, server_hostname: str | None) -> None:
        self._ready = self._ended = False
        self.suppress_ragged_eofs = True
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        self._engine = _native.Lock()  # the SSLObject: never held across a wait
        self._reading = _native.Lock()  # who receives cipher text
        self._sending = _native.Lock()  # who sends it
        self._writing = _native.Lock()  # whose plain text it is
        self._ahead = bytearray()
        self._unsent = memoryview(b"")
        self._fed = 0

    def _has_unsent(self) -> bool:
        return bool(self._unsent or self._outgoing.pending)

    def _flush(self) -> None:
        """Sends what the engine has made. An interrupted call leaves the rest to the next one."""
        while self._has_unsent():  # again after the lock: whoever found it taken has left the rest to us
            with self._sending:
                self._send_out()

    def _send_some(self) -> None:
        if not self._unsent:
            self._unsent = memoryview(self._outgoing.read())
        sent = _native.IO.send(self, self._unsent)
        self._unsent = self._unsent[sent:]

    def _send_out(self) -> None:
        while self._has_unsent():
            self._send_some()

    def _offer(self) -> None:
        """Sends what there is room for, unless somebody else does.

        Who reads must not wait for room: the other side may make none before its own output is read.
        """
        while self._has_unsent() and self._sending.acquire(blocking=False):
            try:
                if not _native.wait_fds([(self.fileno(), "w")], 0):
                    return
                self._send_some()
            finally:
                self._sending.release()

    def _send_while_waiting(self) -> None:
        """Waits for input if there is something to send, and sends it meanwhile, unless somebody else does."""
        ready = ""
        while "r" not in ready and self._has_unsent() and self._sending.acquire(blocking=False):
            try:
                ready = _native.IO.wait(self, "rw")
                if "w" in ready:
                    self._send_some()
            finally:
                self._sending.release()

    def _feed(self, fed: int) -> None:
        """Gives the engine more cipher text, unless somebody has since it was fed that often."""
        with self._reading:
            if self._fed != fed:
                return
            self._send_while_waiting()
            data = _native.Stream.recv(self, _CHUNK_BYTES)
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()
            self._fed += 1

    def _drive(self, step: Any, *arguments: Any) -> Any:
        """The result of a step of the engine, which is fed and drained until it has one."""
        while True:
            fed = self._fed
            try:
                with self._engine:
                    result = step(*arguments)
            except ssl.SSLWantReadError:
                finished = False
            except ssl.SSLError:
                self._say_alert()
                raise
            else:
                finished = True
            if step == self.tls.read:
                self._offer()
            else:
                self._flush()
            if finished:
                return result
            self._feed(fed)

    def _say_alert(self) -> None:
        """What the engine has to say about an error is sent if that takes no waiting."""
        if not self._sending.acquire(blocking=False):
            return
        try:
            with _Limit(_FAREWELL_SECONDS):
                self._send_out()
        except (OSError, Closed, _native.Cancelled):
            pass
        finally:
            self._sending.release()

    def handshake(self, timeout: _Seconds = None) -> None:
        """Agrees on keys with the other side; does nothing if that has been done. Raises ssl.SSLError."""
        if self._ready:
            return
        with _Limit(timeout), self._writing:
            if not self._ready:
                self._drive(self.tls.do_handshake)
                self._ready = True

    def _receive(self, most: int) -> bytes:
        """Waits before it asks the engine, if that cannot have anything: what it says then is an exception."""
        if not self._ready:
            self.handshake()
        if not (self._ended or self._incoming.pending or self.tls.pending()):
            self._feed(self._fed)
        try:
            data: bytes = self._drive(self.tls.read, most)
        except ssl.SSLZeroReturnError:
            data = b""
        except ssl.SSLError as error:
            if not self.suppress_ragged_eofs or not _is_cut_off(error):
                raise
            data = b""
        self._ended = not data
        return data

    def _take(self, count: int) -> bytes:
        data = bytes(self._ahead[:count])
        del self._ahead[:count]
        return data

    @property
    def buffered(self) -> int:
        """Bytes that have been received, deciphered and not been read."""
        return len(self._ahead) + (self.tls.pending() if self._ready else 0)

    def recv(self, bytes: int, timeout: _Seconds = None) -> bytes:
        """What is there, at least one byte; b"" at the end."""
        if self._ahead:
            return self._take(bytes)
        if bytes == 0:
            return b""
        if timeout is None:
            return self._receive(bytes)
        with _Limit(timeout):
            return self._receive(bytes)

    def recv_into(self, buffer: Buffer, bytes: int = 0, timeout: _Seconds = None) -> int:
        """As recv(); 0 at the end."""
        view = memoryview(buffer).cast("B")
        if not 0 <= bytes <= len(view):
            raise ValueError("recv_into: more bytes than the buffer has, or fewer than none")
        data = self.recv(bytes or len(view), timeout)
        view[: len(data)] = data
        return len(data)

    def _more(self) -> bool:
        """Reads ahead. returns: False at the end."""
        data = self._receive(_CHUNK_BYTES)
        self._ahead += data
        return bool(data)

    def read_exactly(self, bytes: int, timeout: _Seconds = None) -> bytes:
        """So many. EOFError: the stream ends before; what came stays to be read."""
        if bytes < 0:
            raise ValueError("read_exactly: fewer bytes than none")
        with _Limit(timeout):
            while len(self._ahead) < bytes:
                if not self._more():
                    raise EOFError("the stream ended before so many bytes had come")
        return self._take(bytes)

    def _find(self, separator: bytes, most: int) -> int:
        """Bytes up to and with the separator; 0: the end comes before; -1: there are `most` without it."""
        searched = 0
        while True:
            at = self._ahead.find(separator, searched, most)
            if at >= 0:
                return at + len(separator)
            if len(self._ahead) >= most:
                return -1
            searched = max(0, len(self._ahead) - len(separator) + 1)
            if not self._more():
                return 0

    def read_until(self, separator: bytes, most: int = 65536, timeout: _Seconds = None) -> bytes:
        """Everything up to the separator, with it; b"" at the end.

        EOFError: the stream ends before it; ValueError: it is not within `most` bytes.
        """
        if not 1 <= len(separator) <= most:
            raise ValueError("read_until: an empty separator, or one longer than the limit")
        with _Limit(timeout):
            found = self._find(separator, most)
        if found < 0:
            raise ValueError(f"no separator within {most} bytes")
        if found == 0 and self._ahead:
            raise EOFError("the stream ended before the separator came")
        return self._take(found)

    def read_line(self, most: int | None = None, timeout: _Seconds = None) -> bytes:
        """A line with its end; without it if it is longer than `most` bytes or the stream ends; b"" at the end."""
        limit = (1 << 62) if most is None or most < 0 else most
        if limit == 0:
            return b""
        with _Limit(timeout):
            found = self._find(b"\n", limit)
        return self._take(found if found > 0 else min(limit, len(self._ahead)))

    def send(self, data: Buffer, timeout: _Seconds = None) -> int:
        """As sendall(), of at most 64 KiB; how many bytes it took."""
        view = memoryview(data).cast("B")[:_CHUNK_BYTES]
        self.sendall(view, timeout)
        return len(view)

    def sendall(self, data: Buffer, timeout: _Seconds = None) -> None:
        """All of it; no other sendall interleaves."""
        if timeout is not None:
            with _Limit(timeout):
                return self.sendall(data)
        if not self._ready:
            self.handshake()
        view = memoryview(data).cast("B")
        with self._writing:
            for at in range(0, len(view), _CHUNK_BYTES):
                self._drive(self.tls.write, view[at : at + _CHUNK_BYTES])

    def _say_goodbye(self) -> None:
        """Puts a close_notify where _flush finds it."""
        try:
            with self._engine:
                self.tls.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # the other side has not said it yet, or there never was a connection

    def shutdown(self, directions: str) -> None:
        """Ends "r", "w" or "rw"; with "w" the other side is told (close_notify)."""
        if "w" in directions and self._ready:
            with self._writing:
                self._say_goodbye()
                self._flush()
        super().shutdown(directions)

    def close(self) -> None:
        """Tells the other side, if that takes no more than a second, and closes; whoever waits is raised Closed."""
        if not self.closed and self._ready:
            self._say_goodbye()
            self._say_alert()
        super().close()


@own_methods
class Listener(_Named):
    """Takes connections; listen() makes them. A Unix socket's file is removed when it is closed."""

    __slots__ = ("_context",)

    _context: ssl.SSLContext | None

    @classmethod
    def of_socket(cls, listening: socket.socket | int, *, tls: ssl.SSLContext | None = None) -> Listener:
        """One for a socket that listens already (from systemd, or another process), or its descriptor, which stays the
        caller's. Raises OSError.
        """
        fd = listening if isinstance(listening, int) else listening.fileno()
        listener = cls(os.dup(fd))
        listener._context = tls
        return listener

    @property
    def address(self) -> Address:
        """Where it listens, with the port the system chose."""
        return self.local_address

    def accept(self, timeout: _Seconds = None, type: type[_native.IO] | None = None) -> Conn:  # type: ignore[override]
        """The next connection. With TLS, its handshake is yet to come."""
        if type is not None and not issubclass(type, Conn):
            raise TypeError("type: Conn or a subclass of it")
        if self._context is None:
            return super().accept(timeout, type or Conn)
        conn = super().accept(timeout, TLSConn)
        conn._begin(self._context, True, None)
        return conn

    def __iter__(self) -> Iterator[Conn]:
        """Its connections until it is closed; waits while descriptors or memory are short."""
        pause = 0.005
        while True:
            try:
                conn = self.accept()
            except Closed:
                return
            except OSError as error:
                if error.errno not in _SHORTAGES:
                    raise
                _native.sleep(pause)
                pause = min(2 * pause, 1.0)
            else:
                pause = 0.005
                yield conn


@own_methods
class Datagram(_native.DatagramIO, _Named):
    """A datagram socket. recv() and send() are for one that dial_datagram() made."""

    __slots__ = ()

    @property
    def peer_address(self) -> Address:
        """The other side's address, of one that was dialled."""
        return _address(self.peer())

    def recv_from(self, bytes: int, timeout: _Seconds = None) -> tuple[bytes, Address]:  # type: ignore[override]
        """One datagram, or its beginning if it is longer, and who sent it."""
        data, sender = super().recv_from(bytes, timeout)
        return data, _address(sender)

    def send_to(self, data: Buffer, address: Address, timeout: _Seconds = None) -> int:  # type: ignore[override]
        """Sends one datagram; a host's name is looked up."""
        network, where = _where(address, stream=False)
        try:
            return super().send_to(data, network, where, timeout)
        except OSError as error:
            if not isinstance(error, (socket.gaierror, _native.Error)) or network != "udp":
                raise
        host, _, port = where.rpartition(":")
        family = 6 if self.local().startswith("[") else 4
        return super().send_to(data, network, _host_port(lookup(host, family=family)[0], port), timeout)


def _client_context(tls: bool | ssl.SSLContext) -> ssl.SSLContext:
    return tls if isinstance(tls, ssl.SSLContext) else ssl.create_default_context()


def dial(
    address: Address,
    *,
    timeout: _Seconds = None,
    tls: bool | ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    local: Address | None = None,
) -> Conn:
    """Connects; a name's addresses are tried as RFC 8305 says.

    tls: True (the system's certificates) or a context; the name to be shown to, and proved by, the server is
    server_hostname, else the address' host. local: a literal address to connect from. Raises OSError, ssl.SSLError;
    the timeout covers look-up, connection and handshake.
    """
    network, where = _where(address)
    with _Limit(timeout):
        bound = None if local is None else _where(local)[1]
        if not tls:
            return _native.dial(network, where, Conn, bound)
        made = _native.dial(network, where, TLSConn, bound)
        try:
            name = server_hostname or (where.rpartition(":")[0].strip("[]") if network == "tcp" else None)
            made._begin(_client_context(tls), False, name)
            made.handshake()
        except BaseException:
            made.close()
            raise
        return made


def listen(
    address: Address,
    *,
    backlog: int | None = None,
    reuse_port: bool = False,
    v6_only: bool = False,
    mode: int | None = None,
    tls: ssl.SSLContext | None = None,
) -> Listener:
    """Listens; port 0: the system chooses one, see Listener.address.

    backlog: connections that wait to be accepted, None: the system's limit. reuse_port: several listeners share the
    port. v6_only: an IPv6 listener does not take IPv4. mode: permissions of a Unix socket's file. tls: the context.
    """
    network, where = _where(address)
    listener = _native.listen(network, where, Listener, backlog or 0, reuse_port, v6_only, mode or 0)
    listener._context = tls
    return listener


def dial_datagram(address: Address) -> Datagram:
    """A datagram socket that sends to, and receives from, one address."""
    network, where = _where(address, stream=False)
    return _native.dial(network, where, Datagram)


def listen_datagram(address: Address = ("127.0.0.1", 0), *, reuse_port: bool = False) -> Datagram:
    """A datagram socket bound to an address."""
    network, where = _where(address, stream=False)
    return _native.listen(network, where, Datagram, reuse_port=reuse_port)


def lookup(name: str, *, family: int | None = None, timeout: _Seconds = None) -> list[str]:
    """The host's addresses, the best first. family: 4 or 6; None: both. Raises OSError: there is none.

    Names that are not found are a socket.gaierror, here and wherever a name is given.
    """
    if family not in (None, 4, 6):
        raise ValueError("family: 4, 6 or None")
    if not name.isascii():
        name = name.encode("idna").decode("ascii")
    with _Limit(timeout):
        found = _native.resolve(name, f"ip{family or ''}")
    return [text.rpartition(":")[0].removeprefix("[").removesuffix("]") for text in found]


def pair() -> tuple[Conn, Conn]:
    """Two connections, each other's other side."""
    a, b = socket.socketpair()
    return Conn(a.detach()), Conn(b.detach())
