"""SIGKILL at random moments, with a destination that fails three answers in ten: nothing is lost.

The short form runs with every `make test`; `BRIDGE_PROOF=1` runs the long one (200,000 events, 30 kills).
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

LONG = bool(os.environ.get("BRIDGE_PROOF"))
EVENTS, KILLS = (200_000, 30) if LONG else (15_000, 5)
ROOT = Path(__file__).parents[2]

CONFIG = """
data_dir = "data"

[journal]
type = "file"
path = {source!r}

[validation]
level = "strict"

[ops]
enabled = false

[dead_letters]
max_bytes = 1000000000

[sinks.hook]
type = "webhook"
url = "http://127.0.0.1:{port}/events"
allow_http = true
allow_networks = ["127.0.0.0/8"]
ports = [{port}]
body = "batch"
deadline = 1.0
batch.max_events = {batch}
retry.max = 0.2
dedup.window = {window}
"""


def start(folder):
    command = [
        sys.executable,
        "-m",
        "bridge",
        "--config",
        folder / "config.toml",
        "run",
        "--until-idle",
    ]
    log = (folder / "log.txt").open("ab")
    with log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)


def letters_of(folder):
    with sqlite3.connect(folder / "data" / "bridge.db") as connection:
        rows = connection.execute("SELECT sink, payload FROM dead_letters").fetchall()
    connection.close()
    return rows


def test_nothing_is_lost_and_duplicates_are_the_same_bytes(tmp_path, generate, destination_of):
    destination = destination_of(faults=0.3, delay=0.25 if LONG else 0.15, seed=5)
    source = tmp_path / "events.jsonl"
    manifest = generate.Manifest()
    with source.open("wb") as file:
        for line in generate.generate(EVENTS, 11, 1_767_587_400_000, manifest=manifest):
            file.write(line + b"\n")
    config = CONFIG.format(
        source=str(source), port=destination.port, batch=500 if LONG else 100, window=20_000
    )
    (tmp_path / "config.toml").write_text(config)
    chance = random.Random(3)
    for _ in range(KILLS):
        child = start(tmp_path)
        time.sleep(chance.uniform(0.9, 2.4))
        child.send_signal(signal.SIGKILL)
        child.wait()
    child = start(tmp_path)
    assert child.wait(600) == 0, (tmp_path / "log.txt").read_text()[-4_000:]

    letters = letters_of(tmp_path)
    assert {sink for sink, _ in letters} == {"rejects"}
    refused = {payload for _, payload in letters}
    lines = [line for line in source.read_bytes().split(b"\n") if line]
    expected = {}
    for line in lines:
        if line not in refused:
            event = json.loads(line)
            expected.setdefault(event["mid"], set()).add(event["mid"])
    lost = set(expected) - set(destination.seen)
    assert not lost
    assert set(destination.seen) == set(expected)
    changed = [mid for mid, hashes in destination.seen.items() if len(hashes) > 1]
    assert not changed
    assert not any(payload in refused and json_mid(payload) in destination.seen for payload in refused)
    # Conservation over the whole history: every line was delivered, is a copy of one, or is a dead letter.
    assert len(expected) + len(refused) + manifest.duplicates == manifest.events
    deliveries = sum(destination.deliveries.values())
    print(  # noqa: T201 - the table of the proof
        f"\nevents {manifest.events}, delivered {len(expected)}, dead letters {len(refused)}, "
        f"copies in the source {manifest.duplicates}, deliveries {deliveries}, "
        f"requests {destination.requests}, "
        f"ambiguous answers {destination.ambiguous}, kills {KILLS}, lost {len(lost)}"
    )


def json_mid(payload):
    try:
        return json.loads(payload).get("mid")
    except (ValueError, AttributeError):
        return None
