"""What the webhook sink costs before the network: CPU time an event to map, build and compress.

    python benchmarks/webhook.py [JSONL]

Without a file it makes 20,000 events of all official types. Figures are the best of five rounds
over batches as the sink wants them, process time, decoding not included.
"""

from __future__ import annotations

import base64
import sys
import time
from pathlib import Path

from bridge.compression import compress_joined
from bridge.engine.heap import keep_small
from bridge.events import decode
from bridge.sinks import Batch
from bridge.testing import encode, make_event, samples
from bridge_webhook import WebhookSink, wire
from bridge_webhook.mapping import CloudEvents

COUNT, ROUNDS = 20_000, 5
CLOUDEVENTS = CloudEvents()
KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
TEMPLATE = {"who": {"$": "actor.id"}, "what": {"$": "eid"}, "where": {"$": "edata.pageid"}}


def corpus():
    if len(sys.argv) > 1:
        return [line for line in Path(sys.argv[1]).read_bytes().splitlines() if line]
    kinds = list(samples())
    return [
        encode(
            make_event(
                kinds[n % len(kinds)],
                {"context.did": f"{n % 997:040x}"},
                mid=f"{n * 2_654_435_761 % 2**64:032x}",
            )
        )
        for n in range(COUNT)
    ]


def batches(lines, limits):
    """Cut as the host does, by count and bytes; each batch is decoded anew, so nothing is cached."""
    found, size = [[]], 0
    for line in lines:
        if len(found[-1]) == limits.max_events or size + len(line) > limits.max_bytes:
            found, size = [*found, []], 0
        found[-1].append(decode(line))
        size += len(line)
    return found


def seconds(run, batched):
    start = time.process_time()
    for events in batched:
        run(events)
    return time.process_time() - start


def cost(lines, **config):
    sink = WebhookSink(WebhookSink.config_type(url="https://hooks.example/in", **config))

    def run(events):
        batch = Batch(sink.map_batch(events), events, "bench")
        for message in wire.messages(sink.config.body, batch, CLOUDEVENTS):
            wire.request_headers(sink.config, message, 1_700_000_000, None)
            if sink.config.compression == "gzip":
                compress_joined(message.parts)

    return min(seconds(run, batches(lines, sink.limits)) for _ in range(ROUNDS)) / len(lines) * 1e6


def main():
    keep_small()  # as in a process of pipelines
    lines = corpus()
    print(f"{len(lines):,} events, {sum(map(len, lines)) / len(lines):.0f} bytes on average\n")
    print(f"{'body':<20} {'compression':<12} {'signed':<7} us/event")
    for body, compression, signed in (
        ("batch", "none", False),
        ("batch", "gzip", False),
        ("batch", "gzip", True),
        ("cloudevents-batch", "none", False),
        ("cloudevents-batch", "gzip", True),
        ("raw", "none", False),
        ("raw", "none", True),
        ("template", "none", False),
    ):
        template = {"template": TEMPLATE} if body == "template" else {}
        spent = cost(lines, body=body, compression=compression, secrets=[KEY] * signed, **template)
        print(f"{body:<20} {compression:<12} {'yes' if signed else 'no':<7} {spent:8.2f}")


if __name__ == "__main__":
    main()
