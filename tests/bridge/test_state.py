"""The state file: one writer, group commits, and nothing acknowledged before it is durable."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from bridge.errors import BridgeError
from bridge.state import State, StateError, StateFullError, StateLockedError

INSERT = "INSERT INTO log (received_ms, source, body) VALUES (0, 't', ?)"


def count(connection):
    return connection.execute("SELECT count(*) FROM log").fetchone()[0]


def insert(body):
    return lambda connection: connection.execute(INSERT, (body,))


def test_what_was_written_is_there_after_opening_again(tmp_path):
    with State(tmp_path / "s.db") as state:
        state.write(insert(b"x"))
    with State(tmp_path / "s.db") as state:
        assert state.read(count) == 1


def test_many_threads_write_at_once_and_all_of_it_arrives(tmp_path):
    with State(tmp_path / "s.db") as state:

        def work():
            for _ in range(50):
                state.write(insert(b"x"))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert state.read(count) == 400


def test_a_failing_change_is_its_own_callers_failure(tmp_path):
    with State(tmp_path / "s.db") as state:
        futures = [state.submit(insert(b"a"))]

        def half(connection):
            connection.execute(INSERT, (b"never",))
            raise KeyError("mine")

        failed = state.submit(half)
        futures.append(state.submit(insert(b"b")))
        for future in futures:
            future.result(5)
        with pytest.raises(KeyError):
            failed.result(5)
        bodies = state.read(lambda c: c.execute("SELECT body FROM log").fetchall())
        assert bodies == [(b"a",), (b"b",)]


def test_a_second_process_is_told_who_holds_the_file(tmp_path):
    with State(tmp_path / "s.db"):
        with pytest.raises(StateLockedError, match=f"in use by process {os.getpid()}"):
            State(tmp_path / "s.db")
        with State(tmp_path / "s.db", read_only=True) as looker:
            assert looker.read(count) == 0
            with pytest.raises(StateError, match="reading only"):
                looker.write(insert(b"x"))


def test_a_reader_sees_what_a_running_writer_has_committed(tmp_path):
    with State(tmp_path / "s.db") as state, State(tmp_path / "s.db", read_only=True) as looker:
        state.write(insert(b"x"))
        assert looker.read(count) == 1


def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path):
    with State(tmp_path / "s.db") as state:
        state.write(insert(b"first"))
        pages = state.read(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
        state.read(lambda c: c.execute(f"PRAGMA max_page_count={pages}"))
        with pytest.raises(StateFullError, match="disk is full"):
            state.write(insert(b"x" * 1_000_000))
        state.read(lambda c: c.execute("PRAGMA max_page_count=1000000"))
        state.write(insert(b"second"))
        assert state.read(count) == 2


def test_a_file_of_a_newer_bridge_is_refused(tmp_path):
    with State(tmp_path / "s.db"):
        pass
    connection = sqlite3.connect(tmp_path / "s.db")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(BridgeError, match="newer bridge"):
        State(tmp_path / "s.db")
    connection = sqlite3.connect(tmp_path / "s.db")
    connection.execute("PRAGMA user_version=1")
    connection.close()
    State(tmp_path / "s.db").close()


def test_a_file_that_is_no_database_is_refused_with_its_name(tmp_path):
    (tmp_path / "s.db").write_bytes(b"this is not a database, but it is long enough to look at" * 20)
    with pytest.raises(StateError, match=r"s\.db"):
        State(tmp_path / "s.db")


def test_a_file_that_is_refused_is_let_go_of(tmp_path):
    (tmp_path / "s.db").write_bytes(b"this is not a database, but it is long enough to look at" * 20)
    with pytest.raises(StateError) as held:  # with its traceback, which keeps what the frames held
        State(tmp_path / "s.db")
    open_files = {link.resolve() for link in Path("/proc/self/fd").iterdir()}
    assert not [file for file in open_files if file.is_relative_to(tmp_path)], held


def test_the_state_is_private(tmp_path):
    with State(tmp_path / "sub" / "s.db") as state:
        assert state.path.stat().st_mode & 0o077 == 0
        assert state.path.parent.stat().st_mode & 0o077 == 0


def test_what_was_acknowledged_survives_a_kill(tmp_path):
    script = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        from bridge.state import State
        state = State(Path({str(tmp_path / "s.db")!r}))
        n = 0
        while True:
            state.write(lambda c: c.execute({INSERT!r}, (b"x" * 500,)))
            n += 1
            sys.stdout.write(f"{{n}}\\n"); sys.stdout.flush()
        """
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    lines = [child.stdout.readline() for _ in range(200)]
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read().split()
    child.wait()
    child.stdout.close()
    acknowledged = int(rest[-1] if rest else lines[-1])
    with State(tmp_path / "s.db") as state:
        assert state.read(count) >= acknowledged >= 200
        assert state.read(lambda c: c.execute("PRAGMA integrity_check").fetchone()) == ("ok",)
