"""Elasticsearch and OpenSearch: telemetry as documents, written with `_bulk`.

config      what operators write
naming      record time and route → index name            pure
mapping     event → document; batch → the lines of a request   pure
wire        bulk request and answer; verdicts: item → outcome   pure
auth, sigv4 how a request proves who sends it              pure
templates   index template and retention policy            pure
dashboards  importable saved objects                       pure
aside       what went to the failure store: counted, and told
sink        the only module that talks to the network
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge.hookspecs import hookimpl
from bridge_elasticsearch.sink import ElasticsearchSink

if TYPE_CHECKING:
    from bridge.sinks import Sink

__all__ = ["ElasticsearchSink", "bridge_sinks"]


@hookimpl
def bridge_sinks() -> list[type[Sink[Any, Any]]]:
    """Offer the one sink of this plugin."""
    return [ElasticsearchSink]
