"""What tests of connections share: a certificate of the day, and goroutines whose failures come back."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import trustme

from ecru import _native

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("localhost", "127.0.0.1")


def server_context(*protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def client_context(*protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


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
