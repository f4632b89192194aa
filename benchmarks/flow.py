"""Whole pipelines, file to sink: events per CPU-second, cursors committed, peak memory.

    python -m benchmarks.flow [--events 300000] [null|archive|…]

Each case runs in a process of its own, so that peak memory means something.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from bridge import DELIVERED, Sink, SinkConfig
from bridge.deadletters import SqliteDeadLetters
from bridge.engine.assembly import Parts, rejects_pipeline, sink_pipeline
from bridge.engine.sharing import SharedDecoder
from bridge.engine.supervisor import GC_THRESHOLDS
from bridge.journals.base import JournalContext
from bridge.journals.file import FileJournal, FileJournalConfig
from bridge.settings import SinkSettings
from bridge.state import State
from bridge.validation import Decoder, Level

ROOT = Path(__file__).parents[1]
CASES = ("null", "null+rejects", "archive", "archive+rejects", "archive-zstd")


class Null(Sink[SinkConfig, bytes]):
    """Delivers everything to nowhere."""

    name = "null"

    def map(self, event):
        return event.raw

    def map_batch(self, events):
        return [event.raw for event in events]

    def send(self, batch):
        return batch.all(DELIVERED)


def sample(events: int) -> Path:
    """A file of clean events of about 1 KB, made once."""
    path = ROOT / ".cache" / "bench" / f"clean-{events}.jsonl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        command = [sys.executable, ROOT / "examples" / "generate.py", "--events", str(events), "--seed", "1", "--clean"]
        subprocess.run([*command, "--out", partial], check=True, stderr=subprocess.DEVNULL)
        partial.rename(path)
    return path


def sink_of(case: str, folder: Path) -> Sink:
    """The sink of a case, by its built-in plugin."""
    if case.startswith("null"):
        return Null(SinkConfig())
    from bridge_s3.config import S3Config
    from bridge_s3.sink import S3Sink

    compression = "zstd" if "zstd" in case else "gzip"
    return S3Sink(S3Config(url=f"file://{folder}/archive", compression=compression))


def run(case: str, events: int, level: str) -> dict:
    """Run one case in this process and measure it."""
    with tempfile.TemporaryDirectory() as scratch, State(Path(scratch) / "s.db") as state:
        folder = Path(scratch)
        journal = FileJournal(FileJournalConfig(path=str(sample(events))), JournalContext(state, "bench", ()))
        shutdown = SimpleNamespace(shutdown=SimpleNamespace(grace=5.0))
        decoder = SharedDecoder(Decoder(Level(level)))
        parts = Parts(shutdown, decoder, SqliteDeadLetters(state), lambda *_, **__: None, until_idle=True)
        sink = sink_of(case, folder)
        settings = SinkSettings(id="bench", type=sink.name, config=sink.config)
        pipelines = [
            sink_pipeline(parts, sink, settings, "bench", lambda wake: journal.reader("bench", "earliest", wake))
        ]
        if "rejects" in case:
            pipelines.append(rejects_pipeline(parts, journal))
        return measure(case, pipelines, level)


def measure(case: str, pipelines: list, level: str) -> dict:
    """CPU and wall time of running pipelines to their end."""
    import threading

    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    threads = [threading.Thread(target=pipeline.run) for pipeline in pipelines]
    cpu, wall = time.process_time(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    counts = pipelines[0].snapshot.counts
    assert counts.conserved
    assert not any(pipeline.failure for pipeline in pipelines)
    return {
        "case": case,
        "level": level,
        "events": counts.delivered,
        "us_per_event": round(cpu / counts.delivered * 1e6, 2),
        "events_per_cpu_second": round(counts.delivered / cpu),
        "events_per_second": round(counts.delivered / wall),
        "rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    """Print one JSON line a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=CASES)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--level", default="strict")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.here:
        print(json.dumps(run(chosen.cases[0], chosen.events, chosen.level)))
        return
    for case in chosen.cases:
        command = [sys.executable, "-m", "benchmarks.flow", "--here", case]
        subprocess.run([*command, "--events", str(chosen.events), "--level", chosen.level], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
