"""A host in a few lines: reads its cursor, cuts by an unsteady clock, sends, commits. To be killed.

    python writer.py SETTINGS CURSOR TOTAL SEED

Positions are events; several writers may share one cursor file and believe it theirs.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

from bridge.errors import RecutError, TransientError
from bridge.events import decode
from bridge.sinks import Batch, Span
from bridge.testing import encode, make_event
from bridge_s3 import S3Config, S3Sink

NOON = 1_787_313_600_000
STREAM = "telemetry[0]"


def event_at(position):
    """The event at a position: the same in every process."""
    return decode(encode(make_event("INTERACT", {"mid": f"m-{position}", "syncts": NOON + position * 5_000})))


def send(sink, start, end):
    """Send one range, whatever it takes; returns where it really ended."""
    while True:
        events = [event_at(position) for position in range(start, end)]
        packs = sink.pack(events, sink.map_batch(events))
        try:
            sink.send(Batch(packs, (), "archive", 1, (Span(STREAM, start, end, end - start),)))
        except RecutError as error:
            end = error.end
        except TransientError:
            time.sleep(0.02)
        else:
            return end


def main():
    settings, cursor, total, seed = (
        json.loads(sys.argv[1]),
        Path(sys.argv[2]),
        int(sys.argv[3]),
        int(sys.argv[4]),
    )
    clock = random.Random(seed)
    with S3Sink(S3Config.model_validate(settings)) as sink:
        position = int(cursor.read_text())
        while position < total:
            time.sleep(clock.uniform(0, 0.2))
            position = send(sink, position, min(total, position + clock.randint(1, 60)))
            partial = cursor.with_suffix(f".{seed}")
            partial.write_text(str(position))
            partial.replace(cursor)


if __name__ == "__main__":
    main()
