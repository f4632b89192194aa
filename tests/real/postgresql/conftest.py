"""A real PostgreSQL of this machine, or of Debian's packages: started for the session, ended by pid.

`SUNBIRD_TEST_POSTGRESQL_DSN` names a server that is there already (its user may create tables).
"""

from __future__ import annotations

import importlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SITE = ROOT / ".cache" / "postgresql" / "site"
PLUGIN = ROOT / "examples" / "bridge-postgresql"
START_SECONDS = 60


class MissingError(Exception):
    """This machine lacks something; the text says what."""


@dataclass
class Server:
    """A running server: its address with and without a password, and a way to ask it."""

    dsn: str
    driver: object

    def ask(self, statement, parameters=()):
        """Run one statement; the rows it gives, if any."""
        with self.driver.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []


def absent(reason):
    message = f"PostgreSQL cannot be had here: {reason}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def programs():
    """The folder with initdb and postgres, installed from Debian's packages if need be."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and on_path:
        found = [Path(on_path).resolve()]
    if not found and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["apt-get", "-q", "update"], ["apt-get", "-q", "-y", "install", "postgresql"]):
            subprocess.run(
                command,
                capture_output=True,
                check=False,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise MissingError("no initdb (apt-get install postgresql)")
    return found[-1].parent


def account():
    """Who runs the server: it refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid}
    raise MissingError("no account but root to run it as")


def driver():
    """psycopg, fetched into a folder of the tests' own where it is not installed."""
    try:
        return importlib.import_module("psycopg")
    except ImportError:
        pass
    if not (SITE / "psycopg").is_dir():
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--target",
            str(SITE),
            "psycopg[binary]>=3.2",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MissingError(f"psycopg cannot be installed: {done.stderr[-300:]}")
    sys.path.append(str(SITE))
    return importlib.import_module("psycopg")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def launch(folder):
    """Start a server in `folder`; returns (process, dsn)."""
    binaries, owner, password, port = programs(), account(), secrets.token_hex(12), free_port()
    (folder / "password").write_text(password)
    if owner:
        for path in (folder, folder / "password"):
            os.chown(path, owner["user"], owner["group"])
    setup = [binaries / "initdb", "-D", folder / "data", "-U", "bridge", "-A", "scram-sha-256", "-E", "UTF8"]
    setup += ["--no-locale", "--no-sync", f"--pwfile={folder / 'password'}"]
    done = subprocess.run(
        list(map(str, setup)), cwd=folder, capture_output=True, text=True, check=False, **owner
    )
    if done.returncode:
        raise MissingError(f"initdb failed: {done.stderr[-500:]}")
    command = [
        binaries / "postgres",
        "-D",
        folder / "data",
        "-p",
        port,
        "-k",
        folder,
        "-h",
        "127.0.0.1",
        "-F",
    ]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(list(map(str, command)), cwd=folder, stdout=log, stderr=log, **owner)
    return process, f"postgresql://bridge:{password}@127.0.0.1:{port}/postgres"


def wait_until_up(process, dsn, psycopg, folder):
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends and process.poll() is None:
        try:
            psycopg.connect(dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise MissingError(
        f"the server did not start: {(folder / 'server.log').read_text(errors='replace')[-800:]}"
    )


@pytest.fixture(scope="session")
def postgres():
    """A running server of the tests' own."""
    named = os.environ.get("SUNBIRD_TEST_POSTGRESQL_DSN")
    folder = Path(tempfile.mkdtemp(prefix="bridge-postgresql-"))
    process = None
    try:
        try:
            psycopg = driver()
            process, dsn = (None, named) if named else launch(folder)
            if process:
                wait_until_up(process, dsn, psycopg, folder)
        except MissingError as reason:
            absent(reason)
        server = Server(dsn, psycopg)
        print(f"\nreal server: PostgreSQL {server.ask('SHOW server_version')[0][0]}")  # noqa: T201 - what was really used
        yield server
    finally:
        if process:
            process.send_signal(signal.SIGINT)  # a fast shutdown: sessions are cut, data is safe
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def plugin():
    """The stranger's plugin, from its own folder."""
    if str(PLUGIN) not in sys.path:
        sys.path.append(str(PLUGIN))
    return importlib.import_module("bridge_postgresql")


@pytest.fixture
def table(postgres):
    """The name of a table that is gone after the test."""
    name = f"events_{secrets.token_hex(4)}"
    yield name
    postgres.ask(f"DROP TABLE IF EXISTS {name}")


@pytest.fixture
def open_sink(postgres, plugin, table):
    """Open a sink on a table that it has set up; every one is closed at the end."""
    opened = []

    def make(*, setup=True, **settings):
        config = {"dsn": postgres.dsn, "table": table, **settings}
        sink = plugin.PostgresqlSink(plugin.PostgresqlSink.config_type.model_validate(config)).__enter__()
        opened.append(sink)
        if setup:
            sink.setup()
        return sink

    yield make
    for sink in opened:
        sink.__exit__(None, None, None)
