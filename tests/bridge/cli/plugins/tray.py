"""A sink for tests: writes events to a file, slowly, refusing or failing as it is told."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from bridge import (
    DELIVERED,
    BatchLimits,
    EventError,
    ObjectSink,
    Pack,
    Reject,
    Secret,
    Sink,
    SinkConfig,
    hookimpl,
)
from bridge.errors import SetupError


class TrayConfig(SinkConfig):
    path: str = Field(description="File that delivered events are appended to.")
    refuse: tuple[str, ...] = Field(default=(), description="Event types that are rejected.")
    poison: tuple[str, ...] = Field(default=(), description="Event types that cannot be mapped.")
    decline: tuple[str, ...] = Field(default=(), description="Event types that are of no use.")
    delay: float = Field(default=0.0, description="Seconds each send takes.")
    key: Secret | None = Field(default=None, description="What opens the destination.")
    closed: bool = Field(default=False, description="Whether the destination lets nobody in.")


class Tray(Sink[TrayConfig, bytes]):
    name = "tray"
    config_type = TrayConfig
    limits = BatchLimits(max_events=10, max_age=0.2)
    max_in_flight: ClassVar[int] = 2
    lock: ClassVar[threading.Lock] = threading.Lock()

    def map(self, event):
        if event.eid in self.config.poison:
            raise EventError("poison", "this cannot be said here", "$.eid")
        return None if event.eid in self.config.decline else event.raw

    def send(self, batch):
        if self.config.closed:
            raise SetupError("HTTP 401: nobody is let in")
        time.sleep(self.config.delay)
        outcomes = [
            Reject("refused", f"{event.eid} is not welcome") if event.eid in self.config.refuse else DELIVERED
            for event in batch.events
        ]
        lines = [p + b"\n" for p, o in zip(batch.payloads, outcomes, strict=True) if o is DELIVERED]
        with self.lock, Path(self.config.path).open("ab") as file:
            file.write(b"".join(lines))
        return outcomes

    def check(self):
        if self.config.closed:
            raise SetupError("HTTP 401: nobody is let in")
        return f"writes to {Path(self.config.path).name}"

    def setup(self):
        return "made a tray"


class Crate(ObjectSink[TrayConfig]):
    """Breaks its pipeline: packing is the one step where an exception is nobody's event's fault."""

    name = "crate"
    config_type = TrayConfig

    def map(self, event):
        return event.raw

    def pack(self, events, lines):
        if self.config.closed:
            raise RuntimeError("the lid is nailed down")
        return [Pack("", len(events), b"\n".join(lines) + b"\n")]

    def send(self, batch):
        span = batch.spans[0]
        name = f"{span.stream}.{span.start}-{span.end}"
        place = Path(self.config.path) / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"".join(pack.data for pack in batch.payloads))
        return batch.all(DELIVERED)


@hookimpl
def bridge_sinks():
    return [Tray, Crate]
