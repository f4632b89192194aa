"""What the search sink costs: CPU time an event to map, to frame, to send, and to read the answer.

    python -m benchmarks.elasticsearch [--events 20000] [--rounds 9]

Events are decoded before the clock starts, in batches of 4,000. Each figure is the median of the
rounds, process time. `send` is everything after mapping, to a server of another process that
reads the request and answers at once.
"""

from __future__ import annotations

import argparse
import multiprocessing
import socketserver
import statistics
import time

from benchmarks.flow import sample
from bridge.engine.heap import keep_small
from bridge.events import decode
from bridge.http import Answer
from bridge.sinks import Batch
from bridge_elasticsearch import ElasticsearchSink, wire
from bridge_elasticsearch.config import ElasticsearchConfig
from bridge_elasticsearch.mapping import DocumentMap

SIZE = 4_000
CASES = {
    "identity, gzip": {},
    "mid as id": {"id": "mid"},
    "not compressed": {"compression": "none"},
    "timestamp added": {"timestamp": "add"},
    "edata copied": {"search_all_edata": True},
    "ecs": {"shape": "ecs"},
}


def answer(count: int) -> bytes:
    """What Elasticsearch and OpenSearch say to `count` new documents, through our filter."""
    return b'{"errors":false,"items":[%b]}' % b",".join([b'{"create":{"status":201}}'] * count)


class Server(socketserver.StreamRequestHandler):
    """Reads requests, answers each with `SIZE` creations."""

    def handle(self):
        body = answer(SIZE)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        while line := self.rfile.readline():
            length = 0
            while line not in {b"\r\n", b""}:
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                line = self.rfile.readline()
            self.rfile.read(length)
            self.wfile.write(head + body)


def serve(port):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Server) as server:
        server.daemon_threads = True
        port.send(server.server_address[1])
        server.serve_forever()


def opened(url: str, settings: dict) -> ElasticsearchSink:
    return ElasticsearchSink(ElasticsearchConfig.model_validate({"url": url, **settings}))


def median(rounds: int, run, count: int) -> float:
    """µs an event: the median of `rounds` runs over `count` events."""
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        spent.append(time.process_time() - start)
    return statistics.median(spent) / count * 1e6


def measure(url: str, settings: dict, batches: list, rounds: int) -> tuple[float, float, float]:
    """µs an event to map, to frame, and to send."""
    count = sum(map(len, batches))
    with opened(url, settings) as sink:
        mapped = [Batch(sink.map_batch(events), events, "bench") for events in batches]
        lines, compression = DocumentMap(sink.config).lines, sink.config.compression
        mapping = median(rounds, lambda: [sink.map_batch(events) for events in batches], count)
        framing = median(
            rounds,
            lambda: [wire.frame(lines(one.payloads, one.events), compression) for one in mapped],
            count,
        )
        sending = median(rounds, lambda: [sink.send(one) for one in mapped], count)
    return mapping, framing, sending


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    keep_small()  # as in a process of pipelines
    lines = sample(options.events).read_bytes().splitlines()
    events = [decode(line) for line in lines[: len(lines) // SIZE * SIZE]]
    batches = [events[at : at + SIZE] for at in range(0, len(events), SIZE)]
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    server.start()
    try:
        url = f"http://127.0.0.1:{ours.recv()}"
        print(f"{len(events)} events, {sum(map(len, lines)) / len(lines):.0f} bytes on average")
        print(f"{'':20}{'map':>8}{'frame':>8}{'send':>8}   µs/event   events/CPU-second")
        for name, settings in CASES.items():
            mapping, framing, sending = measure(url, settings, batches, options.rounds)
            rate = 1e6 / (mapping + sending)
            print(f"{name:20}{mapping:8.2f}{framing:8.2f}{sending:8.2f}{rate:31,.0f}")
        reply = Answer(200, {}, answer(SIZE))
        reading = median(options.rounds, lambda: [wire.read(reply, SIZE, attempt=1, now=0.0)] * 20, SIZE)
        print(f"{'read an answer':20}{reading:24.3f}")
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
