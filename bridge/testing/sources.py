"""Who sends the example events: an app, its player, a portal, a service and an analytics job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

__all__ = ["APP", "CHANNEL", "JOB", "PHONE", "PLAYER", "PORTAL", "SERVICE", "Json", "Source"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """One sender of telemetry: its `actor`, its `context`, and how it writes message ids."""

    actor: Json
    context: Json
    mid: str = "{uuid}"


CHANNEL = "0137541295034613760"
_LEARNER = "7d0c5a1e-3b52-4a7e-9f0a-52c1b7e4d9a6"
PHONE = "5f1c0b9ad8e74263b1a09c8d7e6f5a4b3c2d1e0f"
_ROLLUP = {"l1": CHANNEL}

APP: Final = Source(
    actor={"id": _LEARNER, "type": "User"},
    context={
        "channel": CHANNEL,
        "pdata": {"id": "prod.pathshala.app", "pid": "sunbird.app", "ver": "6.0.512", "platform": "Android"},
        "env": "home",
        "sid": "b0f6c1de-7c14-4a51-8a6b-0d9e3f2a1c77",
        "did": PHONE,
        "cdata": [{"type": "Tabs", "id": "Course-Discovery"}],
        "rollup": _ROLLUP,
    },
)
PLAYER: Final = Source(
    actor=APP.actor,
    context={
        **APP.context,
        "pdata": {**APP.context["pdata"], "pid": "sunbird.app.contentplayer"},
        "env": "contentplayer",
        "cdata": [
            {"type": "ContentSession", "id": "c3d0f7b2a9814e5d"},
            {"type": "PlaySession", "id": "91be4a6cf0d34827"},
            {"type": "AttemptId", "id": "4e0f9a37d1c24b58"},
        ],
    },
)
PORTAL: Final = Source(
    actor={"id": "f:5a8a3f2b-3409-42e0-9001-f913bc0fde31:1184", "type": "User"},
    context={
        "channel": CHANNEL,
        "pdata": {"id": "prod.pathshala.portal", "pid": "sunbird-portal", "ver": "5.3.0"},
        "env": "explore",
        "sid": "2f9a6c1b-74d3-41e8-b5a2-6e0c8d7f1a34",
        "did": "c9f0e1d2b3a495867a6b5c4d3e2f1a0b",
        "cdata": [{"type": "UserSession", "id": "e81d4c2a"}],
        "rollup": _ROLLUP,
    },
    mid="{eid}:{uuid.hex}",
)
SERVICE: Final = Source(
    actor={"id": "internal", "type": "Consumer"},
    context={
        "channel": CHANNEL,
        "pdata": {"id": "prod.pathshala.learning.service", "pid": "content-service", "ver": "5.1.2"},
        "env": "content",
        "did": "content-service-6d5f7c9b8-x2x9k",
        "cdata": [{"type": "Request", "id": "0a4d7e92-5c31-4f0b-8d26-b7e19c3f5a80"}],
        "rollup": _ROLLUP,
    },
    mid="LP.1767605400000.{uuid}",
)
JOB: Final = Source(
    actor={"id": "", "type": "System"},
    context={
        "channel": "in.pathshala",
        "pdata": {"id": "AnalyticsDataPipeline", "pid": "WorkflowSummaryModel", "ver": "1.0"},
        "env": "analytics",
    },
)
