"""What the archive costs: CPU time an event to map and pack, and to seal, plan and write a range.

    python -m benchmarks.s3 [--events 20000] [--rounds 9]

Events are decoded before the clock starts and packed in runs of 1 MiB, as the host does it.
Each figure is the median of the rounds, process time; `write` is a folder on this disk, with its
syncs, and counts CPU only.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

from benchmarks.flow import sample
from bridge.engine.heap import keep_small
from bridge.events import decode
from bridge.sinks import Batch, Span
from bridge_s3 import S3Config, S3Sink

RUN = 1024 * 1024
CASES = {
    "jsonl none": {"compression": "none"},
    "jsonl gzip": {},
    "jsonl zstd": {"compression": "zstd"},
    "jsonl gzip, by eid": {"partition_eid": True},
    "jsonl gzip, by record time": {"partition_time": "record"},
    "secor": {"layout": "secor"},
    "parquet": {"format": "parquet"},
}


def runs(lines: list[bytes]) -> list[list[bytes]]:
    """The lines cut after every full mebibyte."""
    found, size = [[]], 0
    for line in lines:
        if size >= RUN:
            found, size = [*found, []], 0
        found[-1].append(line)
        size += len(line)
    return found


def opened(folder: str, settings: dict) -> S3Sink:
    return S3Sink(S3Config.model_validate({"url": f"file://{folder}/archive", **settings}))


def pack(sink: S3Sink, events: list) -> list:
    return sink.pack(events, sink.map_batch(events))


def measure(settings: dict, decoded: list, rounds: int) -> tuple[float, float, int]:
    """Seconds to pack and to write everything, medians, and the packed size."""
    packing, writing, size = [], [], 0
    count = sum(map(len, decoded))
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder, opened(folder, settings) as sink:
            start = time.process_time()
            packs = [one for events in decoded for one in pack(sink, events)]
            packed = time.process_time()
            sink.send(Batch(packs, (), "bench", 1, (Span("bench/0", 0, count, count),)))
            written = time.process_time()
        packing.append(packed - start)
        writing.append(written - packed)
        size = sum(len(one.data) for one in packs)
    return statistics.median(packing), statistics.median(writing), size


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    keep_small()  # as in a process of pipelines
    lines = sample(options.events).read_bytes().splitlines()
    decoded = [[decode(line) for line in run] for run in runs(lines)]
    plain = sum(map(len, lines))
    print(f"{len(lines)} events, {plain / len(lines):.0f} bytes on average")
    print(f"{'':28}{'map+pack':>10}{'write':>8}  µs/event   ratio")
    for name, settings in CASES.items():
        packing, writing, size = measure(settings, decoded, options.rounds)
        each = 1e6 / len(lines)
        print(f"{name:28}{packing * each:10.2f}{writing * each:8.2f}{plain / size:17.1f}")


if __name__ == "__main__":
    main()
