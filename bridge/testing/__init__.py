"""What plugin authors test with: telemetry events of every kind, ordinary and hostile."""

from __future__ import annotations

from bridge.testing.events import ABSENT, encode, make_event, nasty, samples, unknown_samples

__all__ = ["ABSENT", "encode", "make_event", "nasty", "samples", "unknown_samples"]
