"""Kafka to sinks: events per CPU-second, events per second and peak memory, each a ratio to one reference.

    python -m benchmarks.kafka [CASE …] [--events 200000] [--repeats 3] [--dead SINK] [--pinned]

A case is `SINKS[/PARTITIONS][xPROCESSES][@file]`: `four/8x2` is four sinks in two processes on eight
partitions, `search+archive/48` two sinks, `four@file` reads the same events from a file. The sinks are
`null`, `product` (PostHog, flat), `search` (Elasticsearch), `archive` (S3), `hook` (webhook). `--pinned`
gives each process a processor of its own, which it does not leave.
The broker is the one of the real tests, or `SUNBIRD_TEST_KAFKA=host:port`. Destinations are stubs in a
process of their own. Of several repeats the one with the least CPU time counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.flow import ROOT, destination, sample
from bridge.journals.kafka import device_key

if TYPE_CHECKING:
    from collections.abc import Iterator

CASE = re.compile(r"(?P<sinks>[a-z+]+)(?:/(?P<partitions>\d+))?(?:x(?P<processes>\d+))?(?P<file>@file)?")
FOUR = ("product", "search", "archive", "hook")
CASES = ("null", "search", "four")

HOST = """data_dir = "data"
instance = "{instance}"
[validation]
level = "strict"
[ops]
enabled = false
[shutdown]
grace = 5
[plugins]
dir = "plugins.d"
"""
KAFKA = """[journal]
type = "kafka"
brokers = ["{broker}"]
topics = ["{topic}"]
group_protocol = "{protocol}"
"""
FILE = """[journal]
type = "file"
path = "{path}"
"""
SINKS = {
    "null": '[sinks.null]\ntype = "null"\n',
    "product": '[sinks.product]\ntype = "posthog"\nhost = "http://127.0.0.1:{port}"\n'
    'api_key = "phc_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"\nproperties = "flat"\ncompression = "gzip"\n',
    "search": '[sinks.search]\ntype = "elasticsearch"\nurl = "http://127.0.0.1:{port}"\n'
    'compression = "gzip"\n',
    "archive": '[sinks.archive]\ntype = "s3"\nurl = "file://{folder}/archive"\ncompression = "gzip"\n',
    "hook": '[sinks.hook]\ntype = "webhook"\nurl = "http://127.0.0.1:{port}/hook"\nbody = "batch"\n'
    'compression = "gzip"\nallow_http = true\nallow_networks = ["127.0.0.0/8"]\nports = [{port}]\n',
}
NULL = """from bridge import DELIVERED, Sink, hookimpl
class Null(Sink):
    name = "null"
    def map(self, event):
        return event.raw
    def map_batch(self, events):
        return [event.raw for event in events]
    def send(self, batch):
        return batch.all(DELIVERED)
@hookimpl
def bridge_sinks():
    return [Null]
"""


@dataclass(frozen=True)
class Case:
    """Which sinks, in how many processes, read what."""

    sinks: tuple[str, ...]
    partitions: int
    processes: int
    file: bool
    text: str

    @classmethod
    def of(cls, text: str) -> Case:
        """Read `four/8x2`."""
        found = CASE.fullmatch(text)
        if found is None:
            raise SystemExit(f"not a case: {text}")
        sinks = FOUR if found["sinks"] == "four" else tuple(found["sinks"].split("+"))
        partitions, processes = int(found["partitions"] or 8), int(found["processes"] or 1)
        return cls(sinks, partitions, processes, bool(found["file"]), text)


@contextmanager
def broker() -> Iterator[str]:
    """The address of a real broker: the one that is named, or our own for as long as this lasts."""
    named = os.environ.get("SUNBIRD_TEST_KAFKA")
    if named:
        yield named
        return
    place = ROOT / "tests" / "real" / "kafka" / "conftest.py"
    spec = importlib.util.spec_from_file_location("benchmarks_broker", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with tempfile.TemporaryDirectory() as folder:
        own = module.Broker(Path(folder))
        try:
            yield own.address
        finally:
            own.stop()


@contextmanager
def silence() -> Iterator[int]:
    """The port of a destination that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as deaf:
        yield deaf.getsockname()[1]


class Topics:
    """Topics with the sample in them, keyed by device as Sunbird's are; one for each number of partitions."""

    def __init__(self, address: str, events: int) -> None:
        self._address, self._events = address, events
        self._made: dict[int, str] = {}

    def of(self, partitions: int) -> str:
        """The topic with so many partitions, filled once."""
        if partitions not in self._made:
            self._made[partitions] = self._fill(f"bench-{uuid.uuid4().hex[:8]}", partitions)
        return self._made[partitions]

    def _fill(self, topic: str, partitions: int) -> str:
        from confluent_kafka import Producer
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient({"bootstrap.servers": self._address})
        for future in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
            future.result(30)
        options = {"compression.type": "zstd", "linger.ms": 50, "queue.buffering.max.messages": 1_000_000}
        options["partitioner"] = "murmur2_random"
        producer = Producer({"bootstrap.servers": self._address, **options})
        with sample(self._events).open("rb") as lines:
            for line in lines:
                event = line.rstrip(b"\n")
                producer.produce(topic, event, key=device_key(event))
        assert producer.flush(120) == 0
        return topic

    def drop(self) -> None:
        """Delete them."""
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": self._address})
        for future in admin.delete_topics(list(self._made.values())).values() if self._made else ():
            future.exception(20)


def configured(case: Case, folder: Path, ports: dict[str, int], journal: str, dead: str) -> Path:
    """A folder with the configuration of one process."""
    (folder / "plugins.d").mkdir(parents=True)
    (folder / "plugins.d" / "null.py").write_text(NULL)
    sinks = [
        SINKS[name].format(port=ports["dead" if name == dead else "good"], folder=folder)
        for name in case.sinks
    ]
    (folder / "config.toml").write_text(
        HOST.format(instance=f"b{uuid.uuid4().hex[:8]}") + journal + "".join(sinks)
    )
    return folder / "config.toml"


def run(case: Case, journal: str, ports: dict[str, int], dead: str, events: int, *, pinned: bool) -> dict:
    """Run one case once; the sums over its processes."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        first = configured(case, Path(scratch) / "0", ports, journal, dead)
        children = []
        for number in range(case.processes):
            config = first
            if number:  # the same groups, another place for what each process keeps
                config = Path(scratch) / str(number) / "config.toml"
                (config.parent / "plugins.d").mkdir(parents=True)
                (config.parent / "plugins.d" / "null.py").write_text(NULL)
                config.write_text(first.read_text())
            command = [sys.executable, "-m", "benchmarks.member", str(config), "--dead", dead]
            if pinned:
                command += ["--processor", str(sorted(os.sched_getaffinity(0))[number])]
            named = {} if case.file else {"BRIDGE_JOURNAL__STATIC_ID": f"p{number}"}
            child = subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | named
            )
            children.append(stack.enter_context(child))
        found = [json.loads(child.communicate(timeout=600)[0]) for child in children]
    assert all(one["conserved"] and not one["failures"] for one in found), found
    for sink in set(case.sinks) - {dead}:
        total = sum(one["delivered"][sink] for one in found)
        assert total >= events, (sink, total)
    wall = max(one["ended"] for one in found) - min(one["begun"] for one in found if one["begun"])
    cpu = sum(one["cpu"] for one in found if one["begun"])
    return {
        "case": case.text,
        "events_per_cpu_second": round(events / cpu),
        "events_per_second": round(events / wall),
        "us_per_event": round(cpu / events * 1e6, 2),
        "rss_mib": max(one["rss_mib"] for one in found),
        "anonymous_mib": max(one["anonymous_mib"] for one in found),
        "decodings": round(sum(one["decoded"] for one in found) / events, 2),
        "held_mib": max(one["held_mib"] for one in found),
        "native": all(one["native"] for one in found),
    }


def main() -> None:
    """Print one JSON line a case, with its ratio to the first one's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=CASES)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--protocol", default="consumer", choices=("classic", "consumer"))
    parser.add_argument("--latency", type=float, default=0.0, help="seconds a destination takes to answer")
    parser.add_argument("--dead", default="", help="this sink's destination never answers")
    parser.add_argument("--pinned", action="store_true", help="a processor for each process")
    chosen = parser.parse_args()
    cases = [Case.of(text) for text in chosen.cases]
    with ExitStack() as stack:
        address = "" if all(case.file for case in cases) else stack.enter_context(broker())
        topics = Topics(address, chosen.events)
        if address:
            stack.callback(topics.drop)
        good = stack.enter_context(destination(chosen.latency))
        ports = {"good": good, "dead": stack.enter_context(silence())}
        reference = 0.0
        for case in cases:
            if case.file:
                journal = FILE.format(path=sample(chosen.events))
            else:
                topic = topics.of(case.partitions)
                journal = KAFKA.format(broker=address, topic=topic, protocol=chosen.protocol)
            dead = chosen.dead if chosen.dead in case.sinks else ""
            runs = [
                run(case, journal, ports, dead, chosen.events, pinned=chosen.pinned)
                for _ in range(chosen.repeats)
            ]
            best = min(runs, key=lambda one: one["us_per_event"])
            best["middle"] = sorted(one["us_per_event"] for one in runs)[len(runs) // 2]
            best |= {name: max(one[name] for one in runs) for name in ("rss_mib", "anonymous_mib")}
            reference = reference or best["us_per_event"]
            best["ratio"] = round(best["us_per_event"] / reference, 2)
            best["dead"] = dead
            print(json.dumps(best | {"load": round(os.getloadavg()[0], 1)}), flush=True)
            time.sleep(0.5)


if __name__ == "__main__":
    main()
