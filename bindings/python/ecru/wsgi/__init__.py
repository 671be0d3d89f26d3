"""A WSGI server (PEP 3333): HTTP/1.1 with a goroutine for each connection.

`serve(app, "127.0.0.1:8000")`, or `python -m ecru.wsgi module:app --bind 127.0.0.1:8000`. The application is plain
code: whatever waits in it through ecru (or the patched standard library) parks only its own request. It is called from
one OS thread, by many goroutines at once; it may run in several processes (ecru.gunicorn).

Keep-alive, pipelining, chunked bodies both ways, Expect: 100-continue, HEAD, TLS, limits for all a client sends, time
limits for all it may take, and an end that finishes what has begun. What could be read in two ways (request smuggling)
is refused: both lengths, odd transfer codings, bare line ends, folded or malformed fields. Fields with "_" in their
name are dropped, since they would become the same variable as those with "-".
"""

from __future__ import annotations

from ecru.wsgi._exchange import Exchange
from ecru.wsgi._limits import Limits
from ecru.wsgi._server import Server, serve

__all__ = ["Exchange", "Limits", "Server", "serve"]
