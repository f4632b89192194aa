from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import SetupError, TransientError
from bridge.sinks import Pack, Span
from bridge_s3.formats import Lines
from bridge_s3.keys import Naming
from bridge_s3.wire import DigestError, delivery_error, gather, make_plan, seal

SPAN = Span("telemetry[3]", 100, 200, 6)
NAMING = Naming("hive", "0a1b2c3d", ".jsonl")


def pack(group: str, data: bytes = b"1\n", count: int = 1) -> Pack:
    return Pack(group, count, data)


def test_packs_of_a_group_stay_in_order():
    packs = [pack("a", b"1"), pack("b", b"2"), pack("a", b"3")]
    assert gather(packs, "?", 0) == {"a": [packs[0], packs[2]], "b": [packs[1]]}


def test_up_to_64_groups_have_objects_of_their_own():
    packs = [pack(f"{n:03d}") for n in range(64)]
    assert len(gather(packs, "?", 0)) == 64
    assert "?" not in gather(packs, "?", 0)


def test_more_groups_share_the_last_object_and_the_largest_are_kept():
    packs = [pack(f"{n:03d}", b"x" * (n + 1)) for n in range(200)]
    found = gather(packs, "?", 0)
    assert len(found) == 64
    assert set(found) == {"?", *(f"{n:03d}" for n in range(137, 200))}
    assert sum(len(group) for group in found.values()) == 200


def test_small_groups_share_an_object_but_the_largest_never_does():
    packs = [pack("now", b"x" * 90), pack("late", b"x" * 9), pack("later", b"x" * 8)]
    assert set(gather(packs, "?", 10)) == {"now", "?"}
    assert set(gather(packs, "?", 1_000)) == {"now", "?"}
    assert set(gather(packs[:1], "?", 1_000)) == {"now"}


@given(
    st.lists(st.builds(Pack, st.sampled_from("abcdefgh"), st.just(1), st.binary(min_size=1, max_size=40))),
    st.integers(0, 60),
)
def test_no_pack_is_lost_or_doubled_and_order_is_kept(packs, least):
    found = gather(packs, "?", least)
    assert sorted(map(id, packs)) == sorted(id(one) for group in found.values() for one in group)
    places = {id(one): place for place, one in enumerate(packs)}
    for group in found.values():
        assert [places[id(one)] for one in group] == sorted(places[id(one)] for one in group)


def test_a_plan_lists_the_objects_by_key_with_size_digest_and_events():
    packs = [pack("dt=2026-08-22", b"3\n"), pack("dt=2026-08-21", b"1\n"), pack("dt=2026-08-21", b"2\n")]
    sealed = seal(gather(packs, "?", 0), SPAN, NAMING, Lines("none"))
    plan = make_plan(sealed, SPAN, "0a1b2c3d")
    assert [(item.key.split("/")[2], item.size, item.events) for item in plan.objects] == [
        ("dt=2026-08-21", 4, 2),
        ("dt=2026-08-22", 2, 1),
    ]
    assert (plan.stream, plan.start, plan.end, plan.events) == ("telemetry[3]", 100, 200, 3)
    assert plan.objects[0].sha256 == "a6e2b7a040683432de03a18fd8a1939a2fdf82585b364bfc874bdd4095c4cae1"


def answered(status: int, code: str = "", kind: type[Exception] = RuntimeError) -> Exception:
    body = f"<Error><Code>{code}</Code><AWSAccessKeyId>AKIAEXAMPLE</AWSAccessKeyId></Error>"
    return kind(
        f"Error performing PUT https://h/b/k?X-Amz-Credential=AKIAEXAMPLE - status code: {status} X: {body}"
    )


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", SetupError),
        (403, "InvalidAccessKeyId", SetupError),
        (403, "SignatureDoesNotMatch", SetupError),
        (403, "RequestTimeTooSkewed", SetupError),
        (401, "", SetupError),
        (404, "NoSuchBucket", SetupError),
        (301, "PermanentRedirect", SetupError),
        (307, "TemporaryRedirect", SetupError),
        (400, "AuthorizationHeaderMalformed", SetupError),
        (400, "ExpiredToken", SetupError),
        (400, "InvalidRequest", SetupError),
        (405, "MethodNotAllowed", SetupError),
        (411, "", SetupError),
        (413, "EntityTooLarge", SetupError),
        (501, "NotImplemented", SetupError),
        (400, "RequestTimeout", TransientError),
        (400, "IncompleteBody", TransientError),
        (408, "", TransientError),
        (409, "OperationAborted", TransientError),
        (409, "ConditionalRequestConflict", TransientError),
        (429, "", TransientError),
        (500, "InternalError", TransientError),
        (502, "", TransientError),
        (503, "SlowDown", TransientError),
        (503, "ServiceUnavailable", TransientError),
        (504, "", TransientError),
        (400, "BadDigest", DigestError),
        (400, "XAmzContentSHA256Mismatch", DigestError),
    ],
)
def test_every_answer_has_its_meaning(status, code, kind):
    error = delivery_error("writing", answered(status, code))
    assert type(error) is kind
    assert str(status) in str(error)
    assert "AKIAEXAMPLE" not in str(error)
    assert "https://" not in str(error)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (RuntimeError("... kind: Connect, ... tcp connect error"), TransientError, "no connection"),
        (RuntimeError("error sending request ... kind: Timeout"), TransientError, "no answer in time"),
        (RuntimeError("invalid peer certificate: UnknownIssuer"), SetupError, "TLS was refused"),
        (RuntimeError("Received redirect without LOCATION"), SetupError, "region"),
        (RuntimeError("HTTP error: builder error"), SetupError, "allow_http"),
        (ValueError("Could not parse path"), SetupError, "ValueError"),
        (NotImplementedError(), SetupError, "NotImplementedError"),
        (RuntimeError("something new"), TransientError, "RuntimeError"),
    ],
)
def test_failures_without_an_answer_have_theirs(error, kind, words):
    found = delivery_error("writing", error)
    assert type(found) is kind
    assert words in str(found)


@given(st.text())
def test_no_text_of_a_store_gets_out(text):
    found = str(delivery_error("writing", RuntimeError(f"hunter2 {text} hunter2")))
    assert "hunter2" not in found
    assert len(found) < 200
