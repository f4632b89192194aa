"""A journal of its own for each test, and makers of everything that phones and their owners send."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import struct
import zipfile

import pytest

from bridge.intake.files import FileImport, FileReport
from bridge.intake.ledger import Ledger
from bridge.journals.base import JournalContext
from bridge.journals.sqlite import SqliteJournal, SqliteJournalConfig
from bridge.state import State
from bridge.validation import Decoder

CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"


class Maker:
    """Events, batches and files of them."""

    @staticmethod
    def event(n, **changes):
        return {
            "eid": "LOG",
            "ets": 1_767_605_400_000 + n,
            "ver": "3.0",
            "mid": f"LOG:{n:08d}",
            "actor": {"id": "u1", "type": "User"},
            "context": {"channel": "in.test", "env": "home", "pdata": {"id": "test.app"}, "did": "d1"},
            "edata": {"type": "system", "level": "INFO", "message": f"m{n}"},
            **changes,
        }

    def raws(self, numbers):
        return [json.dumps(self.event(n)).encode() for n in numbers]

    def batch(self, msgid, numbers, **changes):
        """A batch as bytes; `msgid` None leaves it out."""
        params = {} if msgid is None else {"msgid": msgid}
        head = {"id": "api.telemetry", "ver": "3.0", "params": params, "ets": 1, **changes}
        head["events"] = []
        return json.dumps(head).encode()[:-2] + b", ".join(self.raws(numbers)) + b"]}"

    @staticmethod
    def as_utf8(data):
        """Bytes written as if they were text."""
        return data.decode("latin-1").encode()

    def entries(self, batches, size=5, begin=0):
        """Entries of an archive, gzip as the app writes it, by name."""
        return {
            f"batch-{n}": gzip.compress(
                self.batch(f"batch-{n}", range(begin + n * size, begin + (n + 1) * size))
            )
            for n in range(batches)
        }

    @staticmethod
    def manifest(entries, count=5, kind="telemetry"):
        items = [
            {"file": name, "mid": name, "eventsCount": count, "size": 1, "objectType": kind}
            for name in entries
        ]
        return json.dumps(
            {"id": "sunbird.data.archive", "ver": "1.0", "archive": {"count": len(items), "items": items}}
        ).encode()

    def archive(self, entries, manifest=True, method=zipfile.ZIP_DEFLATED):
        """A zip file of these entries; `manifest` is one, or whether to write one."""
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", method) as file:
            for name, data in dict(entries).items():
                file.writestr(zipfile.ZipInfo(name), data, method)
            if manifest:
                file.writestr("manifest.json", self.manifest(entries) if manifest is True else manifest)
        return held.getvalue()

    @staticmethod
    def patched(archive, name, *, flag=None, method=None, rename=None):
        """An archive with other facts about one entry, in both of its headers."""
        data = bytearray(archive)
        coded = name.encode()
        for signature, flags_at, name_at in ((LOCAL, 6, 30), (CENTRAL, 8, 46)):
            at = data.find(signature)
            while bytes(data[at + name_at : at + name_at + len(coded)]) != coded:
                at = data.find(signature, at + 1)
                assert at >= 0
            if flag is not None:
                struct.pack_into("<H", data, at + flags_at, flag)
            if method is not None:
                struct.pack_into("<H", data, at + flags_at + 2, method)
            if rename is not None:
                data[at + name_at : at + name_at + len(coded)] = rename.encode()
        return bytes(data)

    def gsa(self, path, batches=(), events=(), extra=()):
        """A database as older apps share it: `batches` are (data, event_count)."""
        connection = sqlite3.connect(path)
        connection.execute(
            "CREATE TABLE processed_telemetry (_id INTEGER PRIMARY KEY, msg_id TEXT, data BLOB, "
            "event_count INTEGER, priority INTEGER)"
        )
        connection.execute(
            "CREATE TABLE telemetry (_id INTEGER PRIMARY KEY, event_type TEXT, event TEXT, timestamp INTEGER)"
        )
        connection.execute("CREATE TABLE meta_data (_id INTEGER PRIMARY KEY, key TEXT, value TEXT)")
        connection.executemany(
            "INSERT INTO processed_telemetry (msg_id, data, event_count) VALUES ('x', ?, ?)", batches
        )
        connection.executemany("INSERT INTO telemetry (event) VALUES (?)", [(event,) for event in events])
        for statement in extra:
            connection.execute(statement)
        connection.commit()
        connection.close()
        return path


class Desk:
    """A journal that files are imported into."""

    def __init__(self, folder, state):
        self.folder = folder
        self.state = state
        self.journal = SqliteJournal(SqliteJournalConfig(), JournalContext(state, "test", ()))

    def importer(self, journal=None, **options):
        options.setdefault("ledger", Ledger(self.state))
        return FileImport(journal or self.journal, Decoder(), 1 << 20, lambda error: False, **options)

    def put(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def take(self, content, name="file", **options):
        """Import some content, or the file that a path leads to; its report."""
        path = self.put(name, content) if isinstance(content, bytes) else content
        report = FileReport(str(path), found=options.pop("found", False))
        self.importer(**options).run(report)
        assert report.done
        return report

    def rows(self):
        """What is in the journal, oldest first."""
        sql = "SELECT body FROM log ORDER BY seq"
        return [body for (body,) in self.state.read(lambda connection: connection.execute(sql).fetchall())]


@pytest.fixture(scope="session")
def make():
    return Maker()


@pytest.fixture
def desk(tmp_path):
    with State(tmp_path / "state" / "bridge.db") as state:
        yield Desk(tmp_path, state)


@pytest.fixture(scope="session")
def new_desk(tmp_path_factory):
    """Desks without end, for tests that need one for each example."""

    def open_one():
        folder = tmp_path_factory.mktemp("desk")
        return Desk(folder, State(folder / "state" / "bridge.db"))

    return open_one
