"""sqlite3 under ecru.patch: goroutines wait for each other's locks."""

import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from patched import patched

import ecru


@contextmanager
def database() -> Iterator[str]:
    """A file with the table t(x)."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "database")
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE t(x)")
        connection.close()
        yield path


@contextmanager
def locked(path: str, seconds: float | None = 0.1) -> Iterator[None]:
    """Another goroutine writes for so long. None: until the block ends."""
    begun, ended = threading.Event(), threading.Event()

    def hold() -> None:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        begun.set()
        ended.wait(seconds)
        holder.execute("COMMIT")
        holder.close()

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    yield
    if seconds is None:
        ended.set()
    thread.join()


def values(path: str) -> list[int]:
    connection = sqlite3.connect(path)
    try:
        return [value for (value,) in connection.execute("SELECT x FROM t ORDER BY rowid")]
    finally:
        connection.close()


@patched
def test_a_statement_waits_for_the_holder_of_the_lock():
    with database() as path:
        writer = sqlite3.connect(path, 30)
        with locked(path):
            writer.execute("INSERT INTO t VALUES (1)")
            writer.commit()
        with locked(path):
            assert writer.executemany("INSERT INTO t VALUES (?)", ((i,) for i in (2, 3, 4))).rowcount == 3
            writer.commit()
        with locked(path):
            writer.execute("BEGIN IMMEDIATE")
            writer.rollback()
        writer.close()
        assert values(path) == [1, 2, 3, 4]


@patched
def test_a_commit_waits_for_readers():
    with database() as path:
        writer, reader = sqlite3.connect(path, 30), sqlite3.connect(path, check_same_thread=False)
        writer.executemany("INSERT INTO t VALUES (?)", [(i,) for i in range(3)])
        writer.commit()
        rows = iter(reader.execute("SELECT x FROM t"))
        next(rows)  # has a lock until it has been read

        def read() -> None:
            time.sleep(0.05)
            assert len(list(rows)) == 2

        thread = threading.Thread(target=read)
        with writer:
            writer.execute("INSERT INTO t VALUES (3)")
            thread.start()
        thread.join()
        assert values(path) == [0, 1, 2, 3]
        writer.close()
        reader.close()


@patched
def test_each_row_of_many_is_written_once_though_the_database_is_locked_between_them():
    with database() as path:
        writer = sqlite3.connect(path, 30, isolation_level=None)

        def rows() -> Iterator[tuple[int]]:
            for i in range(4):
                with locked(path, 0.02):
                    yield (i,)

        writer.executemany("INSERT INTO t VALUES (?)", rows())
        writer.close()
        assert values(path) == [0, 1, 2, 3]


SCRIPT = """
INSERT INTO t VALUES (1); -- a comment; with 'one
CREATE TRIGGER "more;" AFTER INSERT ON t WHEN new.x = 2 BEGIN INSERT INTO t VALUES (3); INSERT INTO t VALUES (4); END;
/* begins; */ BEGIN; INSERT INTO t VALUES (2); SELECT noted(x) FROM t; COMMIT; INSERT INTO t
SELECT length('it''s;') /* ends */"""


@patched
def test_a_script_waits_for_the_holder_of_the_lock_and_does_each_statement_once():
    with database() as path:
        writer = sqlite3.connect(path, 30)
        noted: list[int] = []
        writer.create_function("noted", 1, noted.append)
        writer.execute("INSERT INTO t VALUES (0)")
        with pytest.raises(sqlite3.OperationalError, match="syntax"):
            writer.executescript("SELECT 1; SELEKT 2; INSERT INTO t VALUES (-1)")  # commits first
        with locked(path):
            assert type(writer.executescript(SCRIPT)) is sqlite3.Cursor
        assert not writer.in_transaction
        assert values(path) == [0, 1, 2, 3, 4, 5]
        assert noted == [0, 1, 2, 3, 4]
        writer.executescript("BEGIN; DELETE FROM t")
        assert writer.in_transaction
        writer.rollback()
        writer.execute("DELETE FROM t")
        assert writer.in_transaction
        writer.close()
        assert values(path) == [0, 1, 2, 3, 4, 5]


@patched
def test_a_script_waits_in_the_middle():
    with database() as path:
        writer = sqlite3.connect(path, 30, isolation_level=None)
        holders: list[threading.Thread] = []

        def hold() -> None:
            with locked(path, 0.02):
                pass

        def begin_to_hold() -> None:
            holders.append(threading.Thread(target=hold))
            holders[-1].start()
            ecru.yield_()

        writer.create_function("hold", 0, begin_to_hold)
        writer.executescript("INSERT INTO t VALUES (1); SELECT hold(); INSERT INTO t VALUES (2); SELECT hold();")
        writer.execute("INSERT INTO t VALUES (3)")
        for holder in holders:
            holder.join()
        writer.close()
        assert values(path) == [1, 2, 3]


@patched
def test_a_backup_waits_for_the_holder_of_the_lock_and_lets_others_run():
    with database() as path, tempfile.TemporaryDirectory() as directory:
        copy = os.path.join(directory, "copy")
        source, target = sqlite3.connect(path, 30), sqlite3.connect(copy, 30)
        source.executemany("INSERT INTO t VALUES (?)", ((i,) for i in range(10_000)))
        source.commit()
        target.execute("CREATE TABLE u(x)")
        target.commit()
        told, turns = [], []
        ticking = threading.Thread(target=lambda: [turns.append(time.sleep(0)) for _ in range(5)])
        ticking.start()
        with locked(copy):
            source.backup(target, pages=2, progress=lambda *how: told.append(how), sleep=0.01)
        ticking.join()
        assert told[0][0] == 5
        assert told[-1][:2] == (101, 0)
        assert len(turns) == 5
        assert values(copy) == list(range(10_000))
        with pytest.raises(ZeroDivisionError):
            source.backup(target, progress=lambda *_: 1 / 0)
        with pytest.raises(TypeError, match="callable"):
            source.backup(target, progress=5)
        with locked(copy, None), ecru.move_on_after(0.02) as scope:
            source.backup(target, sleep=100)
        assert scope.caught
        source.close()
        target.close()


@patched
def test_the_timeout_is_over_and_a_scope_ends_it_before():
    with database() as path, locked(path, None):
        writer = sqlite3.connect(path, timeout=0.05)
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            writer.execute("INSERT INTO t VALUES (1)")
        assert writer.execute("PRAGMA busy_timeout").fetchone() == (50,)
        assert writer.execute("PRAGMA busy_timeout = 60000").fetchone() == (60000,)
        with ecru.move_on_after(0.01) as scope:
            writer.execute("INSERT INTO t VALUES (1)")
        assert scope.caught
        writer.execute("PRAGMA busy_timeout(0)")
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            writer.execute("INSERT INTO t VALUES (1)")
        writer.close()


@patched
def test_two_that_would_wait_for_each_other_are_told_at_once():
    with database() as path:
        one = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        other = sqlite3.connect(path, timeout=60, isolation_level=None)
        for connection in (one, other):
            connection.execute("BEGIN")
            connection.execute("SELECT * FROM t").fetchall()
        one.execute("INSERT INTO t VALUES (1)")
        commit = threading.Thread(target=one.execute, args=("COMMIT",))
        commit.start()  # waits until the other has read
        ecru.yield_()
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            other.execute("INSERT INTO t VALUES (2)")
        other.execute("ROLLBACK")
        commit.join()
        one.close()
        other.close()
        assert values(path) == [1]


@patched
def test_factories_options_and_errors_are_the_programs():
    class Own(sqlite3.Connection):
        pass

    class OwnCursor(sqlite3.Cursor):
        def execute(self, sql, parameters=()):
            return super().execute(sql.replace("%s", "?"), parameters)

    connection = sqlite3.connect(":memory:", 5, sqlite3.PARSE_DECLTYPES, None, factory=Own)
    assert type(connection) is Own
    assert connection.isolation_level is None
    assert isinstance(connection, sqlite3.dbapi2.Connection)
    cursor = connection.cursor(OwnCursor)
    assert type(cursor) is OwnCursor
    assert cursor.execute("SELECT %s", (1,)).fetchone() == (1,)
    assert type(connection.execute("SELECT 1")) is sqlite3.Cursor
    with pytest.raises(sqlite3.OperationalError, match="syntax"):
        connection.execute("SELEKT")
    with pytest.raises(ZeroDivisionError), connection:
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE u(x)")
        raise ZeroDivisionError
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()
