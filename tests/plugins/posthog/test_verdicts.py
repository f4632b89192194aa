"""An answer of capture V1 that takes every event is known by its bytes, and no other is taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import TransientError
from bridge.http import Answer
from bridge.sinks import DELIVERED
from bridge_posthog.answers import all_fine, judge, outcomes, verdicts
from bridge_posthog.wire import Parcel

UUIDS = [b"0190a1b2-0000-8000-8000-%012d" % number for number in range(4)]
ONE, TWO = (uuid.decode() for uuid in UUIDS[:2])
FINE = [
    '{"result":"ok"}', '{"result":"warning","details":"rate"}', '{"details":null,"result":"ok"}',
    '{ "result" : "ok" , "details" : "\\u00e9\\n\\ud83d\\ude00" }',
    '{"result":"ok","since":[{"result":"drop"}]}',
]  # fmt: skip
ODD = ['{"result":"\\u006fk"}', '{"result":"drop","result":"ok"}', '{"re\\u0073ult":"ok"}']
BAD = [
    '{"result":"drop","details":"event_too_big"}', '{"result":"retry"}', '{"result":"limbo"}',
    '{"result":"OK"}', '{"result":"ok","result":"drop"}', '{"Result":"ok"}', '{"results":{"result":"ok"}}',
    '{"result":""}', '{"result":1}', '{"result":null}', '{"result":["ok"]}', '{"result":{"result":"ok"}}',
    '{"result":"ok\\u0000"}', '{"result":"ok","details":7}', '{"result":"ok","details":{}}',
    '{"details":"ok"}', "{}", "[]", '["ok"]', '"ok"', "null", "true", "1", "",
    '{"result":"ok"', '{"result":"ok",}', '{"result":"ok"}}', '{"result":"ok"}"ok"', "\xff",
]  # fmt: skip
USUAL = ['{"results":%s}', '{ "results" : %s }', '{"a":[1,{"results":{}}],"results":%s,"b":null}']
AROUND = [
    '{"results":%s}\n', '{"results":{},"results":%s}', '{"results":{"a":1},"results":%s}',
    '{"results":%s,"results":{}}',
    '{"resu\\u006cts":%s}', '{"verdicts":%s}', '{"results":[%s]}', '{"results":{"results":%s}}', "%s", "[%s]",
    '{"results":%s', '{"results":%s}{}', '{"results":%s,}', "{'results':%s}", '\ufeff{"results":%s}',
    '{"results":%s,"n":NaN}', '{"results":%s,"d":"\\ud800"}', '{"results":%s}\0',
]  # fmt: skip


def answered(*members, around='{"results":%s}', joint=","):
    """An answer with these pairs of key and verdict, both as they are written."""
    inside = "{" + joint.join(f'"{key}":{verdict}' for key, verdict in members) + "}"
    return (around % inside).encode()


def means_delivered(body, uuids):
    """What the verdicts say, looked at one by one."""
    try:
        found = verdicts(Answer(200, {}, body))
    except TransientError:
        return False
    return outcomes(Parcel(uuids, uuids), found, None) == [DELIVERED] * len(uuids)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_an_answer_that_takes_every_event_is_fine(count, separators):
    document = {"results": {uuid.decode(): {"result": "ok"} for uuid in UUIDS[:count]}}
    body = json.dumps(document, separators=separators).encode()
    assert all_fine(body, UUIDS[:count])
    assert (
        judge("v1", Answer(200, {}, body), Parcel(UUIDS[:count], UUIDS[:count]), 0.0) == [DELIVERED] * count
    )


@pytest.mark.parametrize("verdict", FINE)
def test_other_ways_to_say_so_are_fine_in_any_order(verdict):
    members = [(uuid.decode(), verdict) for uuid in UUIDS]
    assert all_fine(answered(*members), UUIDS)
    assert all_fine(answered(*reversed(members), ("other", verdict), joint=" , "), UUIDS)
    assert all_fine(answered(*members, *members), UUIDS)


@pytest.mark.parametrize("verdict", BAD)
def test_a_verdict_that_is_not_fine_makes_the_whole_answer_not_fine(verdict):
    for members in ([(ONE, verdict), (TWO, FINE[0])], [(ONE, FINE[0]), (TWO, FINE[0]), ("other", verdict)]):
        assert not all_fine(answered(*members), UUIDS[:2])


def test_an_event_that_is_not_mentioned_is_not_taken():
    fine = FINE[0]
    assert not all_fine(answered((ONE, fine)), UUIDS[:2])
    assert not all_fine(answered((ONE + TWO, fine)), UUIDS[:2])
    assert not all_fine(answered((ONE.upper(), fine), (TWO[:-1], fine)), [UUIDS[0].upper(), UUIDS[1]])
    assert not all_fine(
        answered(("x", fine), around=f'{{"results":{{}},"x":{{"{ONE}":{fine}}}, "y":%s}}'), UUIDS[:1]
    )


def damaged(data, body):
    """The same with another byte somewhere."""
    place = data.draw(st.integers(0, len(body) - 1))
    return body[:place] + data.draw(st.binary(max_size=2)) + body[place + 1 :]


@given(st.data())
def test_no_answer_is_fine_whose_verdicts_are_not(data):
    keys = st.sampled_from([*map(bytes.decode, UUIDS), "other", ONE.replace("-", "\\u002d"), "", "result"])
    verdict = st.sampled_from(FINE * 40 + ODD * 2 + BAD)
    members = [(uuid.decode(), data.draw(verdict)) for uuid in UUIDS if data.draw(st.integers(0, 19))]
    members += data.draw(st.lists(st.tuples(keys, verdict), max_size=2))
    if data.draw(st.booleans()):
        members = data.draw(st.permutations(members))
    around = data.draw(st.sampled_from(USUAL * 20 + AROUND))
    body = answered(*members, around=around, joint=data.draw(st.sampled_from([",", ", ", " ,\t"])))
    if not data.draw(st.integers(0, 3)):
        body = damaged(data, body)
    agree(body, data.draw(st.sampled_from([UUIDS, UUIDS[:2], []])))


@pytest.mark.parametrize("around", [*USUAL, *AROUND])
def test_no_way_to_write_an_answer_makes_more_of_it(around):
    for verdict in (*FINE, *ODD, *BAD):
        agree(answered((ONE, verdict), (TWO, FINE[0]), around=around), UUIDS[:2])
        agree(answered((ONE, FINE[0]), (ONE, verdict), around=around), UUIDS[:1])


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b'{"results":{}}', b'{"results":null}', b"[" * 5000])
def test_an_answer_without_verdicts_takes_no_event(body):
    assert not all_fine(body, UUIDS[:1])


def agree(body, uuids):
    """No answer counts as fine that acknowledges less."""
    assert not all_fine(body, uuids) or means_delivered(body, uuids)
