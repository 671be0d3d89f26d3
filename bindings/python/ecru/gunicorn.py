"""A worker of gunicorn (20 or newer) that runs applications in goroutines: `gunicorn -k ecru.gunicorn.Worker m:app`.

Each worker process is an ecru.wsgi server on gunicorn's sockets. Of gunicorn's settings it minds workers,
worker_connections, keepalive (seconds an idle connection is kept), timeout, graceful_timeout, max_requests,
limit_request_fields, the access log's, TLS's, forwarded_allow_ips with secure_scheme_headers, and SCRIPT_NAME of the
environment. The standard library is patched (ecru.patch) before the application is loaded. HUP, TERM, QUIT and USR1 do
what gunicorn says they do; the requests under way are finished.
"""

from __future__ import annotations

import datetime
import os
import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from gunicorn.http.wsgi import WSGIErrorsWrapper
from gunicorn.sock import ssl_context
from gunicorn.workers.base import Worker as _Base

import ecru
from ecru import _native, net
from ecru.wsgi import Exchange, Limits, Server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["Worker"]


class _Server(Server):
    """Writes gunicorn's access log."""

    worker: Worker

    def log(self, exchange: Exchange, seconds: float) -> None:
        """A line in the form the settings say."""
        environ = exchange.environ
        fields = [(name[5:].replace("_", "-"), value) for name, value in environ.items() if name.startswith("HTTP_")]
        request: Any = SimpleNamespace(headers=fields)
        response: Any = SimpleNamespace(
            status=exchange.status or "-", headers=exchange.fields or [], sent=exchange.written
        )
        self.worker.log.access(response, request, environ, datetime.timedelta(seconds=seconds))


class Worker(_Base):
    """gunicorn's worker_class: "ecru.gunicorn.Worker"."""

    _hurry = False

    def init_signals(self) -> None:
        """Makes the standard library park goroutines, once signals are this process's own: until then they would go to
        handlers of the process it was forked from, and be lost. The application is loaded after that.
        """
        handler = signal.getsignal(signal.SIGTERM)
        super().init_signals()
        _drop_queue(getattr(handler, "__self__", None))
        ecru.patch()

    def run(self) -> None:
        """Serves until gunicorn, or max_requests, ends it; then finishes what has begun."""
        server = self._server()
        context = ssl_context(self.cfg) if self.cfg.is_ssl else None
        listeners = [net.Listener.of_socket(sock.fileno(), tls=context) for sock in self.sockets]
        tasks = [_native.spawn(server.serve, listener) for listener in listeners]
        while self._goes_on(server) and not any(task.done for task in tasks):
            self._pause()
        server.drain_seconds = 0.0 if self._hurry else float(self.cfg.graceful_timeout)
        server.stop()
        for task in tasks:
            while not task.done:
                self.notify()
                _native.select((task,), timeout=1.0)
            task.result()

    def _server(self) -> _Server:
        cfg, application = self.cfg, cast(Any, self.wsgi)
        errors: Any = WSGIErrorsWrapper(cfg)
        limits = Limits(
            fields=cfg.limit_request_fields,
            idle_seconds=float(cfg.keepalive),
            connections=cfg.worker_connections,
        )
        server = _Server(
            _behind_proxies(application, cfg),
            limits=limits,
            errors=errors,
            multiprocess=cfg.workers > 1,
            script_name=os.environ.get("SCRIPT_NAME", ""),
        )
        server.worker = self
        server.logs = bool(cfg.accesslog or cfg.logconfig or cfg.logconfig_dict or cfg.syslog or cfg.statsd_host)
        return server

    def _goes_on(self, server: Server) -> bool:
        if self.ppid != os.getppid():
            self.log.info("Parent changed, shutting down: %s", self)
            return False
        if server.requests >= self.max_requests:
            self.log.info("Autorestarting worker after %d requests", server.requests)
            return False
        return bool(self.alive)

    def _pause(self) -> None:
        """A second, or until a signal comes."""
        self.notify()
        if _native.wait_fd(self.PIPE[0], "r", 1.0):
            os.read(self.PIPE[0], 4096)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGQUIT, SIGINT: ends without waiting for requests."""
        self._hurry = True
        self.alive = False
        self.cfg.worker_int(self)


def _drop_queue(arbiter: Any) -> None:
    """The queue of signals of the process it was forked from, from gunicorn 24 on: nobody reads it here, and the patch
    would warn of it.
    """
    vars(arbiter).pop("SIG_QUEUE", None)  # before it is the class's, and a list


def _behind_proxies(app: WSGIApplication, cfg: Any) -> WSGIApplication:
    """The application with wsgi.url_scheme as a proxy that may be trusted says it."""
    trusted = set(cfg.forwarded_allow_ips)
    schemes = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in cfg.secure_scheme_headers.items()}
    if not trusted or not schemes:
        return app

    def with_scheme(environ: dict[str, Any], start_response: Any) -> Any:
        for name, secure in schemes.items():
            if name in environ and ("*" in trusted or environ["REMOTE_ADDR"] in trusted):
                environ["wsgi.url_scheme"] = "https" if environ[name] == secure else "http"
        return app(environ, start_response)

    return with_scheme
