"""An import that dies anywhere goes on where it was, and repeats one group of events at most."""

from __future__ import annotations

import gzip
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.intake.files import GROUP_EVENTS, FileReport
from bridge.intake.ledger import Ledger
from bridge.journals.sqlite import SqliteJournal

CONFIG = f"""
[plugins]
dir = "{Path(__file__).parents[2] / "cli" / "plugins"}"
[sinks.tray]
type = "tray"
path = "tray.jsonl"
"""


class Killed(BaseException):
    """The process ends here."""


def crashing(desk, after, *, before_commit):
    """An importer that dies at the append number `after`, before or after its commit."""

    class Crashing(SqliteJournal):
        left = after

        def append(self, payloads, source):
            self.left -= 1
            if self.left < 0 and before_commit:
                raise Killed
            super().append(payloads, source)
            if self.left < 0:
                raise Killed

    return desk.importer(Crashing(desk.journal.config, desk.journal.context), ledger=Ledger(desk.state))


def forms(make):
    """2,500 events in each form that is taken, some events the same in all bytes but one."""
    events = make.raws(range(2_500))
    return {
        "lines.jsonl": b"\n".join(events),
        "archive.zip": make.archive(make.entries(25, size=100), make.manifest(make.entries(25), 100)),
        "batches.jsonl": b"\n".join(make.batch(f"b{n}", range(n * 20, n * 20 + 20)) for n in range(125)),
        "batch.json": make.batch("all", range(2_500)),
        "nameless.json.gz": gzip.compress(make.batch(None, range(2_500))),
    }


@pytest.fixture(scope="module")
def contents(make):
    return forms(make).__getitem__


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    form=st.sampled_from(["lines.jsonl", "archive.zip", "batches.jsonl", "batch.json", "nameless.json.gz"]),
    crashes=st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=3),
)
def test_wherever_it_dies_nothing_is_lost_and_one_group_a_crash_is_repeated(
    make, contents, new_desk, form, crashes
):
    desk = new_desk()
    with desk.state:
        path = desk.put(form, contents(form))
        repeated = 0
        for after, before_commit in crashes:
            try:
                crashing(desk, after, before_commit=before_commit).run(FileReport(str(path)))
            except Killed:
                repeated += 0 if before_commit else GROUP_EVENTS
            desk.state.write(lambda connection: None)  # the note of the group before was submitted already
        last = desk.take(path)
        assert last.problem == ""
        counts = Counter(desk.rows())
        assert set(counts) == set(make.raws(range(2_500)))
        assert sum(counts.values()) - 2_500 <= repeated
        assert desk.take(path).accepted == 0


def count(place):
    try:
        connection = sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True)
        try:
            return connection.execute("SELECT count(*) FROM log").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.OperationalError:  # not there yet, or being created
        return 0


def bodies(place):
    connection = sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True)
    try:
        return [body for (body,) in connection.execute("SELECT body FROM log")]
    finally:
        connection.close()


@pytest.mark.parametrize("form", ["archive", "lines"])
def test_a_process_that_is_killed_again_and_again_imports_everything(tmp_path, make, form):
    size = 12_000
    (tmp_path / "config.toml").write_text(CONFIG)
    if form == "lines":
        content = b"\n".join(make.raws(range(size)))
    else:
        content = make.archive(make.entries(size // 100, size=100), manifest=False)
    (tmp_path / "file").write_bytes(content)
    place = tmp_path / "data" / "bridge.db"
    environ = {key: value for key, value in os.environ.items() if not key.startswith("BRIDGE_")}
    command = [sys.executable, "-m", "bridge", "import", "file"]
    kills = 0
    while True:
        before = count(place)
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        ends = time.monotonic() + 60
        while process.poll() is None and count(place) < before + 1_000 and time.monotonic() < ends:
            time.sleep(0.002)
        if process.poll() is None and kills < 3:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += process.returncode == -signal.SIGKILL
            continue
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        break
    counts = Counter(bodies(place))
    assert kills > 0, out
    assert set(counts) == set(make.raws(range(size)))
    assert sum(counts.values()) - size <= kills * GROUP_EVENTS
