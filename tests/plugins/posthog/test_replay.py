"""The same event gives the same bytes: in every process, on every day, at every attempt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.events import Decoder, Level
from bridge.testing import encode, make_event, samples

ROOT = Path(__file__).parents[3]
CLOCK = 1_795_168_800_123  # 2026-11-20T10:00:00.123Z
SYNCED = CLOCK + 5_000
MAPPER = """
import sys
from bridge.events import decode
from bridge_posthog import PostHogSink
from bridge_posthog.config import PostHogConfig

lines = sys.stdin.buffer.read().splitlines()
for mode in ("v0", "v1"):
    for properties in ("flat", "raw"):
        options = {"capture_mode": mode, "properties": properties, "group_identify": True, "set_once": True}
        sink = PostHogSink(PostHogConfig(api_key="phc_x", **options))
        for line in lines:
            sys.stdout.buffer.write(sink.map(decode(line)) + b"\\n")
"""


def _mapped_elsewhere(lines: list[bytes], **environment: str) -> set[bytes]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    done = subprocess.run(
        [sys.executable, "-c", MAPPER],
        input=b"\n".join(lines),
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        check=True,
    )
    return set(done.stdout.splitlines())


def test_two_processes_with_different_hash_seeds_and_zones_give_the_same_bytes(event):
    lines = [event(eid).raw for eid in samples()]
    one = _mapped_elsewhere(lines, PYTHONHASHSEED="1", TZ="UTC")
    two = _mapped_elsewhere(lines[::-1] + lines, PYTHONHASHSEED="77", TZ="Asia/Kolkata")
    assert len(one) > 4 * len(lines)  # some have $groupidentify besides
    assert one == two


@pytest.mark.parametrize("properties", ["flat", "raw"])
def test_what_was_mapped_before_plays_no_part(properties, event, make_sink):
    used, fresh = (make_sink(properties=properties) for _ in range(2))
    events = [event(eid) for eid in samples()]
    used.map_batch(events)
    used.map_batch(events[::-1])
    assert used.map_batch(events) == [make_sink(properties=properties).map(one) for one in events]
    assert fresh.map(events[3]) == used.map(events[3])


def test_whether_somebody_read_the_events_edata_plays_no_part(event, make_sink):
    for eid in samples():
        read, unread = event(eid), event(eid)
        assert read.edata is not None
        assert make_sink().map(read) == make_sink().map(unread)


def test_a_replay_around_midnight_keeps_identity_and_day(event, make_sink):
    """Sent at 23:59:59.9 and again at 00:00:00.1: uuid, name, distinct id and day stay."""
    around = (CLOCK // 86_400_000 + 1) * 86_400_000
    for ets in (around - 100, around + 100):
        first = make_sink(capture_mode="v0").map(event("INTERACT", ets=ets))
        again = make_sink(capture_mode="v0").map(event("INTERACT", ets=ets))
        assert first == again
        found = json.loads(first)
        assert found["properties"]["$ignore_sent_at"] is True
        assert found["timestamp"].endswith(("23:59:59.900Z", "00:00:00.100Z"))


def test_events_that_share_a_mid_but_differ_have_different_uuids(event, posthog):
    one, two = (posthog(event("INTERACT", mid="m-1", ets=CLOCK + n))["uuid"] for n in (0, 1))
    assert one != two
    one, two = (posthog(event("INTERACT", mid="m-1", ets=CLOCK + n), id="mid")["uuid"] for n in (0, 1))
    assert one == two


@pytest.mark.parametrize(
    ("ets", "syncts", "stamp", "time", "corrected"),
    [
        (CLOCK, None, None, "2026-11-20T10:00:00.123Z", False),
        (CLOCK, SYNCED, None, "2026-11-20T10:00:00.123Z", False),
        (SYNCED + 300_000, SYNCED, None, "2026-11-20T10:05:05.123Z", False),
        (SYNCED + 300_001, SYNCED, None, "2026-11-20T10:00:05.123Z", True),
        (CLOCK - 40 * 86_400_000, SYNCED, None, "2026-10-11T10:00:00.123Z", False),
        (1_442_816_723, SYNCED, None, "2026-11-20T10:00:05.123Z", True),
        (0, SYNCED, None, "2026-11-20T10:00:05.123Z", True),
        (1e300, SYNCED, None, "2026-11-20T10:00:05.123Z", True),
        (CLOCK + 86_400_000, None, "2026-11-20T15:30:00.123+0530", "2026-11-20T10:00:00.123Z", True),
        (CLOCK + 86_400_000, "yesterday", "2026-11-20T10:00:00", "2026-11-20T10:00:00.000Z", True),
        (CLOCK + 86_400_000, {"$numberLong": "1"}, "0000-99-99", "2026-11-21T10:00:00.123Z", False),
        (CLOCK + 0.75, float(SYNCED), None, "2026-11-20T10:00:00.123Z", False),
        (1_442_816_723, None, None, "1970-01-17T16:46:56.723Z", False),
        (CLOCK, 10**400, None, "2026-11-20T10:00:00.123Z", False),
    ],
)
def test_the_devices_clock_counts_unless_the_servers_proves_it_wrong(
    ets, syncts, stamp, time, corrected, event, posthog
):
    found = posthog(event("INTERACT", ets=ets, syncts=syncts, **{"@timestamp": stamp}))
    assert found["timestamp"] == time
    assert found["properties"].get("timestamp_corrected", False) is corrected
    assert ("client_timestamp" in found["properties"]) is corrected


def test_the_uncorrected_time_is_kept(event, posthog):
    found = posthog(event("INTERACT", ets=CLOCK + 86_400_000, syncts=SYNCED))["properties"]
    assert found["client_timestamp"] == "2026-11-21T10:00:00.123Z"


def _group_events(payload: bytes) -> list[bytes]:
    return payload.split(b"\n")[1:]


def test_groups_are_identified_once_a_day_with_equal_bytes(event, make_sink):
    sink = make_sink(group_identify=True, capture_mode="v0")
    morning = sink.map(event("START", {"edata.type": "player"}, ets=CLOCK))
    evening = sink.map(event("START", {"edata.type": "app"}, ets=CLOCK + 36_000_000, mid="other"))
    tomorrow = sink.map(event("START", ets=CLOCK + 86_400_000))
    assert _group_events(morning) == _group_events(evening)
    assert _group_events(tomorrow) != _group_events(morning)
    found = json.loads(_group_events(morning)[0])
    assert found["event"] == "$groupidentify"
    assert found["timestamp"] == "2026-11-20T00:00:00.000Z"
    assert found["properties"]["$group_type"] == "channel"
    assert found["properties"]["$group_key"] == "0137541295034613760"
    assert found["properties"]["$group_set"] == {}
    assert found["properties"]["$process_person_profile"] is True  # without it PostHog ignores groups


def test_groups_are_identified_only_if_asked_and_only_by_starts(event, make_sink):
    assert b"\n" not in make_sink().map(event("START"))
    assert b"\n" not in make_sink(group_identify=True).map(event("INTERACT"))


def test_the_mapping_of_today_is_the_mapping_of_tomorrow(event, posthog):
    """A change here breaks the recognition of events that were sent before: change it on purpose."""
    found = posthog(event("START", mid="START:1", ets=CLOCK), id="mid")
    assert [found[key] for key in ("uuid", "event", "distinct_id", "timestamp")] == [
        "92cf7a9c-aa9a-80d7-ba22-12888d8d551c",
        "Application Opened",
        "7d0c5a1e-3b52-4a7e-9f0a-52c1b7e4d9a6",
        "2026-11-20T10:00:00.123Z",
    ]
    assert found["properties"]["$session_id"] == "01a1f640-bc00-7ec6-b6fb-c18c0eaab1b2"


def test_the_uuid_is_the_identity_of_the_event(event, posthog):
    sent = event("START")
    plain = posthog(sent)["uuid"].replace("-", "")
    assert plain[12] == "8"
    identity = sent.identity.hex()
    assert plain[:12] + plain[13:16] + plain[17:] == identity[:12] + identity[13:16] + identity[17:]


def test_an_event_whose_edata_is_no_object_is_sent_without(posthog):
    for edata in (None, [1], "text"):
        odd = Decoder(Level.ENVELOPE).event(encode(make_event("INTERACT", edata=edata)))
        assert posthog(odd)["properties"]["eid"] == "INTERACT"
