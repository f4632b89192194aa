"""The description that the intake serves is one, and what it says is what the intake does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks

from bridge.configuration.intake import HttpIntakeSettings
from bridge.intake.auth import digest
from bridge.intake.http_openapi import REFUSALS, description

KEY = "k" * 32
load_all_checks()


bounded = settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("keys", [{}, {"portal": {"sha256": digest(KEY)}}])
def test_every_answer_is_one_that_the_description_knows(serve, mode, keys, monkeypatch):
    monkeypatch.setattr("bridge.intake.http_service.GUESSES", 10**6)
    running = serve(keys=keys, limits={"rate": 0}, paths=["/v1/telemetry"])
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{running.port}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert [found.method for found in operations] == ["post", "get"]  # the description itself is left out
    headers = {"Authorization": f"Bearer {KEY}"} if keys else {}
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and operation.method == "get":
            continue  # it takes nothing that could be wrong

        @bounded
        @given(operation.as_strategy(generation_mode=mode))
        def check(case):
            case.call_and_validate(headers=headers)

        check()
    assert running.get("/health").status == 200


def test_it_is_openapi(serve):
    running = serve(paths=["/a", "/b"])
    answer = running.get("/openapi.json")
    assert answer.headers["content-type"].startswith("application/json")
    OpenAPIV31SpecValidator(answer.json).validate()
    assert list(answer.json["paths"]) == ["/a", "/b", "/health", "/openapi.json"]


def test_its_example_is_a_batch_that_is_taken(serve):
    running = serve()
    operation = running.get("/openapi.json").json["paths"]["/v1/telemetry"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    assert running.send(json.dumps(example).encode()).status == 200
    assert len(running.rows()) == 1


def test_it_asks_for_keys_where_the_intake_does():
    guarded = HttpIntakeSettings.model_validate({"keys": {"portal": {"sha256": digest(KEY)}}})
    assert json.loads(description(guarded))["paths"]["/v1/telemetry"]["post"]["security"]
    plain = json.loads(description(HttpIntakeSettings()))
    assert "security" not in plain["paths"]["/v1/telemetry"]["post"]
    assert "securitySchemes" not in plain["components"]


def test_the_documentation_knows_every_answer():
    page = (Path(__file__).parents[4] / "docs" / "intake.md").read_text()
    rows = re.findall(r"^\| (\d{3}(?:, ?\d{3})*) \|", page, re.MULTILINE)
    assert {"200", "204", *REFUSALS} == {status.strip() for row in rows for status in row.split(",")}
