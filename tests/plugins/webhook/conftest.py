"""A webhook sink against a scripted receiver on loopback."""

from __future__ import annotations

import base64
import importlib.util
from contextlib import ExitStack
from pathlib import Path

import pytest

from bridge.events import decode
from bridge.sinks import Batch
from bridge.testing import encode, make_event
from bridge_webhook import WebhookSink

_place = Path(__file__).parents[2] / "bridge" / "http" / "conftest.py"
_spec = importlib.util.spec_from_file_location("http_conftest", _place)
_http = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_http)
serve, answer, connects, authority = _http.serve, _http.answer, _http.connects, _http.authority

NOW = 1_767_605_402.25


@pytest.fixture
def secret():
    """A signing secret made of one letter."""
    return lambda letter="k": "whsec_" + base64.b64encode(letter.encode() * 32).decode()


@pytest.fixture
def configure():
    """A sink that is not open."""

    def make(url="https://hooks.example/in", *, clock=lambda: NOW, **config):
        where = {"secret_url" if url.startswith(("env:", "file:")) else "url": url}
        return WebhookSink(WebhookSink.config_type.model_validate({**where, **config}), clock=clock)

    return make


@pytest.fixture
def connect(configure):
    """An open sink for a scripted server; it is closed with the test."""
    with ExitStack() as stack:

        def open_sink(server, path="/in", **config):
            declared = {"allow_http": True, "allow_networks": ["127.0.0.0/8"], "ports": [server.port]}
            return stack.enter_context(configure(server.url + path, **{**declared, **config}))

        yield open_sink


@pytest.fixture
def event():
    """Decoded events, made by eid and changes."""
    return lambda *args, **changes: decode(encode(make_event(*args, **changes)))


@pytest.fixture
def events(event):
    """Different events in a row."""
    return lambda count: [event("INTERACT", mid=f"m-{number}") for number in range(count)]


@pytest.fixture
def batch():
    """What the host would send for these events."""
    return lambda sink, events, attempt=1: Batch(sink.map_batch(events), events, "hook", attempt)


@pytest.fixture
def send(batch, events):
    """Send so many events."""
    return lambda sink, count=1: sink.send(batch(sink, events(count)))
