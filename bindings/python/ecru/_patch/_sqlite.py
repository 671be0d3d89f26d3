"""sqlite3 parks the goroutine while another connection has the database locked.

SQLite's own waiting sleeps in the thread, on which the holder of the lock may be a goroutine, too. So a connection has
SQLite wait for a millisecond only, and statements that it gave up are done again after a parked pause, until the
connection's timeout is over. What SQLite gives up sooner it did not wait for at all, lest two wait for each other: that
is raised at once, as ever. A script is done statement by statement: none is done twice. A backup is copied by one long
call if it is not to be in steps of some pages.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType, TracebackType
from typing import Any, Literal, TypeVar

from ecru import _native
from ecru._patch._registry import Registry

_Result = TypeVar("_Result")
_SLICE_SECONDS = 0.001
_PAUSE_MOST_SECONDS = 0.025
_OPTIONS = ("detect_types", "isolation_level", "check_same_thread", "factory", "cached_statements", "uri")
_LEGACY = -1  # Connection.autocommit, from 3.12 on: the isolation level counts
_BUSY, _LOCKED = 5, 6  # SQLite's codes
_QUOTED = r"""'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/"""
_SEMICOLON = re.compile(rf"{_QUOTED}|(?P<semicolon>;)", re.DOTALL)
_TIMEOUT = re.compile(r"\s*pragma\s+busy_timeout\s*(?:[=(]\s*(\d+)\s*\)?)?\s*;?\s*\Z", re.IGNORECASE)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)  # 3.11
    return code & 0xFF == _BUSY if code is not None else str(error) == "database is locked"


def _patiently(seconds: float, function: Callable[..., _Result], *args: Any) -> _Result:
    """Calls function(*args), and again while the database is locked, for so long."""
    end, pause = time.monotonic() + seconds, _SLICE_SECONDS
    while True:
        begin = time.monotonic()
        try:
            return function(*args)
        except sqlite3.OperationalError as error:
            now = time.monotonic()
            if now >= end or now - begin < _SLICE_SECONDS or not _is_busy(error):
                raise
        _native.sleep(min(pause, end - now))
        pause = min(2 * pause, _PAUSE_MOST_SECONDS)


def _statements(script: str) -> Iterator[str]:
    """One after the other, as SQLite tells where each ends: a trigger's has more than one semicolon."""
    begin = 0
    for found in _SEMICOLON.finditer(script):
        if found["semicolon"] and sqlite3.complete_statement(script[begin : found.end()]):
            yield script[begin : found.end()]
            begin = found.end()
    yield script[begin:]


class _Rows:
    """Rows, the last of them once more to whoever begins anew."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self._rows = iter(rows)
        self._begun: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        yield from self._begun
        for row in self._rows:
            self._begun = [row]
            yield row


class Cursor(sqlite3.Cursor):
    """As sqlite3's."""

    def _seconds(self) -> float:
        connection = getattr(self, "connection", None)
        return connection._seconds if isinstance(connection, Connection) else 0.0

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """As sqlite3.Cursor.execute."""
        if isinstance(sql, str) and (match := _TIMEOUT.match(sql)) and isinstance(self.connection, Connection):
            return super().execute("SELECT ? AS timeout", (self.connection._busy_timeout(match[1]),))
        return _patiently(self._seconds(), super().execute, sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        """As sqlite3.Cursor.executemany; rowcount may be less if the database was locked between two rows."""
        return _patiently(self._seconds(), super().executemany, sql, _Rows(parameters))

    def executescript(self, sql_script: str, /) -> Any:
        """As sqlite3.Cursor.executescript."""
        if not isinstance(sql_script, str) or not isinstance(self.connection, Connection):
            return super().executescript(sql_script)
        with self.connection._as_the_script_says():
            for statement in _statements(sql_script):
                for _ in Cursor(self.connection).execute(statement):
                    pass  # to its end
        return self


class Connection(sqlite3.Connection):
    """As sqlite3's."""

    def __init__(self, database: Any, timeout: float = 5.0, *args: Any, **kwargs: Any) -> None:
        self._seconds = timeout
        kwargs.update(zip(_OPTIONS, args, strict=False))  # not by position: deprecated from 3.13 on
        super().__init__(database, timeout=min(timeout, _SLICE_SECONDS), **kwargs)

    def _busy_timeout(self, milliseconds: str | None) -> int:
        """What PRAGMA busy_timeout sets, if it does, and says."""
        if milliseconds is not None:
            self._seconds = int(milliseconds) / 1000
            short = min(int(milliseconds), round(_SLICE_SECONDS * 1000))
            super().cursor().execute(f"PRAGMA busy_timeout = {short}")
        return round(self._seconds * 1000)

    def cursor(self, factory: Any = Cursor) -> Any:
        """As sqlite3.Connection.cursor."""
        return super().cursor(factory)

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """As sqlite3.Connection.execute."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        """As sqlite3.Connection.executemany."""
        return self.cursor().executemany(sql, parameters)

    def executescript(self, sql_script: str, /) -> Any:
        """As sqlite3.Connection.executescript."""
        return self.cursor().executescript(sql_script)

    @contextmanager
    def _as_the_script_says(self) -> Iterator[None]:
        """A transaction that is open is committed; none begins but by what is executed."""
        level = self.isolation_level
        if getattr(self, "autocommit", _LEGACY) != _LEGACY:
            yield
            return
        self.commit()
        if level is None:
            yield
            return
        self.isolation_level = None
        try:
            yield
        finally:
            self.isolation_level = level

    def backup(
        self,
        target: sqlite3.Connection,
        *,
        pages: int = -1,
        progress: Callable[[int, int, int], object] | None = None,
        name: str = "main",
        sleep: float = 0.25,
    ) -> None:
        """As sqlite3.Connection.backup; others run between two steps."""
        if progress is not None and not callable(progress):
            raise TypeError("progress argument must be a callable")
        pause = float(sleep)

        def after_step(status: int, remaining: int, total: int) -> None:
            if progress is not None:
                progress(status, remaining, total)
            _native.sleep(pause if status in (_BUSY, _LOCKED) else 0)

        super().backup(target, pages=pages, progress=after_step, name=name, sleep=0)

    def commit(self) -> None:
        """As sqlite3.Connection.commit."""
        _patiently(self._seconds, super().commit)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        """Commits, or rolls back after an error, also one of the commit."""
        try:
            if kind is None:
                self.commit()
        except BaseException:
            self.rollback()
            raise
        if kind is not None:
            self.rollback()
        return False


def connect(*args: Any, **kwargs: Any) -> Any:
    """As sqlite3.connect."""
    factory = kwargs.get("factory") or (args[5] if len(args) > 5 else Connection)
    return factory(*args, **kwargs)


def patch(registry: Registry, package: ModuleType) -> None:
    """Changes sqlite3 and sqlite3.dbapi2."""
    for module in (package, package.dbapi2):
        for replacement in (connect, Connection, Cursor):
            registry.replace(module, replacement.__name__, replacement)
