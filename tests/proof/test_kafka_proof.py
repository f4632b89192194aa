"""Four sinks on a real broker, killed, refused and blackholed: what every place holds afterwards.

`make test-real` runs the short forms. `BRIDGE_PROOF=full` (`make proof`) runs the long ones: 1,000,000
events and 50 kills; `BRIDGE_PROOF_EVENTS`, `BRIDGE_PROOF_KILLS` and `BRIDGE_PROOF_SECONDS` scale them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

confluent_kafka = pytest.importorskip("confluent_kafka")

from confluent_kafka import Producer  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

pytestmark = pytest.mark.real

FULL = os.environ.get("BRIDGE_PROOF") == "full"
EVENTS = int(os.environ.get("BRIDGE_PROOF_EVENTS", "1000000" if FULL else "12000"))
KILLS = int(os.environ.get("BRIDGE_PROOF_KILLS", "50" if FULL else "3"))
SECONDS = float(os.environ.get("BRIDGE_PROOF_SECONDS", "60" if FULL else "6"))
PARTITIONS = 8
START_MS = 1_767_587_400_000
ROOT = Path(__file__).parents[2]
SINKS = ("product", "search", "archive", "hook")
API_KEY = "phc_" + "a" * 40

CONFIG = """data_dir = "data"
instance = "{instance}"
[journal]
type = "kafka"
brokers = ["{address}"]
topics = ["{topic}"]
group_protocol = "consumer"
[validation]
level = "strict"
[ops]
enabled = {ops}
port = {ops_port}
[dead_letters]
max_bytes = 1000000000
[sinks.product]
type = "posthog"
host = "http://127.0.0.1:{product}"
api_key = "{api_key}"
capture_mode = "v1"
properties = "flat"
timeout = 2.0
[sinks.search]
type = "elasticsearch"
url = "http://127.0.0.1:{search}"
deadline = 2.0
[sinks.archive]
type = "s3"
url = "file://{folder}/archive"
batch.max_age = {age}
[sinks.hook]
type = "webhook"
url = "http://127.0.0.1:{hook}/events"
allow_http = true
allow_networks = ["127.0.0.0/8"]
ports = [{hook}]
body = "batch"
deadline = 2.0
"""
RETRIES = "retry.max = 0.5\nretry.probe_min = 0.2\n"


@pytest.fixture(scope="session")
def address(own_broker):
    return own_broker


@pytest.fixture
def topic(address):
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    name = f"proof-{uuid.uuid4().hex[:8]}"
    (made,) = admin.create_topics([NewTopic(name, PARTITIONS, 1)]).values()
    made.result(30)
    yield name
    (gone,) = admin.delete_topics([name]).values()
    gone.exception(30)


@pytest.fixture
def producer(address):
    options = {"compression.type": "zstd", "linger.ms": 20, "queue.buffering.max.messages": 2_000_000}
    return Producer({"bootstrap.servers": address, "log_level": 0, **options})


@pytest.fixture
def fill(generate, producer, topic):
    """Put generated events into the topic, paced if told to; returns when all of them are there."""

    def write(events, seed=11, *, clean=False, rate=None):
        began = time.monotonic()
        for number, line in enumerate(generate.generate(events, seed, START_MS, clean=clean)):
            producer.produce(topic, line, partition=number % PARTITIONS)
            if rate and number % 100 == 0:
                producer.poll(0)
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
        assert producer.flush(300) == 0

    return write


class Bridges:
    """Processes of the bridge in one folder, ended by their own ids."""

    def __init__(self, folder, text):
        self.folder = folder
        (folder / "config.toml").write_text(text)
        self.running = []

    def start(self, *words):
        command = [sys.executable, "-m", "bridge", "--config", self.folder / "config.toml", "run", *words]
        with (self.folder / "log.txt").open("ab") as log:
            child = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
        self.running.append(child)
        return child

    def finish(self, seconds):
        child = self.start("--until-idle")
        assert child.wait(seconds) == 0, (self.folder / "log.txt").read_text()[-4_000:]

    def close(self):
        for child in self.running:
            if child.poll() is None:
                child.kill()
            child.wait()


@pytest.fixture
def bridges_of(tmp_path, address, topic):
    made = []

    def make(ports, *, age=2.0, name="bridge", ops_port=None, faulty=True):
        folder = tmp_path / name
        folder.mkdir()
        text = CONFIG.format(
            instance=topic, address=address, topic=topic, folder=folder, age=age, api_key=API_KEY,
            ops="true" if ops_port else "false", ops_port=ops_port or 9_999, **ports,
        )  # fmt: skip
        if faulty:
            text = text.replace("[sinks.", f"{RETRIES}[sinks.").replace(RETRIES, "", 1) + RETRIES
        made.append(Bridges(folder, text))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def checked(address, topic, history):
    """Compare every place with the source, print the table, and return its rows."""

    def check(title, ports, folder):
        from bridge_posthog.config import PostHogConfig

        config = PostHogConfig(host="http://127.0.0.1", api_key=API_KEY, capture_mode="v1", properties="flat")
        source = history.read_source(address, topic, PARTITIONS, config)
        behind = {}
        for pipeline in (*SINKS, "rejects"):
            at = history.committed(address, f"{topic}.{pipeline}", topic, PARTITIONS)
            behind[pipeline] = sum(end - max(at[number], 0) for number, end in source.ends.items())
        archive = history.archived(folder / "archive")
        found = {name: history.recorded(ports[name]) for name in ("product", "search", "hook")}
        rows = [
            history.compare("product", source.product, found["product"], behind["product"]),
            history.compare_documents("search", source, found["search"], behind["search"]),
            history.compare("hook", source.lines, found["hook"], behind["hook"]),
            history.compare_archive("archive", source, archive, behind["archive"]),
        ]
        dead = history.letters(folder / "data" / "bridge.db")
        print(f"\n{title}\n{history.table(source, rows, sum(dead.values()))}")  # noqa: T201 - the proof's result
        assert all(row.sound for row in rows)
        assert behind["rejects"] == 0
        assert {pipeline for pipeline, _ in dead} <= {"rejects"}
        assert {payload for _, payload in dead} == set(source.invalid)
        assert sum(dead.values()) == sum(source.invalid.values())  # each of them once
        assert len(source.lines) + source.copies + sum(source.invalid.values()) == source.records
        return {row.sink: row for row in rows}

    return check


def test_kills_and_faulty_answers_lose_nothing_and_repeat_the_same_bytes(
    fill, bridges_of, destinations, checked
):
    ports = destinations(faults=0.3, late=3.0)
    fill(EVENTS)
    bridges = bridges_of(ports)
    chance = random.Random(3)
    began = time.monotonic()
    for _ in range(KILLS):
        child = bridges.start()
        time.sleep(chance.uniform(4.0, 12.0) if FULL else chance.uniform(3.0, 5.0))
        assert child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()
    bridges.finish(1_800)
    seconds = time.monotonic() - began
    checked(f"kill loop: {KILLS} SIGKILLs, 30 % faulty answers, {seconds:.0f} s", ports, bridges.folder)


def test_a_clean_stop_repeats_nothing(fill, bridges_of, destinations, checked):
    ports = destinations(faults=0.0, slow=0.5)
    bridges = bridges_of(ports, age=600.0, faulty=False)
    stops, events = (10, EVENTS // 4) if FULL else (3, 6_000)
    rate = events / (stops * 6.0)  # so that every stop comes while events do
    source = threading.Thread(target=fill, args=(events,), kwargs={"clean": True, "rate": rate})
    source.start()
    for _ in range(stops):
        child = bridges.start()
        time.sleep(5.0)
        child.send_signal(signal.SIGTERM)
        assert child.wait(40) == 0, (bridges.folder / "log.txt").read_text()[-4_000:]
    source.join()
    bridges.finish(900)
    rows = checked(f"clean stops: {stops} SIGTERMs while events come in", ports, bridges.folder)
    assert [row.deliveries - row.unique for row in rows.values()] == [0, 0, 0, 0]


def test_a_blackholed_sink_costs_the_others_nothing(fill, bridges_of, destinations, history, topic, address):
    ports = destinations(faults=0.0)
    seen = {}
    with socket.create_server(("127.0.0.1", 0), backlog=64) as deaf:
        for name, dead in (("healthy", ""), ("blackholed", "search")):
            places = ports | ({dead: deaf.getsockname()[1]} if dead else {})
            seen[name] = one_paced_run(fill, bridges_of, places, name, history, ports)
    print("\nblackhole: 2,000 events a second, one run with every sink, one with a dead `search`")  # noqa: T201
    for name, (figures, memory) in seen.items():
        print(f"{name:<11}{json.dumps(figures)} peak memory {memory} MiB")  # noqa: T201
    healthy, blackholed = seen["healthy"][0], seen["blackholed"][0]
    for sink in ("product", "hook"):
        assert blackholed[sink] >= 0.95 * healthy[sink]
    assert blackholed["search"] == 0
    assert seen["blackholed"][1] <= 256
    if FULL:  # in a few seconds a healthy bridge does not reach the memory it settles at
        assert seen["blackholed"][1] <= seen["healthy"][1] + 20


def one_paced_run(fill, bridges_of, places, name, history, ports):
    """Events delivered by each sink while they come in at 2,000 a second, and the peak memory, MiB."""
    before = {sink: history.recorded(ports[sink])["deliveries"] for sink in ("product", "search", "hook")}
    bridges = bridges_of(places, name=name, faulty=False)
    child = bridges.start()
    fill(int(SECONDS * 2_000), seed=len(name), clean=True, rate=2_000)
    time.sleep(4.0)
    status = Path(f"/proc/{child.pid}/status").read_text()
    memory = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    after = {sink: history.recorded(ports[sink])["deliveries"] for sink in before}
    child.kill()
    child.wait()
    return {sink: after[sink] - before[sink] for sink in before}, memory
