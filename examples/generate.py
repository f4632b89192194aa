"""Write realistic Sunbird telemetry: always the same events for the same arguments.

    python examples/generate.py --events 5000 --seed 7 --out sample.jsonl
    python examples/generate.py --events 500000 --clean --out - | gzip > load.jsonl.gz
    python examples/generate.py --events 2000 --format batches --out batches.jsonl

About two in a hundred events are invalid, two more are exact duplicates, and some arrive days
late or from a clock that is ahead; `--clean` leaves out the invalid, the repeated and the types
without an official schema. Writing to a file prints exact counts, as JSON, to stderr.
Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

# Benchmarks and tests load this file by its path, from wherever they run.
if (_HERE := str(Path(__file__).resolve().parent)) not in sys.path:
    sys.path.append(_HERE)

from typing import TYPE_CHECKING

from sample_telemetry.manifest import Manifest
from sample_telemetry.stream import Traffic, Upload

if TYPE_CHECKING:
    from collections.abc import Iterator

START = "2026-01-05T04:30:00Z"
NOT_JSON = "not JSON"


def generate(
    events: int, seed: int, start_ms: int, clean: bool = False, manifest: Manifest | None = None
) -> Iterator[bytes]:
    """Yield `events` lines, one event each, as they lie in a raw topic; counts them in `manifest`.

    `start_ms` is the wall clock at the beginning, in ms since the epoch.
    """
    traffic = Traffic(seed, start_ms, clean=clean, stamped=True)
    for upload in _first(events, traffic, manifest or Manifest()):
        for record in upload.records:
            yield record.line


def batches(
    events: int, seed: int, start_ms: int, clean: bool = False, manifest: Manifest | None = None
) -> Iterator[bytes]:
    """Yield the same events in the envelopes of up to 20 that SDKs post, one envelope a line.

    An event that is not JSON would spoil its whole envelope and has a line of its own.
    """
    traffic = Traffic(seed, start_ms, clean=clean, stamped=False)
    for upload in _first(events, traffic, manifest or Manifest()):
        yield from (record.line for record in upload.records if record.fault == NOT_JSON)
        lines = [record.line for record in upload.records if record.fault != NOT_JSON]
        if lines:
            yield _envelope(upload, lines)


def _first(events: int, traffic: Traffic, manifest: Manifest) -> Iterator[Upload]:
    """Cut the endless traffic after so many events, and count what is left."""
    for upload in traffic:
        records = upload.records[: events - manifest.events]
        for record in records:
            manifest.count(record)
        if records:
            yield upload._replace(records=records)
        if manifest.events >= events:
            return


def _envelope(upload: Upload, lines: list[bytes]) -> bytes:
    params = {"msgid": upload.msgid, "did": upload.did, "key": "", "requesterId": ""}
    head = {"id": "api.sunbird.telemetry", "ver": "3.0", "ets": upload.at, "params": params}
    return json.dumps(head, separators=(",", ":")).encode()[:-1] + b',"events":[' + b",".join(lines) + b"]}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--events", type=int, default=5000, help="how many events")
    parser.add_argument("--seed", type=int, default=7, help="another seed gives other events")
    parser.add_argument("--start", default=START, help="when it begins: ISO 8601, or ms since the epoch")
    parser.add_argument("--format", choices=("jsonl", "batches"), default="jsonl", help="events or envelopes")
    parser.add_argument("--clean", action="store_true", help="only valid events, each of them once")
    parser.add_argument("--out", default="-", help="file to write, - for stdout")
    return parser.parse_args()


def _milliseconds(text: str) -> int:
    """Read a time: digits are ms since the epoch; without an offset it is UTC."""
    if text.isdigit():
        return int(text)
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _print(lines: Iterator[bytes]) -> int:
    """Write to stdout until all is written, or until the reader has had enough (`| head`)."""
    try:
        sys.stdout.buffer.writelines(line + b"\n" for line in lines)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def main() -> int:
    """Run the command line; returns the exit code."""
    arguments = _arguments()
    manifest = Manifest()
    make = batches if arguments.format == "batches" else generate
    start_ms = _milliseconds(arguments.start)
    lines = make(arguments.events, arguments.seed, start_ms, clean=arguments.clean, manifest=manifest)
    if arguments.out == "-":
        return _print(lines)
    with Path(arguments.out).open("wb") as out:
        out.writelines(line + b"\n" for line in lines)
    print(json.dumps(manifest.summary(), indent=2), file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
