"""Whole pipelines, file to sink: events per CPU-second, cursors committed, peak memory.

    python -m benchmarks.flow [--events 300000] [null|archive|…]

Each case runs in a process of its own, so that peak memory means something.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from bridge import DELIVERED, Sink, SinkConfig
from bridge.deadletters import SqliteDeadLetters
from bridge.engine.assembly import Parts, rejects_pipeline, sink_pipeline
from bridge.engine.sharing import SharedDecoder
from bridge.engine.supervisor import GC_THRESHOLDS
from bridge.journals.base import JournalContext
from bridge.journals.file import FileJournal, FileJournalConfig
from bridge.native import FOUND
from bridge.settings import SinkSettings
from bridge.state import State
from bridge.validation import Decoder, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
CASES = (
    "null", "null+rejects", "archive", "archive+rejects", "archive-zstd", "webhook", "webhook-key",
    "elasticsearch", "posthog-flat", "posthog-raw",
)  # fmt: skip


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
        command = [sys.executable, ROOT / "examples" / "generate.py", "--seed", "1", "--clean"]
        chosen = ["--events", str(events), "--out", partial]
        subprocess.run([*command, *chosen], check=True, stderr=subprocess.DEVNULL)
        partial.rename(path)
    return path


def archive(url: str, compression: str, latency: float) -> Sink:
    """An archive in a folder that takes `latency` seconds longer for every request, as a far store does."""
    from bridge_s3 import sink as module
    from bridge_s3.config import S3Config
    from bridge_s3.folder import Folder

    class FarFolder(Folder):
        def create(self, key, parts):
            time.sleep(latency)
            return super().create(key, parts)

        def keys(self, folder, after=""):
            time.sleep(latency)
            return super().keys(folder, after)

    config = S3Config(url=url, compression=compression)
    if latency:
        module.open_bucket = lambda config: FarFolder(config.place.path)  # each case has its own process
    return module.S3Sink(config)


def sink_of(case: str, folder: Path, port: int, latency: float = 0.0) -> Sink:
    """The sink of a case, by its built-in plugin."""
    if case.startswith("null"):
        return Null(SinkConfig())
    if case.startswith("webhook"):
        from bridge_webhook.config import WebhookConfig
        from bridge_webhook.sink import WebhookSink

        local = {"allow_http": True, "allow_networks": ["127.0.0.0/8"], "ports": [port]}
        if "key" in case:
            local["ordering"] = "key"
        return WebhookSink(
            WebhookConfig(url=f"http://127.0.0.1:{port}/hook", body="batch", compression="gzip", **local)
        )
    if case.startswith("elasticsearch"):
        from bridge_elasticsearch.config import ElasticsearchConfig
        from bridge_elasticsearch.sink import ElasticsearchSink

        return ElasticsearchSink(ElasticsearchConfig(url=f"http://127.0.0.1:{port}"))
    if case.startswith("posthog"):
        from bridge_posthog.config import PostHogConfig
        from bridge_posthog.sink import PostHogSink

        form = "raw" if "raw" in case else "flat"
        return PostHogSink(
            PostHogConfig(host=f"http://127.0.0.1:{port}", api_key="phc_" + "a" * 40, properties=form)
        )
    return archive(f"file://{folder}/archive", "zstd" if "zstd" in case else "gzip", latency)


@contextmanager
def destination(latency: float) -> Iterator[int]:
    """The stub in a process of its own, so that its work is not counted; its port."""
    command = [sys.executable, "-m", "benchmarks.stub", "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as stub:
        try:
            yield int(stub.stdout.readline())
        finally:
            stub.kill()


def run(
    case: str, events: int, level: str, latency: float, processor: int | None = None, **keys: object
) -> dict:
    """Run one case in this process and measure it; `keys` are the host's, of the sink."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        State(Path(scratch) / "s.db") as state,
        destination(latency) as port,
    ):
        folder = Path(scratch)
        journal = FileJournal(FileJournalConfig(path=str(sample(events))), JournalContext(state, "bench", ()))
        shutdown = SimpleNamespace(shutdown=SimpleNamespace(grace=5.0))
        decoder = SharedDecoder(Decoder(Level(level)))
        parts = Parts(shutdown, decoder, SqliteDeadLetters(state), lambda *_, **__: None, until_idle=True)
        sink = sink_of(case, folder, port, latency)
        settings = SinkSettings(id="bench", type=sink.name, config=sink.config, **keys)
        pipelines = [
            sink_pipeline(
                parts, sink, settings, "bench", lambda wake: journal.reader("bench", "earliest", wake)
            )
        ]
        if "rejects" in case:
            pipelines.append(rejects_pipeline(parts, journal))
        if processor is not None:
            os.sched_setaffinity(0, {processor})
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
        "python": f"{sys.version.split()[0]} in {sys.base_prefix}",
        "native": FOUND.module is not None,
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
    parser.add_argument("--latency", type=float, default=0.0, help="seconds the destination takes to answer")
    parser.add_argument("--processor", type=int, help="keep the bridge, not the destination, on this one")
    parser.add_argument("--max-buffer-bytes", type=int, help="bytes held by the pipeline")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.here:
        keys = {"max_buffer_bytes": chosen.max_buffer_bytes}
        found = run(chosen.cases[0], chosen.events, chosen.level, chosen.latency, chosen.processor, **keys)
        print(json.dumps(found))
        return
    for case in chosen.cases:
        command = [sys.executable, "-m", "benchmarks.flow", "--here", case]
        options = ["--events", str(chosen.events), "--level", chosen.level, "--latency", str(chosen.latency)]
        if chosen.processor is not None:
            options += ["--processor", str(chosen.processor)]
        if chosen.max_buffer_bytes:
            options += ["--max-buffer-bytes", str(chosen.max_buffer_bytes)]
        subprocess.run([*command, *options], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
