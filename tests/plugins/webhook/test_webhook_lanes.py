"""Order by key: how a batch is divided, what its lanes' answers come to, and the whole under faults."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import RejectedError, SetupError, ThrottledError, TransientError
from bridge.sinks import DELIVERED, DUPLICATE, Reject, Retry
from bridge.testing import encode, make_event
from bridge_webhook.lanes import LaneAnswer, combine, cut, divide

KEYED = {"ordering": "key", "lanes": 4}
REFUSED = RejectedError("http_400", "HTTP 400: no")


@pytest.fixture
def devices(event):
    """Events of so many devices in turn, numbered by their mids."""

    def make(count, keys, **changes):
        return [
            event("INTERACT", {"context.did": f"d-{n % keys}", **changes}, mid=f"m-{n}") for n in range(count)
        ]

    return make


def test_events_of_one_key_share_a_lane_in_order(devices):
    events = devices(60, keys=7)
    lanes = divide(events, "did", 4)
    assert sorted(index for lane in lanes for index in lane) == list(range(60))
    assert all(lane == sorted(lane) for lane in lanes)
    homes = defaultdict(set)
    for number, lane in enumerate(lanes):
        for index in lane:
            homes[events[index].context.did].add(number)
    assert all(len(home) == 1 for home in homes.values())


@pytest.mark.parametrize("key", ["did", "sid", "actor"])
def test_each_key_divides_by_its_own_field(key, event):
    place = {"did": "context.did", "sid": "context.sid", "actor": "actor.id"}[key]
    events = [event("INTERACT", {place: f"k-{n}"}) for n in range(50)]
    assert len(divide(events, key, 64)) > 10
    others = {"did", "sid", "actor"} - {key}
    assert all(len(divide([events[0]] * 50, other, 64)) == 1 for other in others)


def test_events_without_the_key_share_one_lane(devices):
    assert divide(devices(10, keys=10, **{"context.did": ""}), "did", 16) == [list(range(10))]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 10), st.integers(1, 100))
def test_a_lane_is_cut_into_requests_without_losing_or_moving_anything(sizes, most_events, most_bytes):
    payloads = [b"x" * size for size in sizes]
    parts = list(cut(list(range(len(sizes))), payloads, most_events, most_bytes))
    assert [index for part in parts for index in part] == list(range(len(sizes)))
    for part in parts:
        assert 0 < len(part) <= most_events
        assert len(part) == 1 or sum(sizes[index] for index in part) <= most_bytes


def test_outcomes_come_back_to_their_places():
    lanes = [[0, 3], [1, 2]]
    reject = Reject("http_422", "no")
    answers = [LaneAnswer([DELIVERED, DUPLICATE], None), LaneAnswer([reject, DELIVERED], None)]
    assert combine(4, lanes, answers) == [DELIVERED, reject, DELIVERED, DUPLICATE]


def test_what_a_stopped_lane_did_not_come_to_is_sent_again():
    lanes = [[0, 2, 4], [1, 3]]
    answers = [LaneAnswer([DELIVERED], ThrottledError("HTTP 429", 7.0)), LaneAnswer([], REFUSED)]
    assert combine(5, lanes, answers) == [
        DELIVERED,
        Retry("HTTP 400: no"),
        Retry("HTTP 429", 7.0),
        Retry("HTTP 400: no"),
        Retry("HTTP 429", 7.0),
    ]


@pytest.mark.parametrize(
    ("errors", "raised"),
    [
        ([REFUSED, REFUSED], REFUSED),
        ([REFUSED, TransientError("reset")], TransientError("reset")),
        ([TransientError("reset"), ThrottledError("HTTP 429", 3.0)], ThrottledError("HTTP 429", 3.0)),
        ([ThrottledError("HTTP 429"), SetupError("HTTP 401"), REFUSED], SetupError("HTTP 401")),
    ],
)
def test_where_no_lane_got_anywhere_the_gravest_fault_is_the_batchs(errors, raised):
    lanes = [[number] for number in range(len(errors))]
    with pytest.raises(type(raised), match=str(raised)):
        combine(len(errors), lanes, [LaneAnswer([], error) for error in errors])


@pytest.mark.parametrize(("body", "most"), [("batch", 8_000), ("raw", 512)])
def test_a_batch_holds_enough_for_every_lane(configure, body, most):
    assert configure(body=body, **KEYED).limits.max_events == most


def mids(request):
    found = json.loads(request.body)
    return [event["mid"] for event in (found if isinstance(found, list) else [found])]


@pytest.mark.parametrize("body", ["batch", "raw"])
def test_every_key_arrives_in_order(serve, connect, batch, devices, body):
    server = serve()
    sink = connect(server, body=body, **KEYED)
    assert sink.send(batch(sink, devices(40, keys=5))) == [DELIVERED] * 40
    arrived = [int(mid[2:]) for request in server.requests for mid in mids(request)]
    assert sorted(arrived) == list(range(40))
    for key in range(5):
        assert [n for n in arrived if n % 5 == key] == list(range(key, 40, 5))


def test_a_fault_stops_its_own_lane_only(serve, connect, answer, batch, devices):
    server = serve(reply=lambda received: answer(503 if b'"m-4"' in received.body else 200))
    sink = connect(server, body="raw", **KEYED)
    events = devices(12, keys=4)
    outcomes = sink.send(batch(sink, events))
    stopped = next(lane for lane in divide(events, "did", 4) if 4 in lane)
    later = [index for index in stopped if index >= 4]
    assert [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Retry)] == later


def test_a_single_refused_event_of_an_array_lane_is_rejected_at_once(serve, connect, answer, batch, devices):
    server = serve(reply=lambda received: answer(422 if b'"m-1"' in received.body else 200))
    sink = connect(server, ordering="key", lanes=64)
    events = devices(2, keys=2)
    assert len(divide(events, "did", 64)) == 2
    assert sink.send(batch(sink, events)) == [DELIVERED, Reject("http_422", "HTTP 422: ok")]


def test_a_refused_array_is_halved_only_once_the_other_lanes_are_through(
    serve, connect, answer, batch, devices
):
    server = serve(reply=lambda received: answer(422 if b'"m-4"' in received.body else 200))
    sink = connect(server, **KEYED)
    events = devices(40, keys=5)
    outcomes = sink.send(batch(sink, events))
    left = [event for event, outcome in zip(events, outcomes, strict=True) if outcome != DELIVERED]
    assert 0 < len(left) < 40
    with pytest.raises(RejectedError):
        sink.send(batch(sink, left, attempt=2))


def test_a_lane_that_is_sent_again_sends_the_same_bytes(serve, connect, answer, batch, devices):
    statuses = iter([503])
    server = serve(reply=lambda _: answer(next(statuses, 200)))
    sink = connect(server, ordering="key", lanes=1)
    events = devices(5, keys=5)
    with pytest.raises(ThrottledError):
        sink.send(batch(sink, events))
    sink.send(batch(sink, events, attempt=2))
    first, second = server.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_explain_shows_the_request_of_each_lane(configure, batch, devices):
    sink = configure(**KEYED)
    events = devices(40, keys=9)
    assert sink.explain(batch(sink, events)).count("POST ") == len(divide(events, "did", 4))


class Receiver:
    """Takes arrays, fails at random, refuses one event, and notes what it took and what overlapped."""

    def __init__(self, answer, poison, seed):
        self._answer, self._poison = answer, poison
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._busy = set()
        self.taken = defaultdict(list)
        self.overlaps = 0

    def reply(self, received):
        events = json.loads(received.body)
        keys = {event["context"]["did"] for event in events}
        with self._lock:
            self.overlaps += bool(keys & self._busy)
            self._busy |= keys
            fate = self._random.random()
        threading.Event().wait(0.002 * fate)
        with self._lock:
            self._busy -= keys
            if any(event["mid"] == self._poison for event in events):
                return self._answer(422)
            if fate < 0.2:
                return self._answer(500)
            for event in events:
                self.taken[event["context"]["did"]].append(int(event["mid"][2:]))
        return self._answer(500 if fate > 0.95 else 200)  # now and then the acknowledgement is lost


CONFIG = """
[journal]
type = "file"
path = "events.jsonl"
[sinks.hook]
type = "webhook"
url = "{url}"
ordering = "key"
lanes = 8
allow_http = true
allow_networks = ["127.0.0.0/8"]
ports = [{port}]
batch.max_events = 100
retry.min = 0.001
retry.max = 0.01
"""


def test_a_running_bridge_keeps_each_key_s_order_through_faults_and_refusals(serve, answer, tmp_path):
    receiver = Receiver(answer, "m-333", seed=7)
    server = serve(reply=receiver.reply)
    lines = [
        encode(make_event("INTERACT", {"context.did": f"d-{n * n % 23}"}, mid=f"m-{n}")) for n in range(600)
    ]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join([*lines, b""]))
    (tmp_path / "config.toml").write_text(CONFIG.format(url=server.url + "/in", port=server.port))
    command = [sys.executable, "-m", "bridge", "run", "--until-idle"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60, capture_output=True)
    assert receiver.overlaps == 0
    assert {n for taken in receiver.taken.values() for n in taken} == set(range(600)) - {333}
    for taken in receiver.taken.values():
        once = list(dict.fromkeys(taken))
        assert once == sorted(once)
