"""A running intake on loopback over a real journal, and the bytes that are sent to it."""

from __future__ import annotations

import http.client
import json
import socket
import time
from dataclasses import dataclass, field

import pytest

from bridge.configuration.intake import HttpIntakeSettings
from bridge.deadletters import Filter, SqliteDeadLetters
from bridge.intake.http import HttpIntake
from bridge.intake.http_imported import Imported
from bridge.intake.ledger import Ledger
from bridge.journals.base import JournalContext
from bridge.journals.sqlite import SqliteJournal, SqliteJournalConfig
from bridge.state import State
from bridge.testing import encode, make_event
from bridge.validation import Decoder

PATIENCE = 20.0


@dataclass
class Reply:
    """An answer: its status, lower-case headers, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def reason(self):
        return self.json["params"]["err"]


def batch(*events, **envelope):
    """A batch as bytes; events are dictionaries or bytes."""
    texts = [event if isinstance(event, bytes) else encode(event) for event in events]
    head = json.dumps(envelope)[1:-1].encode()
    return b"{" + (head + b"," if head else b"") + b'"events":[' + b",".join(texts) + b"]}"


def numbered(count, first=0, **changes):
    """Events that differ."""
    return [make_event("INTERACT", mid=f"m-{number}", **changes) for number in range(first, first + count)]


@dataclass
class Running:
    """An intake that listens, and what lies behind it."""

    intake: HttpIntake
    state: State
    journal: SqliteJournal
    letters: SqliteDeadLetters
    sockets: list = field(default_factory=list)

    @property
    def port(self):
        return self.intake._port

    def send(self, body=b"", path="/v1/telemetry", method="POST", **headers):
        """One request on a connection of its own; `x_api_key` stands for X-Api-Key."""
        named = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        if body and "content_type" not in headers:
            named["content-type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body or None, named)
            return reply(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.send(path=path, method="GET", **headers)

    def connect(self):
        """A socket of our own; closed at the end of the test."""
        found = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.sockets.append(found)
        return found

    def raw(self, data):
        """Everything that comes back for these bytes until the server ends the connection."""
        found = self.connect()
        found.sendall(data)
        return drain(found)

    def rows(self):
        """What the journal holds, in order."""
        rows = self.state.read(lambda db: db.execute("SELECT body FROM log ORDER BY seq").fetchall())
        return [body for (body,) in rows]

    def mids(self):
        return [json.loads(row)["mid"] for row in self.rows()]

    def dead(self):
        return list(self.letters.find(Filter()))


def reply(response):
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, headers, response.read())


def drain(found):
    """Read a socket to its end."""
    data = b""
    try:
        while piece := found.recv(65536):
            data += piece
    except (ConnectionResetError, TimeoutError):
        pass
    return data


def until(condition, patience=PATIENCE):
    """Wait for something that will come true."""
    ends = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < ends, "it did not come true"
        time.sleep(0.01)


@pytest.fixture
def serve(tmp_path):
    """Start intakes; `serve(port=…, limits={…}, journal={…})` takes keys of the configuration.

    With `imported` it looks for what came from files before.
    """
    started = []

    def start(*, journal=None, imported=False, **settings):
        state = State(tmp_path / f"{len(started)}.db")
        log = SqliteJournal(SqliteJournalConfig(**(journal or {})), JournalContext(state, "test", ()))
        letters = SqliteDeadLetters(state, 0)
        configured = HttpIntakeSettings.model_validate({"enabled": True, "port": 0, **settings})
        files = Imported(Ledger(state), Decoder()) if imported else None
        running = Running(HttpIntake(configured, log, letters, files), state, log, letters)
        started.append(running)
        running.intake.start()
        return running

    yield start
    for running in started:
        for found in running.sockets:
            found.close()
        running.intake.close()
        running.state.close()


@pytest.fixture(name="batch")
def _batch():
    return batch


@pytest.fixture(name="numbered")
def _numbered():
    return numbered


@pytest.fixture(name="until")
def _until():
    return until


@pytest.fixture(name="drain")
def _drain():
    return drain
