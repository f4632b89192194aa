"""What the real clients were heard to send is answered today as it was then, and their events are kept.

The cassettes were recorded from the SDK in Node.js and Chromium by tests/real/sdk/test_sdk_cassettes.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import vcr
from vcr.cassette import Cassette

from bridge.intake.auth import digest

CASSETTES = sorted(Path(__file__).with_name("cassettes").glob("*.yaml"))
KEY = "sdk-test-key-0123456789abcdefghijklmnop"
PORTAL = "http://portal.test"
OWN = {"x-request-id", "connection", "content-length", "date"}


def load(path):
    cassette = Cassette.load(path=str(path), record_mode=vcr.mode.NONE)
    return list(zip(cassette.requests, cassette.responses, strict=True))


def steady(headers):
    flat = {name.lower(): value if isinstance(value, str) else value[0] for name, value in headers.items()}
    return {name: value for name, value in flat.items() if name not in OWN}


@pytest.mark.parametrize("path", CASSETTES, ids=lambda path: path.stem)
def test_a_real_client_gets_the_answers_it_got(serve, path):
    running = serve(keys={"sdk": {"sha256": digest(KEY), "channels": ["in.test"]}}, cors_origins=[PORTAL])
    sent = []
    for request, response in load(path):
        headers = {name.lower(): str(value) for name, value in request.headers.items()}
        answer = running.send(request.body or b"", request.path, request.method, **headers)
        assert answer.status == response["status"]["code"]
        assert steady(answer.headers) == steady(response["headers"])
        if answer.body:
            recorded = json.loads(response["body"]["string"])
            assert answer.json | {"ets": 0} == recorded | {"ets": 0}
            sent += json.loads(request.body)["events"]
    assert len(sent) == 12
    kept = [json.loads(row) for row in running.rows()]
    assert [{**event, "syncts": 0, "@timestamp": ""} for event in sent] == [
        {**event, "syncts": 0, "@timestamp": ""} for event in kept
    ]
    assert running.dead() == []


def test_there_are_cassettes_of_every_client():
    assert [path.stem for path in CASSETTES] == ["browser-1", "browser-2", "node-1", "node-2"]
