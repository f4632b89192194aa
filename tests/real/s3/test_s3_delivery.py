"""The archive against servers that are not ours."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from bridge.errors import RecutError, SetupError, TransientError
from bridge.events import decode
from bridge.sinks import DELIVERED, DUPLICATE, Batch, Span
from bridge.testing import encode, make_event
from bridge_s3 import S3Config, S3Sink, verify

pytestmark = pytest.mark.real

NOON = 1_787_313_600_000
WRITER = Path(__file__).with_name("writer.py")


def event_at(position):
    return decode(encode(make_event("INTERACT", {"mid": f"m-{position}", "syncts": NOON + position * 5_000})))


def batch(sink, start, end, stream="telemetry[0]", attempt=1):
    events = [event_at(position) for position in range(start, end)]
    packs = sink.pack(events, sink.map_batch(events))
    return Batch(packs, (), "archive", attempt, (Span(stream, start, end, end - start),))


def opened(place, **settings):
    return S3Sink(S3Config.model_validate(place.settings | settings)).__enter__()


def contents(place) -> Counter[str]:
    """How often each mid is there, as another client reads it."""
    bodies = [body for key, body in place.objects().items() if "/data/" in key]
    return Counter(json.loads(line)["mid"] for body in bodies for line in gzip.decompress(body).splitlines())


def mids(total) -> Counter[str]:
    return Counter(f"m-{position}" for position in range(total))


def test_at_least_once_works_on_any_server(either):
    sink = opened(either, guarantee="at-least-once")
    assert sink.check().endswith("nothing archived yet")
    for _ in range(2):
        assert set(sink.send(batch(sink, 0, 1_500))) == {DELIVERED}
    assert contents(either) == mids(1_500)


def test_exactly_once_on_a_server_with_conditional_writes(honest):
    sink, again = opened(honest), opened(honest)
    assert sink.setup() == "the store honours If-None-Match"
    sink.send(batch(sink, 0, 1_500))
    with pytest.raises(RecutError):
        again.send(batch(again, 0, 700))
    assert set(again.send(batch(again, 0, 1_500))) == {DUPLICATE}
    sink.send(batch(sink, 1_500, 2_000))
    assert contents(honest) == mids(2_000)
    report = verify(sink.config)
    assert report.ok, report.lines()


def test_a_server_that_ignores_conditions_is_found_out_before_any_data(careless):
    sink = opened(careless)
    with pytest.raises(SetupError, match="ignores If-None-Match"):
        sink.send(batch(sink, 0, 100))
    assert not any("/data/" in key for key in careless.objects())
    with pytest.raises(SetupError, match="single-owner"):
        sink.setup()


def test_keys_and_buckets_that_are_wrong_are_set_up_problems(either):
    for settings in (
        {"secret_key": "wrong-wrong-wrong"},
        {"access_key": "AKIDNOBODY000000"},
        {"url": "s3://no-such-bucket"},
    ):
        sink = opened(either, **settings)
        with pytest.raises(SetupError) as caught:
            sink.send(batch(sink, 0, 10))
        assert "wrong-wrong" not in str(caught.value)
        with pytest.raises(SetupError):
            sink.check()


def test_hostile_names_survive_the_server(either):
    sink = opened(either, partition_eid=True, partition_by="none", guarantee="at-least-once")
    events = [decode(encode(make_event(eid))) for eid in ("../x", "a b+c", "ü/ü", "100%", "a?b#c&d=e")]
    packs = sink.pack(events, sink.map_batch(events))
    sink.send(Batch(packs, (), "archive", 1, (Span("to pic+%2F[0]", 0, 5, 5),)))
    bodies = either.objects()
    assert len(bodies) == 5
    assert {gzip.decompress(body).strip() for body in bodies.values()} == {event.raw for event in events}


def test_an_object_of_sixteen_megabytes_is_one_conditional_put(honest):
    sink = opened(honest, compression="none", partition_by="none")
    packs = sink.pack([event_at(0)] * 20_000, [event_at(0).raw] * 20_000)
    whole = Batch(packs, (), "archive", 1, (Span("big[0]", 0, 20_000, 20_000),))
    assert sum(len(pack.data) for pack in packs) > 16_000_000
    sink.send(whole)
    assert sink.send(whole) == [DUPLICATE]
    assert verify(sink.config).ok


def test_owners_that_race_for_every_range_leave_each_event_once(honest):
    """Four threads, each sure to own the stream, each with a clock of its own."""
    total, failures = 600, []

    def own(seed):
        clock, sink, position = random.Random(seed), opened(honest), 0
        try:
            while position < total:
                end = min(total, position + clock.randint(1, 90))
                while True:
                    try:
                        sink.send(batch(sink, position, end))
                    except RecutError as error:
                        end = error.end
                    except TransientError:
                        time.sleep(0.01)
                    else:
                        break
                position = end
        except Exception as error:  # noqa: BLE001 - a thread's failure is the test's
            failures.append(error)

    threads = [threading.Thread(target=own, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert contents(honest) == mids(total)
    assert verify(opened(honest).config).ok


def test_writers_that_are_killed_and_a_server_that_is_killed_lose_and_repeat_nothing(honest, tmp_path):
    """Two processes share a cursor without any fencing; 30 kills of theirs, two of the server's."""
    total, chance, busy = 4_000, random.Random(7), 0
    cursor = tmp_path / "cursor"
    cursor.write_text("0")

    def writer(seed):
        command = [
            sys.executable,
            str(WRITER),
            json.dumps(honest.settings),
            str(cursor),
            str(total),
            str(seed),
        ]
        return subprocess.Popen(command, stderr=subprocess.PIPE)

    writers = [writer(0), writer(1)]
    for kill in range(30):
        time.sleep(chance.uniform(0.2, 0.8))
        if kill in {10, 20} and honest.server is not None:
            honest.server.stop(kill=True)
            honest.server.start()
        victim = chance.randrange(2)
        busy += writers[victim].poll() is None and 0 < int(cursor.read_text()) < total
        writers[victim].kill()
        _, complaint = writers[victim].communicate()
        assert b"Error" not in complaint, complaint
        writers[victim] = writer(kill + 2)
    for process in writers:
        _, complaint = process.communicate(timeout=120)
        assert process.returncode == 0, complaint
    assert busy >= 20, "the writers were done too early for the kills to mean much"
    assert contents(honest) == mids(total)
    report = verify(S3Config.model_validate(honest.settings))
    assert report.ok, report.lines()
    assert report.streams[0].end == total


def test_owners_that_follow_each_other_need_no_conditional_writes(careless, tmp_path):
    """One process at a time, each but the last one killed somewhere: the plans of the dead are adopted."""
    total, chance, busy = 2_000, random.Random(11), 0
    cursor = tmp_path / "cursor"
    cursor.write_text("0")
    settings = careless.settings | {"guarantee": "single-owner"}
    for seed in range(12):
        command = [sys.executable, str(WRITER), json.dumps(settings), str(cursor), str(total), str(seed)]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as writer:
            time.sleep(chance.uniform(0.6, 1.4))
            busy += writer.poll() is None and 0 < int(cursor.read_text()) < total
            writer.kill()
            _, complaint = writer.communicate()
        assert b"Error" not in complaint, complaint
    done = subprocess.run([*command[:-1], "99"], timeout=120, check=False)
    assert done.returncode == 0
    assert busy >= 5, "the writers were done too early for the kills to mean much"
    assert contents(careless) == mids(total)
    report = verify(S3Config.model_validate(settings))
    assert report.ok, report.lines()
    assert report.streams[0].end == total
