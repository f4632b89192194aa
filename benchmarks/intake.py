"""The HTTP intake with a durable journal under load: events a second, latency, CPU an event.

    python -m benchmarks.intake [--seconds 10] [--gzip]

The server runs in a process of its own, without pipelines; the load comes from wrk, one thread,
50 connections, every batch another one. `cpu_us` is the server's CPU time for one event.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.flow import ROOT, sample
from bridge.configuration.intake import HttpIntakeSettings
from bridge.deadletters import SqliteDeadLetters
from bridge.engine.supervisor import GC_THRESHOLDS
from bridge.intake.http import HttpIntake
from bridge.intake.http_imported import Imported
from bridge.intake.ledger import Ledger
from bridge.journals.base import JournalContext
from bridge.journals.sqlite import SqliteJournal, SqliteJournalConfig
from bridge.state import State
from bridge.validation import Decoder

CASES = ((20, 50), (200, 16), (1000, 8))
# What differs from batch to batch is the id, so plain batches are made in Lua; gzip ones beforehand.
PLAIN = """
local head = [==[{"id":"api.sunbird.telemetry","ver":"3.0","params":{"msgid":"]==]
local tail = [==["},"ets":1,"events":%s}]==]
local n, seed = 0, tostring(%d)
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request() n = n + 1; return wrk.format(nil, "/v1/telemetry", nil, head .. seed .. n .. tail) end
"""
GZIP = """
local file = io.open("%s", "rb"); local all = file:read("*a"); file:close()
local bodies, place, n = {}, 1, 0
while place <= #all do
  local size = tonumber(all:sub(place, place + 7)); bodies[#bodies + 1] = all:sub(place + 8, place + 7 + size)
  place = place + 8 + size
end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Content-Encoding"] = "gzip"
function request() n = n %% #bodies + 1; return wrk.format(nil, "/v1/telemetry", nil, bodies[n]) end
"""
LATENCY = re.compile(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s)$", re.MULTILINE)
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def serve(folder: Path, window: int) -> None:
    """Print the address, take events until told to stop, print what it cost.

    `window` is how many batches are remembered: 0 where the load repeats its own.
    """
    with State(folder / "s.db") as state:
        journal = SqliteJournal(
            SqliteJournalConfig(max_bytes=64 * 1024**3), JournalContext(state, "bench", ())
        )
        settings = HttpIntakeSettings(enabled=True, port=0, idempotency_window=window)
        imported = Imported(Ledger(state), Decoder())
        intake = HttpIntake(settings, journal, SqliteDeadLetters(state, 0), imported)
        intake.start()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        stopped = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stopped.set())
        print(intake.url, flush=True)
        cpu = time.process_time()
        stopped.wait()
        cpu = time.process_time() - cpu
        intake.close()
        events = max(1, intake.tally.events)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        refused = sum(intake.tally.answers.values())
        print(
            json.dumps(
                {
                    "events": events,
                    "cpu_us": round(cpu / events * 1e6, 2),
                    "rss_mib": peak,
                    "refused": refused,
                }
            )
        )


def script(events: int, folder: Path, *, compressed: bool) -> Path:
    """The load as wrk takes it."""
    with sample(300_000).open("rb") as lines:
        batch = b"[" + b",".join(line.strip() for _, line in zip(range(events), lines, strict=False)) + b"]"
    place = folder / "load.lua"
    if compressed:
        bodies = folder / "bodies"
        with bodies.open("wb") as file:
            for number in range(200):
                body = gzip.compress(b'{"params":{"msgid":"%d"},"events":%b}' % (number, batch), 6)
                file.write(b"%08d" % len(body) + body)
        place.write_text(GZIP % bodies)
    else:
        place.write_text(PLAIN % (batch.decode(), time.time_ns()))
    return place


def run(events: int, connections: int, seconds: int, *, compressed: bool) -> dict:
    """One case: a new server, `seconds` of load."""
    cache = ROOT / ".cache" / "bench"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        folder = Path(scratch)
        load = script(events, folder, compressed=compressed)
        command = [sys.executable, "-m", "benchmarks.intake", "--serve", scratch]
        command += ["--gzip"] if compressed else []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
            url = server.stdout.readline().strip()
            began = time.perf_counter()
            wrk = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(load), url]
            told = subprocess.run(wrk, capture_output=True, text=True, check=True).stdout
            elapsed = time.perf_counter() - began
            server.terminate()
            cost = json.loads(server.communicate()[0])
    latency = {
        f"p{rank}_ms": round(float(n) * MILLISECONDS[unit], 1) for rank, n, unit in LATENCY.findall(told)
    }
    return {
        "events_per_request": events,
        "connections": connections,
        "gzip": compressed,
        "events_per_second": round(cost["events"] / elapsed),
        **latency,
        **cost,
    }


def main() -> None:
    """Print one JSON line a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--gzip", action="store_true", help="send compressed batches")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(chosen.serve, 0 if chosen.gzip else 10_000)
        return
    if not shutil.which("wrk"):
        sys.exit("wrk is needed: apt-get install wrk")
    for events, connections in CASES:
        print(json.dumps(run(events, connections, chosen.seconds, compressed=chosen.gzip)), flush=True)


if __name__ == "__main__":
    main()
