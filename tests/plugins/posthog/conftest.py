"""Fixtures of the PostHog tests: events, configurations, and a strict capture on loopback."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bridge.events import decode
from bridge.sinks import Batch
from bridge.testing import encode, make_event
from bridge_posthog import PostHogSink
from bridge_posthog.config import PostHogConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from bridge.events import Event

HERE = Path(__file__).parent
KEY = "phc_" + "t" * 43
NOW = 1_767_700_000.0


def _load(name: str) -> ModuleType:
    """Load a helper of this folder under a name of its own, once."""
    full = f"posthog_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, HERE / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]


_load("capture_rules")
_load("capture_server")
_load("neighbours")


@pytest.fixture(scope="session")
def rules() -> ModuleType:
    """The pure rules of capture."""
    return _load("capture_rules")


@pytest.fixture(scope="session")
def server_module() -> ModuleType:
    """The server around them, with its faults."""
    return _load("capture_server")


@pytest.fixture
def capture(server_module) -> Iterator[Any]:
    """A strict capture on loopback, speaking both protocols."""
    with server_module.running() as capture:
        yield capture


@pytest.fixture
def event() -> Callable[..., Event]:
    """Make a decoded event: `event("START", {"edata.type": "app"}, mid="m-1")`."""

    def make(eid: str = "INTERACT", changes: dict[str, Any] | None = None, /, **overrides: Any) -> Event:
        return decode(encode(make_event(eid, changes, **overrides)))

    return make


@pytest.fixture
def make_sink() -> Callable[..., PostHogSink]:
    """Make a sink that is not entered: `make_sink(properties="raw")`; its clock stands still."""

    def make(**options: Any) -> PostHogSink:
        return PostHogSink(PostHogConfig(**{"api_key": KEY, **options}), clock=lambda: NOW)

    return make


@pytest.fixture
def posthog(make_sink) -> Callable[..., dict[str, Any]]:
    """Map an event and decode the PostHog event: `posthog(event, capture_mode="v0")`."""

    def mapped(event: Event, **options: Any) -> dict[str, Any]:
        payload = make_sink(**{"capture_mode": "v0", **options}).map(event)
        return json.loads(payload.split(b"\n")[0])

    return mapped


@pytest.fixture
def batch_of() -> Callable[..., Batch[bytes]]:
    """Map events with a sink and make a batch of their payloads."""

    def batch(sink: PostHogSink, events: list[Event], attempt: int = 1) -> Batch[bytes]:
        return Batch([sink.map(event) for event in events], events, "product", attempt)

    return batch
