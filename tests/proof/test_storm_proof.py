"""Members join, leave, are killed and suspended: nobody commits what is not theirs, and nothing moves back.

Each member writes down what it is given and what it commits, on one clock. In the long form (`make proof`)
a member is suspended for 60 s, far longer than any group waits.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import uuid
from pathlib import Path

import pytest

confluent_kafka = pytest.importorskip("confluent_kafka")

from confluent_kafka import Consumer, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

pytestmark = pytest.mark.real

FULL = os.environ.get("BRIDGE_PROOF") == "full"
HERE = Path(__file__).parent
PARTITIONS = 8
SHORT = ("kill", "suspend", "join", "leave", "kill")
LONG = (
    "kill",
    "join",
    "suspend",
    "leave",
    "kill",
    "join",
    "kill",
    "leave",
    "suspend",
    "kill",
    "join",
    "leave",
)
ACTS = LONG if FULL else SHORT
SUSPENDED = 60.0 if FULL else 4.5
EVENTS = 300_000 if FULL else 10_000


@pytest.fixture(scope="module")
def parts():
    """Members, the watch on committed offsets and the events of the short storm."""
    from importlib.util import module_from_spec, spec_from_file_location

    place = HERE.parents[1] / "tests" / "real" / "kafka" / "test_kafka_storm.py"
    spec = spec_from_file_location("storm_for_proof", place)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def topic(own_broker):
    admin = AdminClient({"bootstrap.servers": own_broker, "log_level": 0})
    name = f"storm-{uuid.uuid4().hex[:8]}"
    (made,) = admin.create_topics([NewTopic(name, PARTITIONS, 1)]).values()
    made.result(30)
    yield name
    (gone,) = admin.delete_topics([name]).values()
    gone.exception(30)


@pytest.fixture
def storm(own_broker, topic, tmp_path, parts):
    started = []
    settings = {"bootstrap.servers": own_broker, "group.id": f"{topic}.x", "enable.auto.commit": False}
    clerk = Consumer(settings)
    asked = [TopicPartition(topic, number) for number in range(PARTITIONS)]

    def committed():
        return {tp.partition: tp.offset for tp in clerk.committed(asked, timeout=10) if tp.offset >= 0}

    def make(protocol):
        members = parts.Members(own_broker, topic, protocol, tmp_path / "out", "0.2")
        place = members._command.index(str(parts.MEMBER))
        members._command[place : place + 1] = [str(HERE / "storm_member.py"), str(tmp_path / "ledger")]
        watch = parts.Watch(committed)
        watch.start()
        started.extend((members, watch))
        return members, watch

    yield make
    for one in started:
        one.close()
    clerk.close()


def faults_of(ledger):
    """What no commit may do, for every one of them: be of a partition of another member, or move back."""
    owner, last, foreign, backwards, commits = {}, {}, [], [], 0
    for line in sorted(map(json.loads, ledger.read_bytes().splitlines()), key=lambda line: line["at"]):
        for partition, offset in line["offsets"].items():
            if line["what"] == "assign":
                owner[partition] = line["pid"]
            elif line["what"] == "commit":
                commits += 1
                if owner.get(partition) != line["pid"]:
                    foreign.append(line)
                if offset < last.get(partition, 0):
                    backwards.append(line)
                last[partition] = max(offset, last.get(partition, 0))
    return commits, foreign, backwards


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_in_a_storm_nobody_commits_what_is_not_theirs(own_broker, topic, storm, parts, tmp_path, protocol):
    members, watch = storm(protocol)
    values = [parts.raw_event(n) for n in range(EVENTS)]
    producer = Producer({"bootstrap.servers": own_broker, "linger.ms": 5, "log_level": 0})
    chance = random.Random(protocol)
    for _ in range(3):
        members.start()
    share = EVENTS // len(ACTS)
    for number, act in enumerate(ACTS):
        for at in range(number * share, EVENTS if number == len(ACTS) - 1 else (number + 1) * share):
            producer.produce(topic, values[at], partition=at % PARTITIONS)
            producer.poll(0)
        assert producer.flush(60) == 0
        if act == "join":
            members.start()
        elif act == "suspend":
            members.suspend(SUSPENDED)
        else:
            members.end(signal.SIGKILL if act == "kill" else signal.SIGTERM)
            members.start()
        time.sleep(chance.uniform(3.0, 8.0) if FULL else chance.uniform(0.5, 1.5))
    repeated = parts.wait_until_settled(watch, tmp_path / "out", values, seconds=300)
    commits, foreign, backwards = faults_of(tmp_path / "ledger")
    sys.stdout.write(
        f"\nstorm, {protocol}: {EVENTS} events, {len(ACTS)} acts, suspended for {SUSPENDED:.0f} s: 0 lost, "
        f"{repeated} repeated with the same bytes\n  {commits} commits acknowledged, {len(foreign)} of a "
        f"partition of another member, {len(backwards)} backwards\n"
    )
    assert foreign == []
    assert backwards == []
