"""What the PostHog sink costs, beside PostHog's own package, in one run.

    python -m benchmarks.posthog [--events 20000] [--rounds 5]

CPU figures are process time of this process, the least of the rounds; the stub that answers runs in
a process of its own. Each round starts with a fresh sink, so caches begin empty. Needs
the posthog extra; talks to 127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib.util
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from posthog.capture_compression import CaptureCompression
from posthog.capture_mode import CaptureMode
from posthog.consumer import Consumer
from posthog.request import reset_sessions

from bridge.events import Decoder
from bridge.http import Answer
from bridge.sinks import DELIVERED, Batch
from bridge_posthog import PostHogSink
from bridge_posthog.answers import judge
from bridge_posthog.config import PostHogConfig
from bridge_posthog.wire import body, pack, packed

ROOT = Path(__file__).parents[1]
KEY = "phc_benchmark"
BATCH = 1_000
SLOW = 0.1


def start_stub(latency=0.0):
    """Run the destination that takes everything in a process of its own; return it and its address."""
    command = [sys.executable, "-m", "benchmarks.stub", "--latency", str(latency)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return process, f"http://127.0.0.1:{int(process.stdout.readline())}"


def generated(count):
    spec = importlib.util.spec_from_file_location("sample_generator", ROOT / "examples" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.generate(count, 7, 1_767_587_400_000, clean=True))


def batches(items):
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]


def cost(rounds, count, prepare, work):
    """The least microseconds of CPU an event; `prepare` gives what each call of `work` is timed on."""
    found = []
    for _ in range(rounds):
        gc.collect()
        total = 0.0
        for item in prepare():
            began = time.process_time()
            work(item)
            total += time.process_time() - began
        found.append(total / count * 1e6)
    return min(found)


def sink_for(host="https://us.i.posthog.com", **options):
    return PostHogSink(PostHogConfig(api_key=KEY, host=host, **options))


def report(name, micros, note=""):
    print(f"{name:<58} {micros:8.2f} us/event {1e6 / micros:10,.0f} events/CPU-s  {note}")


def mapping(lines, rounds):
    decoder = Decoder()
    for properties in ("flat", "raw"):
        for mode in ("v1", "v0"):
            sinks = iter([sink_for(capture_mode=mode, properties=properties) for _ in range(rounds)])

            def decoded(sinks=sinks):
                sink = next(sinks)
                for part in batches(lines):
                    yield sink, decoder.batch(part).events

            figure = cost(rounds, len(lines), decoded, lambda pair: pair[0].map_batch(pair[1]))
            report(f"mapping and encoding, {properties}, {mode}", figure)


def forward(decoder, sink, part):
    events = decoder.batch(part).events
    outcomes = sink.send(Batch(sink.map_batch(events), events, "benchmark"))
    assert outcomes == [DELIVERED] * len(part)


def whole(lines, rounds, host):
    decoder = Decoder()
    for properties in ("flat", "raw"):
        for mode in ("v1", "v0"):
            with sink_for(host, capture_mode=mode, properties=properties) as sink:
                work = functools.partial(forward, decoder, sink)
                figure = cost(rounds, len(lines), lambda: batches(lines), work)
            report(f"line, decode, map, compress, POST: {properties}, {mode}", figure)


def transports(lines, rounds, host):
    """Sending alone: our request and the package's, for the same events."""
    events = Decoder().batch(lines).events
    for mode in ("v1", "v0"):
        with sink_for(host, capture_mode=mode) as sink:
            parts = [Batch(part, (), "benchmark") for part in batches(sink.map_batch(events))]
            ours = cost(rounds, len(lines), lambda parts=parts: parts, sink.send)
        legacy = sink_for(host, capture_mode="v0")
        documents = batches([json.loads(legacy.map(event)) for event in events])
        compression = {"gzip": True} if mode == "v0" else {"capture_compression": CaptureCompression.ZSTD}
        consumer = Consumer(None, KEY, host=host, retries=0, capture_mode=CaptureMode(mode), **compression)
        theirs = cost(rounds, len(lines), lambda documents=documents: documents, consumer.request)
        reset_sessions()
        report(f"sending alone, {mode}", ours)
        report(f"sending alone, {mode}, posthog package", theirs, f"{theirs / ours:.1f} times ours")


def parts(lines, rounds):
    """Where sending's CPU goes before and after the request, for V1."""
    events = Decoder().batch(lines).events
    for properties in ("flat", "raw"):
        payloads = batches(sink_for(capture_mode="v1", properties=properties).map_batch(events))
        parcels = [pack(part, None) for part in payloads]
        bodies = [body("v1", parcel.events, KEY, 0.0, historical=False) for parcel in parcels]
        answers = [accepted(parcel) for parcel in parcels]
        whole = (map(b"".join, bodies), map(zstd, bodies))
        size, sent = (sum(map(len, found)) / len(lines) for found in whole)
        print(f"{properties}: {size:.0f} bytes an event, {sent:.0f} compressed")
        for name, items, work in (
            ("take payloads apart", payloads, lambda part: pack(part, None)),
            ("make the body", parcels, lambda one: body("v1", one.events, KEY, 0.0, historical=False)),
            ("compress the body", bodies, zstd),
            (
                "judge the answer",
                list(zip(answers, parcels, strict=True)),
                lambda pair: judge("v1", *pair, 0.0),
            ),
        ):
            report(f"{name}, {properties}", cost(rounds, len(lines), lambda items=items: items, work))


def zstd(data):
    return packed(data, "zstd")


def accepted(parcel):
    results = {uuid.decode(): {"result": "ok"} for uuid in parcel.uuids}
    return Answer(200, {}, json.dumps({"results": results}, separators=(",", ":")).encode())


def waiting(lines, host):
    """Wall clock against a server that takes 100 ms, with the sink's own number of requests in flight."""
    decoder = Decoder()
    with sink_for(host, capture_mode="v1") as sink, ThreadPoolExecutor(sink.max_in_flight) as senders:
        began = time.perf_counter()
        sent = []
        for part in batches(lines * 3):
            events = decoder.batch(part).events
            sent.append(senders.submit(sink.send, Batch(sink.map_batch(events), events, "b")))
        assert all(set(future.result()) == {DELIVERED} for future in sent)
        elapsed = time.perf_counter() - began
    print(
        f"{'server takes 100 ms, wall clock':<58} {3 * len(lines) / elapsed:10,.0f} events/s, "
        f"{sink.max_in_flight} requests in flight"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    lines = generated(options.events)
    size = sum(map(len, lines)) / len(lines)
    print(f"{len(lines)} events, {size:.0f} bytes each, Python {sys.version.split()[0]}")
    gc.freeze()
    gc.set_threshold(100_000)
    mapping(lines, options.rounds)
    fast, host = start_stub()
    slow, slow_host = start_stub(SLOW)
    try:
        whole(lines, options.rounds, host)
        transports(lines, options.rounds, host)
        parts(lines, options.rounds)
        waiting(lines, slow_host)
    finally:
        fast.terminate()
        slow.terminate()


if __name__ == "__main__":
    main()
