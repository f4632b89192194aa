"""A process of its own: one pipeline on Kafka whose sink writes a line per event to a file.

    python member.py BROKERS TOPIC GROUP_PROTOCOL OUT FAULTS [until-idle] [delay=SECONDS] [OPTION=VALUE …]

Tests start and kill it. FAULTS is the share of requests that fail, half
of them after the events were written, as an answer that got lost. A request takes `delay`
seconds at most after the events were written.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from bridge.deadletters import SqliteDeadLetters
from bridge.engine.assembly import Parts, sink_pipeline
from bridge.engine.sharing import SharedDecoder
from bridge.errors import TransientError
from bridge.journals.base import JournalContext
from bridge.journals.kafka import KafkaJournal, KafkaJournalConfig
from bridge.settings import RetrySettings, SinkSettings
from bridge.sinks import DELIVERED, BatchLimits, Sink, SinkConfig
from bridge.state import State
from bridge.validation import Decoder, Level


class FileSink(Sink):
    """Appends each event's bytes and a newline."""

    name = "lines"
    limits = BatchLimits(max_events=50, max_age=0.05)

    def __init__(self, path, faults, delay):
        super().__init__(SinkConfig())
        self._path, self._faults, self._delay = path, faults, delay

    def map(self, event):
        return event.raw

    def send(self, batch):
        chance = random.random()
        if chance < self._faults / 2:
            raise TransientError("refused")
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # A kill may cut a write short; the next one then begins a line of its own.
            os.write(handle, b"".join(b"\n" + payload for payload in batch.payloads))
        finally:
            os.close(handle)
        time.sleep(self._delay * random.random())
        if chance < self._faults:
            raise TransientError("the answer was lost")
        return batch.all(DELIVERED)


def main(brokers, topic, protocol, out, faults, *mode):
    options = dict(word.split("=") for word in mode if "=" in word)
    delay = float(options.pop("delay", 0.0))
    config = KafkaJournalConfig(brokers=[brokers], topics=[topic], group_protocol=protocol, options=options)
    folder = Path(f"{out}.{os.getpid()}")
    with State(folder / "bridge.db") as state:
        journal = KafkaJournal(config, JournalContext(state, topic, ("rejects", "x")))
        settings = SimpleNamespace(shutdown=SimpleNamespace(grace=5.0))
        decoder = SharedDecoder(Decoder(Level.ENVELOPE))
        parts = Parts(
            settings,
            decoder,
            SqliteDeadLetters(state),
            lambda *_, **__: None,
            until_idle="until-idle" in mode,
        )
        sink = FileSink(out, float(faults), delay)
        keys = SinkSettings(id="x", type="lines", config=sink.config, retry=RetrySettings(min=0.01, max=0.05))
        pipeline = sink_pipeline(
            parts, sink, keys, "test", lambda wake: journal.reader("x", "earliest", wake)
        )
        signal.signal(signal.SIGTERM, lambda *_: pipeline.stop())
        pipeline.run()
        counts = pipeline.snapshot.counts
        print(counts.read, counts.delivered, counts.conserved, flush=True)  # noqa: T201 - for the test
    sys.exit(1 if pipeline.failure else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
