"""The capture server of these tests gives PostHog's own verdicts."""

from __future__ import annotations

import base64
import json

HEADERS = {
    "authorization": "Bearer phc_test_token_123",
    "content-type": "application/json",
    "user-agent": "test/1",
    "posthog-sdk-info": "test/1",
    "posthog-attempt": "1",
    "posthog-request-id": "0190a1b2-0000-7000-8000-00000000000a",
    "posthog-request-timestamp": "2026-11-20T10:00:01Z",
}


def test_every_recorded_body_gets_the_recorded_verdict(shared, rules):
    lines = (shared / "posthog" / "capture_accept_reject.jsonl").read_text().splitlines()
    assert len(lines) > 100
    wrong = []
    for case in map(json.loads, lines):
        status, detail = _verdict(rules, case["api"], base64.b64decode(case["body_b64"]))
        expected = case["expected_detail"] if case["api"] == "v1" and status == 200 else detail
        if (status, detail) != (case["expected_status"], expected):
            wrong.append((case["id"], status, detail, case["expected_status"], expected))
    assert wrong == []


def _verdict(rules, api, body):
    try:
        taken = rules.judge_v1(body, HEADERS) if api == "v1" else rules.judge_v0(body)
    except rules.Refused as refused:
        return refused.status, str(refused)
    return 200, ",".join(
        f"{verdict['result']}:{verdict['details']}" if "details" in verdict else verdict["result"]
        for verdict in taken.verdicts.values()
    )
