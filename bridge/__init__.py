"""Sunbird Bridge: forwards Sunbird telemetry from a journal to sinks.

These are the names a plugin builds on; together with `bridge.errors`, `bridge.events`,
`bridge.sinks`, `bridge.stages.base`, `bridge.hookspecs`, `bridge.http`, `bridge.secrets`,
`bridge.paths`, `bridge.compression`, `bridge.journals.base`, `bridge.journals.cursors` and `bridge.testing`
they are the public surface that semantic versioning covers.
"""

from bridge.errors import EventError
from bridge.events import Event
from bridge.hookspecs import hookimpl
from bridge.journals.base import Journal, JournalConfig, Page, Reader
from bridge.registry import API_VERSION
from bridge.reports import BatchReport, RunInfo
from bridge.secrets import Secret
from bridge.sinks import (
    DELIVERED,
    DUPLICATE,
    Batch,
    BatchLimits,
    Delivered,
    ObjectSink,
    Outcome,
    Pack,
    Reject,
    Retry,
    Sink,
    SinkConfig,
    Span,
)
from bridge.stages.base import Stage, StageConfig

__all__ = [
    "API_VERSION",
    "DELIVERED",
    "DUPLICATE",
    "Batch",
    "BatchLimits",
    "BatchReport",
    "Delivered",
    "Event",
    "EventError",
    "Journal",
    "JournalConfig",
    "ObjectSink",
    "Outcome",
    "Pack",
    "Page",
    "Reader",
    "Reject",
    "Retry",
    "RunInfo",
    "Secret",
    "Sink",
    "SinkConfig",
    "Span",
    "Stage",
    "StageConfig",
    "hookimpl",
]
