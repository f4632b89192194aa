"""Stages made from what an operator would write, and events from the real samples."""

from __future__ import annotations

import pytest

from bridge.events import Decoder, Level
from bridge.stages.enrich import EnrichConfig, EnrichStage
from bridge.stages.flatten import FlattenConfig, FlattenStage
from bridge.stages.redact import RedactStage
from bridge.stages.redact_config import RedactConfig

KEY = "a key that only this test knows"


@pytest.fixture(scope="session")
def redact():
    """`redact({"paths": …, "action": …}, …)` gives the stage with these rules."""

    def make(*rules, **keys):
        return RedactStage(RedactConfig.model_validate({"rules": list(rules), "key": KEY, **keys}))

    return make


@pytest.fixture(scope="session")
def flatten():
    def make(**keys):
        return FlattenStage(FlattenConfig(**keys))

    return make


@pytest.fixture
def enrich():
    """`enrich(…)` gives the stage, entered."""
    stages = []

    def make(**keys):
        stages.append(EnrichStage(EnrichConfig.model_validate(keys)).__enter__())
        return stages[-1]

    yield make
    for stage in stages:
        stage.__exit__(None, None, None)


@pytest.fixture(scope="session")
def real_events(shared):
    """Every event of the samples that level `envelope` takes."""
    files = sorted((shared / "sunbird/samples").rglob("*.json*"))
    lines = [line for path in files for line in path.read_bytes().splitlines()]
    found = Decoder(Level.ENVELOPE).batch(lines).events
    assert len(found) > 800
    return found
