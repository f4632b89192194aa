"""PostHog: Sunbird telemetry as first-class PostHog events.

    events ─► mapping (what it means) ─► wire (its bytes) ─► sink (the only I/O) ─► PostHog

What it means: `vocabulary` (the tables of names), `rules`, `converters` and `forms` (how a table
is applied), `tokens` (telemetry's values made safe), `naming` (event names and PostHog's own
properties), `people` (who), `moments` (when), `ids` (uuids and sessions), `settings` and
`surroundings` (what neighbouring events share), `denormalised` (Sunbird's additions). Its bytes:
`wire` (requests) and `answers`, for capture's two protocols, V0 and V1. `sdk` is the other
transport.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.hookspecs import hookimpl
from bridge_posthog.sink import PostHogSink

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PostHogSink", "bridge_sinks"]


@hookimpl
def bridge_sinks() -> Sequence[type[PostHogSink]]:
    """Offer the sink `type = "posthog"`."""
    return [PostHogSink]
