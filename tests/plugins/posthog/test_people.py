"""Who an event belongs to: distinct ids, persons, pseudonyms, groups, sessions."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

DAY = 86_400_000
NOON = 1_767_614_400_000  # 2026-01-05T12:00:00Z
MIDNIGHT = 1_767_657_600_000  # 2026-01-06T00:00:00Z
NOBODY = [
    "",
    "  ",
    "anonymous",
    "Anonymous",
    "guest",
    "distinctid",
    "distinct_id",
    "id",
    "not_authenticated",
    "email",
    "undefined",
    "true",
    "FALSE",
    "[object Object]",
    "NaN",
    "None",
    "none",
    "null",
    "0",
    "1",
    '"null"',
    "'undefined'",
    "00000000-0000-0000-0000-000000000000",
    "anonymous-user",
    "backend",
    "nan",
    "system",
    "System",
    "user",
    "public",
    "internal",
]


def _with(actor_id="u-1", actor_type="User", did="device-1", sid="session-0123456789"):
    return {"actor": {"id": actor_id, "type": actor_type}, "context.did": did, "context.sid": sid}


@pytest.mark.parametrize(
    ("changes", "distinct_id", "person"),
    [
        (_with(), "u-1", True),
        (_with(actor_type="user"), "u-1", True),
        (_with(actor_id="f:5a8a3f2b-3409:0b71985d-fcb0"), "0b71985d-fcb0", True),
        (_with(actor_id="anonymous"), "device-1", False),
        (_with(actor_type="System"), "device-1", False),
        (_with(actor_type="Consumer", did=""), "consumer:u-1", False),
        (_with(actor_type="System", actor_id="", did=""), "system:prod.pathshala.app", False),
        (_with(actor_id="", did="null"), "session:session-0123456789", False),
    ],
)
def test_the_ladder_of_distinct_ids(changes, distinct_id, person, event, posthog):
    found = posthog(event("INTERACT", changes))
    assert found["distinct_id"] == distinct_id
    assert found["properties"]["$process_person_profile"] is person


def test_an_event_of_nobody_stands_for_itself(event, posthog):
    found = posthog(event("INTERACT", _with(actor_id="", did="", sid=""), mid="m-7"))
    assert found["distinct_id"] == "event:m-7"
    assert "$session_id" not in found["properties"]


@pytest.mark.parametrize("name", NOBODY)
def test_names_that_strangers_share_are_no_distinct_ids(name, event, posthog):
    found = posthog(event("INTERACT", _with(actor_id=name, did=name)))
    assert found["distinct_id"] == "session:session-0123456789"
    assert found["properties"]["$process_person_profile"] is False


def test_a_service_that_calls_itself_a_user_is_no_person(event, posthog):
    assert posthog(event("INTERACT", _with(actor_id="org.sunbird.portal")))["distinct_id"] == "device-1"


@pytest.mark.parametrize("name", ["x" * 201, "क" * 67])
def test_long_ids_are_hashed_not_cut(name, event, posthog):
    found = posthog(event("INTERACT", _with(actor_id=name)))["distinct_id"]
    other = posthog(event("INTERACT", _with(actor_id=name + "y")))["distinct_id"]
    assert found.startswith("sha256:")
    assert len(found.encode()) <= 200
    assert found != other


@pytest.mark.parametrize(
    ("profiles", "user", "system"),
    [("identified_only", True, False), ("always", True, True), ("never", False, False)],
)
def test_who_gets_a_profile_can_be_configured(profiles, user, system, event, posthog):
    for actor_type, expected in (("User", user), ("System", system)):
        found = posthog(event("INTERACT", _with(actor_type=actor_type)), person_profiles=profiles)
        assert found["properties"]["$process_person_profile"] is expected


def test_pseudonyms_replace_ids_wherever_they_stand(event, posthog):
    changes = {**_with(actor_id="asha-1184", did="phone-77"), "object": {"id": "asha-1184", "type": "User"}}
    found = posthog(event("AUDIT", changes), pseudonym_key="k" * 32)
    text = json.dumps(found)
    assert "asha-1184" not in text
    assert "phone-77" not in text
    assert found["properties"]["object_id"] == found["distinct_id"]
    assert len(found["distinct_id"]) == 64
    assert found["properties"]["$process_person_profile"] is True


def test_another_key_gives_other_pseudonyms(event, posthog):
    one, two = (posthog(event(), pseudonym_key=key)["distinct_id"] for key in ("a" * 32, "b" * 32))
    assert one != two


def test_the_first_start_of_a_person_can_be_remembered(event, posthog):
    started = posthog(event("START", {"edata.type": "session"}), set_once=True)["properties"]
    assert started["$set_once"] == {
        "first_channel": "0137541295034613760",
        "first_producer": "prod.pathshala.app",
    }
    assert "$set_once" not in posthog(event("START", {"edata.type": "content"}), set_once=True)["properties"]
    assert "$set_once" not in posthog(event("INTERACT"), set_once=True)["properties"]
    nobody = event("START", {"edata.type": "app", "actor.id": "anonymous"})
    assert "$set_once" not in posthog(nobody, set_once=True)["properties"]


def test_properties_of_users_can_be_set_from_the_denormalised_event(event, posthog):
    started = event("START", {"edata.type": "app", "userdata": {"userType": "teacher", "state": "", "x": 1}})
    found = posthog(started, person_properties=["userType", "state", "board"])["properties"]
    assert found["$set"] == {"user_type": "teacher"}


def test_groups_come_from_tenant_content_and_collection(event, posthog):
    found = posthog(event("INTERACT"))["properties"]["$groups"]
    assert found == {
        "channel": "0137541295034613760",
        "content": "do_31375412960512",
        "collection": "do_31375410020864",
    }


def test_an_object_that_is_no_content_makes_no_content_group(event, posthog):
    found = posthog(event("AUDIT", {"object": {"id": "u-9", "type": "User"}}))["properties"]["$groups"]
    assert set(found) == {"channel"}


def test_groups_can_come_from_elsewhere(event, posthog):
    groups = {"batch": "cdata:AttemptId", "product": "producer", "place": "env", "lesson": "object:Content"}
    found = posthog(event("INTERACT"), groups=groups)["properties"]["$groups"]
    assert found == {
        "batch": "4e0f9a37d1c24b58",
        "product": "prod.pathshala.app",
        "place": "contentplayer",
        "lesson": "do_31375412960512",
    }


def test_no_groups_at_all_are_possible(event, posthog):
    assert "$groups" not in posthog(event("INTERACT"), groups={})["properties"]


def _session(posthog, event, at, sid="b0f6c1de-7c14-4a51-8a6b-0d9e3f2a1c77", **options):
    return posthog(event("INTERACT", {"context.sid": sid}, ets=at), **options)["properties"].get(
        "$session_id"
    )


@pytest.mark.parametrize(
    "sid", ["b0f6c1de-7c14-4a51-8a6b-0d9e3f2a1c77", "opaque text of a session", "7", "x" * 300]
)
def test_a_session_is_a_uuid7_that_began_less_than_a_day_before(sid, event, posthog):
    for at in (NOON, MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 1):
        session = UUID(_session(posthog, event, at, sid))
        assert session.version == 7
        assert session.int >> 80 <= at < (session.int >> 80) + DAY


def test_a_session_that_runs_on_is_cut_once_a_day(event, posthog):
    before, after = (_session(posthog, event, at) for at in (MIDNIGHT - 1, MIDNIGHT))
    assert before != after
    assert _session(posthog, event, NOON) == before


def test_the_hour_of_the_cut_can_be_moved(event, posthog):
    late, early = (_session(posthog, event, at, session_boundary_hour=18) for at in (MIDNIGHT - 1, MIDNIGHT))
    assert late == early


def test_an_own_uuid7_is_kept_while_it_fits(event, posthog):
    own = f"{NOON:012x}"
    sid = f"{own[:8]}-{own[8:]}-7abc-8def-0123456789ab"
    assert _session(posthog, event, NOON, sid) == sid
    assert _session(posthog, event, NOON + DAY - 1, sid.upper()) == sid
    for at in (NOON - 1, NOON + DAY):
        other = UUID(_session(posthog, event, at, sid))
        assert str(other) != sid
        assert other.int >> 80 <= at < (other.int >> 80) + DAY


def test_a_text_that_only_looks_like_a_uuid7_is_hashed(event, posthog):
    assert UUID(_session(posthog, event, NOON, "zzzzzzzz-zzzz-7zzz-zzzz-zzzzzzzzzzzz")).version == 7


def test_a_short_session_id_is_not_shared_by_devices(event, posthog):
    one, two = (
        posthog(event("INTERACT", _with(sid="7", did=did)))["properties"]["$session_id"]
        for did in ("a-1", "b-2")
    )
    assert one != two


def test_a_blank_session_id_makes_no_session(event, posthog):
    assert _session(posthog, event, NOON, "  ") is None


@given(at=st.integers(0, 253_402_300_799_999), sid=st.text(min_size=1).filter(str.strip))
def test_any_session_fits_its_event_at_any_time(at, sid):
    from bridge_posthog.ids import DAY, derived_session, own_session

    session = UUID(own_session(sid, at) or derived_session(sid, "salt", at - at % DAY))
    assert session.int >> 80 <= at < (session.int >> 80) + DAY
    assert session.version == 7


@given(st.binary(min_size=16, max_size=16))
def test_any_identity_makes_a_uuid_of_version_8(digest):
    from bridge_posthog.heads import heads
    from bridge_posthog.ids import uuid8

    uuid = UUID(uuid8(digest))
    assert uuid.version == 8
    assert uuid.variant == "specified in RFC 4122"
    assert heads([digest, digest], [0, 0])[1].startswith(f'{{"uuid":"{uuid}","timestamp":"'.encode())
