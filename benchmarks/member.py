"""One bridge, as configured, run to its end and measured: what `benchmarks.kafka` starts.

    python -m benchmarks.member CONFIG [--dead SINK] [--seconds N] [--processor N]

Prints one JSON line. CPU time and wall-clock time count from the first event that was read; memory is
looked at twenty times a second. The sink named by `--dead` is not waited for.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.host import Host
from bridge.engine.sharing import SharedDecoder
from bridge.engine.supervisor import Supervisor
from bridge.native import FOUND
from bridge.validation import Decoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.engine.seats import Seat
    from bridge.journals.base import Page
    from bridge.validation import Decoded

LOOK_EVERY = 0.05
ENDED = {"stopped", "failed"}


def memory() -> dict[str, int]:
    """Resident memory now, KiB: `RssAnon` is ours, `RssFile` are libraries; `VmHWM` is the peak of both."""
    lines = Path("/proc/self/status").read_text().splitlines()
    wanted = [line.split() for line in lines if line.startswith(("RssAnon", "RssFile", "VmHWM"))]
    return {words[0].rstrip(":"): int(words[1]) for words in wanted}


class Meter:
    """CPU time, wall-clock time and memory of this process while events flow."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._cpu = self._begun = 0.0
        self._anonymous = 0
        self._held = self._decoded = 0
        self._await_first_page()
        self._count_decodings()

    def _await_first_page(self) -> None:
        """Joining a group is not what is measured, and snapshots are a second old."""
        decode = SharedDecoder.decode

        def first(decoder: SharedDecoder, page: Page, seat: Seat | None = None) -> Decoded:
            self._begun, self._cpu = time.time(), time.process_time()
            SharedDecoder.decode = decode
            return decode(decoder, page, seat)

        SharedDecoder.decode = first

    def _count_decodings(self) -> None:
        """Neighbours share what one of them decodes: with any number of sinks it is to be once."""
        batch = Decoder.batch

        def counted(decoder: Decoder, payloads: Sequence[bytes]) -> Decoded:
            self._decoded += len(payloads)
            return batch(decoder, payloads)

        Decoder.batch = counted

    def look(self) -> None:
        """Note the largest memory."""
        snapshots = self._supervisor.snapshots()
        self._anonymous = max(self._anonymous, memory()["RssAnon"])
        self._held = max(self._held, sum(snapshot.held_bytes for snapshot in snapshots))

    def result(self) -> dict:
        """What was measured."""
        snapshots = self._supervisor.snapshots()
        return {
            "cpu": time.process_time() - self._cpu,
            "begun": self._begun,
            "ended": time.time(),
            "rss_mib": memory()["VmHWM"] // 1024,
            "anonymous_mib": self._anonymous // 1024,
            "held_mib": self._held // 1024**2,
            "decoded": self._decoded,
            "native": FOUND.module is not None,
            "conserved": all(snapshot.counts.conserved for snapshot in snapshots),
            "delivered": {s.pipeline: s.counts.delivered + s.counts.duplicate for s in snapshots},
            "failures": [str(failure) for _, failure in self._supervisor.failures()],
        }


def run(config: Path, dead: str, seconds: float) -> dict:
    """Run until every pipeline but the dead one has settled the journal, for so long at most."""
    host = Host.load(config)
    with host.open_state() as state:
        supervisor = Supervisor(host.settings, host.registry, state, host.plugins.notify, until_idle=True)
        meter = Meter(supervisor)
        supervisor.start()
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            meter.look()
            if all(s.state in ENDED or s.pipeline == dead for s in supervisor.snapshots()):
                break
            time.sleep(LOOK_EVERY)
        measured = meter.result()
        supervisor.stop()
        if not dead:
            supervisor.join(30)
    return measured


def main() -> None:
    """Measure one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--dead", default="", help="a sink whose destination never answers")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--processor", type=int, help="the only one this process may use")
    chosen = parser.parse_args()
    if chosen.processor is not None:
        os.sched_setaffinity(0, {chosen.processor})
    print(json.dumps(run(chosen.config, chosen.dead, chosen.seconds)), flush=True)
    os._exit(0)  # a sender may wait for a dead destination


if __name__ == "__main__":
    main()
