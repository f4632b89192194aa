"""What plugin authors test with: events, a scripted destination, and the contracts every plugin keeps.

    from bridge.testing import HttpSinkContract

    class TestCollector(HttpSinkContract):
        sink_type = CollectorSink
        config = {"url": "{url}/events"}

The contracts need pytest and are imported when they are asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bridge.testing.destination import Destination, Fault, Reply, Request
from bridge.testing.events import ABSENT, encode, make_event, nasty, samples, unknown_samples
from bridge.testing.golden import Golden

if TYPE_CHECKING:
    from bridge.testing.http import HttpSinkContract
    from bridge.testing.journals import JournalContract
    from bridge.testing.mapping import MappingContract
    from bridge.testing.payloads import GoldenContract
    from bridge.testing.sending import SinkContract
    from bridge.testing.stages import StageContract

__all__ = [
    "ABSENT",
    "Destination",
    "Fault",
    "Golden",
    "GoldenContract",
    "HttpSinkContract",
    "JournalContract",
    "MappingContract",
    "Reply",
    "Request",
    "SinkContract",
    "StageContract",
    "encode",
    "make_event",
    "nasty",
    "samples",
    "unknown_samples",
]

_WITH_PYTEST = {
    "GoldenContract": "payloads",
    "HttpSinkContract": "http",
    "JournalContract": "journals",
    "MappingContract": "mapping",
    "SinkContract": "sending",
    "StageContract": "stages",
}


def __getattr__(name: str) -> Any:
    """Import what needs pytest when somebody asks for it."""
    if name not in _WITH_PYTEST:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"bridge.testing.{_WITH_PYTEST[name]}"), name)
