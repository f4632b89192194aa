"""An event in the terms of the Elastic Common Schema; the event itself goes under `sunbird`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.events import Event

__all__ = ["ECS_VERSION", "head"]

ECS_VERSION = "8.11.0"
LAST_MOMENT = 1e15
"""Milliseconds beyond which no date field can read a number."""

_VERSION = {"version": ECS_VERSION}


def head(event: Event, time: str) -> dict[str, Any]:
    """Return the ECS fields of an event whose record time is `time` (ISO 8601); blank ones are left out.

    `user.id` is there only if the actor is a user: services and devices act in telemetry too.
    """
    context, actor = event.context, event.actor
    fields: dict[str, Any] = {"@timestamp": time, "ecs": _VERSION, "event": _occurrence(event)}
    if actor.id and actor.type.lower() == "user":
        fields["user"] = {"id": actor.id}
    if context.channel:
        fields["organization"] = {"id": context.channel}
    if context.did:
        fields["device"] = {"id": context.did}
    service = _service(event)
    if service:
        fields["service"] = service
    agent = _user_agent(event)
    if agent:
        fields["user_agent"] = {"original": agent}
    if context.env:
        fields["labels"] = {"env": context.env}
    return fields


def _occurrence(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = {
        "kind": "event",
        "dataset": "sunbird.telemetry",
        "action": event.eid.lower(),
        "id": event.mid,
    }
    syncts = event.syncts
    if type(syncts) in {int, float} and abs(syncts) < LAST_MOMENT:
        found["created"] = int(syncts)
    return found


def _service(event: Event) -> dict[str, Any]:
    producer = event.context.pdata
    found: dict[str, Any] = {}
    if producer.id:
        found["name"] = producer.id
    if producer.ver:
        found["version"] = producer.ver
    if producer.pid:
        found["node"] = {"name": producer.pid}
    return found


def _user_agent(event: Event) -> str | None:
    """The browser's own words: `uaspec.raw` of a START event, `userAgent` of DIGIT's."""
    if b'"uaspec"' not in event.raw and b'"userAgent"' not in event.raw:
        return None  # decoding edata costs more than all the rest
    edata = event.edata
    specification = edata.get("uaspec")
    found = specification.get("raw") if isinstance(specification, dict) else None
    found = found or edata.get("userAgent")
    return found if isinstance(found, str) else None
