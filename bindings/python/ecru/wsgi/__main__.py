"""The command: python -m ecru.wsgi module:app."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import ssl
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from ecru import net
from ecru.wsgi._limits import Limits
from ecru.wsgi._server import Server, run

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def _load(name: str) -> WSGIApplication:
    """The application "module:name" stands for; `name()` may be called for it."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    path, call, _ = (path or "application").partition("(")
    for part in path.split("."):
        found = getattr(found, part)
    if call:
        found = found()
    if not callable(found):
        raise TypeError(f"{name} is no application: it cannot be called")
    return found  # type: ignore[no-any-return]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ecru.wsgi", description="Serves a WSGI application.")
    parser.add_argument("app", help="module:application; module:factory() is called")
    parser.add_argument(
        "--bind", action="append", metavar="ADDRESS", help="host:port or unix:/path; several may be given"
    )
    parser.add_argument("--certfile", help="serve TLS with this certificate chain")
    parser.add_argument("--keyfile", help="its private key")
    parser.add_argument("--access-log", metavar="FILE", help='a line for each request; "-": stdout')
    parser.add_argument("--max-body", type=int, metavar="BYTES", help="larger requests are refused")
    parser.add_argument("--keep-alive", type=float, default=75.0, metavar="SECONDS", help="for idle connections")
    parser.add_argument(
        "--drain", type=float, default=30.0, metavar="SECONDS", help="to finish after SIGTERM or SIGINT"
    )
    parser.add_argument("--chdir", default=".", metavar="DIRECTORY", help="where the module is")
    return parser.parse_args(arguments)


def _context(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.certfile is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certfile, options.keyfile)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _log_stream(name: str | None) -> TextIO | None:
    if name is None or name == "-":
        return sys.stdout if name else None
    return open(name, "a", encoding="utf-8")


def _stop_at_signals(server: Server) -> None:
    """SIGTERM and SIGINT end it gracefully, the second of them at once."""

    def on_signal(number: int, frame: object) -> None:
        if server.stopping:
            server._token.cancel()
        server.stop()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def _main(arguments: Iterable[str] | None = None) -> None:
    options = _options(None if arguments is None else list(arguments))
    os.chdir(options.chdir)
    sys.path.insert(0, os.getcwd())
    limits = Limits(body_bytes=options.max_body, idle_seconds=options.keep_alive)
    log = _log_stream(options.access_log)
    server = Server(_load(options.app), limits=limits, access_log=log, drain_seconds=options.drain)
    context = _context(options)
    listeners = [net.listen(address, tls=context) for address in options.bind or ["127.0.0.1:8000"]]
    _stop_at_signals(server)
    for listener in listeners:
        print(f"ecru.wsgi: serving {options.app} at {listener.local()}", file=sys.stderr, flush=True)
    run(server, listeners)


if __name__ == "__main__":
    _main()
