"""Members and the broker are killed, suspended and started again, while events go on coming.

Afterwards every event is there, whatever came more than once came with the same bytes, and no
committed offset was ever seen to move backwards.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.real
MEMBER = Path(__file__).parents[2] / "bridge" / "journals" / "kafka" / "member.py"
EVENTS, PARTITIONS = 30_000, 8
CLASSIC = ["session.timeout.ms=3000", "heartbeat.interval.ms=300"]


def raw_event(number):
    return (
        b'{"eid":"LOG","ets":%d,"mid":"LOG:%d","actor":{"id":"u"},"context":{"channel":"c","did":"d%d"}}'
        % (1_700_000_000_000 + number, number, number % 97)
    )


class Members:
    """Processes that share the partitions; each is ended by its own id."""

    def __init__(self, address, topic, protocol, out, faults, *words):
        options = [*CLASSIC, *words] if protocol == "classic" else words
        self._command = [sys.executable, str(MEMBER), address, topic, protocol, str(out), faults, *options]
        self.running = []

    def start(self):
        member = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.running.append(member)

    def end(self, how):
        member = self.running.pop(0)
        member.send_signal(how)
        member.wait(40)

    def suspend(self, seconds):
        member = self.running[-1]
        member.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        member.send_signal(signal.SIGCONT)

    def close(self):
        while self.running:
            self.end(signal.SIGKILL)


class Watch(threading.Thread):
    """Looks at the committed offsets all the time."""

    def __init__(self, look):
        super().__init__(daemon=True)
        self._look, self._ended = look, threading.Event()
        self.last, self.backwards = {}, []

    def run(self):
        while not self._ended.wait(0.1):
            try:
                now = self._look()
            except Exception:  # noqa: BLE001 - the broker is down at times
                continue
            self.backwards += [
                (key, self.last[key], at) for key, at in now.items() if at < self.last.get(key, 0)
            ]
            self.last = now

    def close(self):
        self._ended.set()
        self.join(30)


@pytest.fixture
def storm(address, make_topic, tmp_path, committed):
    started = []

    def make(protocol, faults="0.2", *words):
        topic, out = make_topic(PARTITIONS), tmp_path / "out"
        members = Members(address, topic, protocol, out, faults, *words)
        watch = Watch(lambda: committed(f"{topic}.x", topic))
        watch.start()
        started.extend((members, watch))
        return topic, out, members, watch

    yield make
    for one in started:
        one.close()


def wait_until_settled(watch, out, values, seconds=120):
    ends = time.monotonic() + seconds
    while sum(watch.last.values()) < len(values):
        assert time.monotonic() < ends, watch.last
        time.sleep(0.2)
    lines = out.read_bytes().splitlines()
    counts = Counter(line for line in lines if line.endswith(b"}}"))  # a kill may cut a line short
    assert set(counts) == set(values)  # nothing is lost, and nothing came with other bytes
    assert watch.backwards == []
    return sum(counts.values()) - len(counts)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_storm_of_rebalances_loses_nothing(storm, produce, protocol, capsys):
    topic, out, members, watch = storm(protocol)
    values = [raw_event(n) for n in range(EVENTS)]
    chance = random.Random(protocol)
    for _ in range(3):
        members.start()
    acts = ["kill", "suspend", "join", "leave", "kill", "join", "suspend", "kill", "join", "leave"]
    for number, act in enumerate(acts):
        share = EVENTS // len(acts)
        produce(topic, values[number * share : (number + 1) * share], partitions=PARTITIONS)
        if act == "join":
            members.start()
        elif act == "suspend":
            members.suspend(4.5)  # longer than the group waits for a member
        else:
            members.end(signal.SIGKILL if act == "kill" else signal.SIGTERM)
            members.start()
        time.sleep(chance.uniform(0.3, 1.2))
    repeated = wait_until_settled(watch, out, values)
    with capsys.disabled():
        print(f"\n{protocol}: {EVENTS} events, 0 lost, {repeated} repeated with the same bytes")  # noqa: T201


def test_a_broker_that_is_killed_and_comes_back_loses_nothing(storm, produce, request, capsys):
    broker = request.getfixturevalue("broker")
    topic, out, members, watch = storm("consumer")
    values = [raw_event(n) for n in range(9_000)]
    members.start()
    members.start()
    produce(topic, values[:3_000], partitions=PARTITIONS)
    time.sleep(1.5)
    broker.kill()
    time.sleep(2.0)
    broker.start()
    produce(topic, values[3_000:6_000], partitions=PARTITIONS)
    members.end(signal.SIGKILL)
    members.start()
    broker.kill()
    broker.start()
    produce(topic, values[6_000:], partitions=PARTITIONS)
    repeated = wait_until_settled(watch, out, values)
    with capsys.disabled():
        print(f"\nbroker killed twice: 9000 events, 0 lost, {repeated} repeated with the same bytes")  # noqa: T201


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_members_that_come_and_go_in_order_repeat_nothing(storm, produce, protocol, capsys):
    """Neither a stop nor a partition that is handed over leaves an answer behind."""
    patient = ["session.timeout.ms=20000"] if protocol == "classic" else []
    topic, out, members, watch = storm(protocol, "0", "delay=1.0", *patient)
    values = [raw_event(n) for n in range(24_000)]
    produce(topic, values, partitions=PARTITIONS)
    members.start()
    moves = []
    for act in ["join", "join", "leave", "join", "leave"]:
        time.sleep(2.0)
        moves.append(sum(watch.last.values()) < len(values))
        if act == "join":
            members.start()
        else:
            members.end(signal.SIGTERM)
    repeated = wait_until_settled(watch, out, values)
    with capsys.disabled():
        print(f"\n{protocol}: 24000 events, members come and go in order, {repeated} repeated")  # noqa: T201
    assert sum(moves) >= 3  # otherwise nobody had anything in flight when partitions moved
    assert repeated == 0
