"""Webhooks: telemetry posted to any HTTP receiver, signed as Standard Webhooks asks.

config    what operators write
template  JSON built around values of an event             pure
mapping   event → CloudEvent                               pure
signing   message ids and signatures                       pure
wire      bodies, headers; answer → outcome                pure
lanes     order by key: a batch as lanes, their answers    pure
sink      the only module that talks to the network
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge.hookspecs import hookimpl
from bridge_webhook.sink import WebhookSink

if TYPE_CHECKING:
    from bridge.sinks import Sink

__all__ = ["WebhookSink", "bridge_sinks"]


@hookimpl
def bridge_sinks() -> list[type[Sink[Any, Any]]]:
    """Offer the one sink of this plugin."""
    return [WebhookSink]
