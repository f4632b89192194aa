"""From the SDK to every sink: what was acknowledged arrives once, as each destination wants it."""

from __future__ import annotations

import json
from collections import Counter
from urllib.parse import urlencode

import pytest

pytestmark = pytest.mark.real

STAMPS = {"syncts", "@timestamp"}
NAMES = {  # what PostHog shows for each event that the clients send
    "START": "session started",
    "IMPRESSION": "$pageview",
    "INTERACT": "element interacted",
    "ASSESS": "question assessed",
    "RESPONSE": "question answered",
    "FEEDBACK": "feedback submitted",
    "SHARE": "content shared",
    "AUDIT": "record updated",
    "ERROR": "$exception",
    "LOG": "log recorded",
    "SEARCH": "content searched",
    "END": "session ended",
}


def text(event):
    return json.dumps(event, sort_keys=True)


def bare(event):
    """An event without what was added on arrival, as text."""
    return text({name: value for name, value in event.items() if name not in STAMPS})


def told_to(partner):
    """Every event that the webhook was sent, as often as it was; each request has its own id."""
    identifiers = [request.headers["webhook-id"] for request in partner.requests]
    assert len(identifiers) == len(set(identifiers))
    return [event for request in partner.requests for event in request.json()]


def settled(acknowledged, archived, product, partner):
    """Every event that was acknowledged is at every sink once, and nothing else is."""
    assert Counter(map(bare, archived)) == Counter(map(bare, acknowledged))
    assert Counter(map(text, told_to(partner))) == Counter(map(text, archived))
    assert [refused.error for refused in product.refused] in ([], ["empty_batch"])  # which protocol? it asked
    assert len(product.events) == len(product.stored) == len(archived)
    by_mid = {event["mid"]: event for event in archived}
    for taken in product.events:
        event, shown = by_mid.pop(taken["properties"]["mid"]), taken["properties"]
        assert taken["event"] == NAMES[event["eid"]]
        assert taken["distinct_id"] == event["actor"]["id"] == "user-1"
        assert (shown["eid"], shown["channel"], shown["env"]) == (event["eid"], "in.test", "home")
        assert shown["producer_pid"] == event["context"]["pdata"]["pid"]
        assert shown["$device_id"] == event["context"]["did"]
    assert not by_mid


@pytest.mark.parametrize(("line", "path"), [("2", "/v1/telemetry"), ("1", "/data/v3/telemetry")])
def test_what_a_backend_sends_arrives_at_every_sink_once(bridge_to_all, node, product, partner, line, path):
    told = node(line, bridge_to_all.url, path, 10)
    assert told["sent"] == len(told["acknowledged"]) == 10 * len(NAMES)
    bridge_to_all.stop()
    settled(told["acknowledged"], bridge_to_all.archived(), product, partner)
    assert {event["event"] for event in product.events} == set(NAMES.values())


@pytest.mark.parametrize(("line", "path"), [("2", "/v1/telemetry"), ("1", "/data/v3/telemetry")])
def test_what_a_page_sends_arrives_at_every_sink_once(
    bridge_to_all, browser, site, key, until, product, partner, line, path
):
    asked = urlencode({"line": line, "host": bridge_to_all.url, "path": path, "key": key})
    browser.open(f"{site}/?{asked}")
    browser.run("playOn(5)")
    until(lambda: len(browser.run("return acknowledged()")) == 5 * len(NAMES))
    acknowledged = browser.run("return acknowledged()")
    bridge_to_all.stop()
    settled(acknowledged, bridge_to_all.archived(), product, partner)
    assert {event["event"] for event in product.events} == set(NAMES.values())


def test_after_a_kill_no_sink_lacks_an_event_and_what_is_repeated_is_told_as_a_repetition(
    bridge_to_all, node, until, product, partner
):
    process = node("2", bridge_to_all.url, "/v1/telemetry", 60, wait=False)
    until(lambda: len(partner.requests) > 1 or len(product.events) > 24)
    bridge_to_all.kill()
    bridge_to_all.start()
    told = json.loads(process.communicate(timeout=120)[0])
    bridge_to_all.stop()
    mids = {event["mid"] for event in told["acknowledged"]}
    assert len(mids) == told["sent"] == 60 * len(NAMES)
    assert {event["properties"]["mid"] for event in product.stored.values()} == mids
    archived = Counter(event["mid"] for event in bridge_to_all.archived())
    assert set(archived) == mids
    assert set(archived.values()) == {1}
    assert {event["mid"] for request in partner.requests for event in request.json()} == mids
