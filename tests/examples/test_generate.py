from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import islice
from pathlib import Path

import pytest

from bridge.errors import EventError
from bridge.events import Decoder, Level, decode
from bridge.testing import samples

START = 1_767_587_400_000
DAY = 86_400_000
SCRIPTS = {
    "Devanagari": "\u0900\u097f",
    "Bengali": "\u0980\u09ff",
    "Gujarati": "\u0a80\u0aff",
    "Tamil": "\u0b80\u0bff",
    "Telugu": "\u0c00\u0c7f",
    "Kannada": "\u0c80\u0cff",
    "Malayalam": "\u0d00\u0d7f",
}


@pytest.fixture(scope="module")
def sample(generator):
    """Five thousand lines and their manifest."""
    manifest = generator.Manifest()
    return list(generator.generate(5000, 7, START, manifest=manifest)), manifest


@pytest.fixture(scope="module")
def valid(sample):
    """The documents that lenient validation lets through, duplicates included."""
    return [json.loads(line) for line in sample[0] if _accepted(line)]


@pytest.fixture(scope="module")
def clean(generator):
    return list(generator.generate(5000, 11, START, clean=True))


def _accepted(line):
    try:
        return decode(line)
    except EventError:
        return None


def test_the_manifest_counts_what_lenient_validation_finds(sample):
    lines, manifest = sample
    accepted = [line for line in lines if _accepted(line)]
    unique = set(accepted)
    assert manifest.events == len(lines) == 5000
    assert manifest.invalid == len(lines) - len(accepted)
    assert manifest.valid == len(unique)
    assert manifest.duplicates == len(accepted) - len(unique)
    assert manifest.valid + manifest.invalid + manifest.duplicates == manifest.events
    assert manifest.bytes == sum(map(len, lines))


def test_the_manifest_counts_by_event_type_and_by_fault(sample):
    lines, manifest = sample
    first, again = Counter(), Counter()
    seen = set()
    for line in filter(_accepted, lines):
        (again if line in seen else first)[json.loads(line)["eid"]] += 1
        seen.add(line)
    assert manifest.by_eid == first
    assert manifest.duplicates_by_eid == again
    assert manifest.invalid_by_fault.total() == manifest.invalid


def test_the_manifest_counts_the_types_that_only_strict_refuses(sample):
    lines, manifest = sample
    strict = Decoder(Level.STRICT)
    refused = 0
    for line in {line for line in lines if _accepted(line)}:
        try:
            strict.event(line)
        except EventError:
            refused += 1
    assert manifest.unofficial == refused > 0


def test_duplicates_are_the_same_event_with_the_same_identity(sample):
    identities = [event.identity for line in sample[0] if (event := _accepted(line))]
    assert len(set(identities)) == sample[1].valid


def test_all_17_official_types_and_the_jobs_occur(sample):
    assert set(sample[1].by_eid) == {*samples(), "JOB_START", "JOB_LOG", "JOB_END"}


def test_about_two_in_a_hundred_are_invalid_and_as_many_sent_twice(generator):
    manifest = generator.Manifest()
    for _ in generator.generate(30_000, 3, START, manifest=manifest):
        pass
    assert 0.015 < manifest.invalid / manifest.events < 0.025
    assert 0.012 < manifest.duplicates / manifest.events < 0.03
    assert len(manifest.invalid_by_fault) == 15


def test_the_faults_are_those_of_real_producers(sample):
    faults = set(sample[1].invalid_by_fault)
    assert {
        "INTERACT without edata.id",
        "ERROR without edata.err",
        "START with dspec.edisk as text",
        "cdata id as an array",
        "no context.channel",
        "not JSON",
    } <= faults


def test_the_same_arguments_give_the_same_bytes(generator, sample):
    assert list(generator.generate(5000, 7, START)) == sample[0]


def test_another_seed_gives_other_events(generator, sample):
    other = {json.loads(line)["mid"] for line in generator.generate(500, 8, START, clean=True)}
    assert not other & {json.loads(line)["mid"] for line in sample[0] if _accepted(line)}


def test_a_shorter_stream_is_the_beginning_of_a_longer_one(generator, sample):
    assert list(generator.generate(777, 7, START)) == sample[0][:777]


def test_another_start_moves_the_events_in_time(generator):
    here = [json.loads(line) for line in generator.generate(300, 7, START, clean=True)]
    there = [json.loads(line) for line in generator.generate(300, 7, START + 5 * DAY, clean=True)]
    assert [event["ets"] + 5 * DAY for event in here] == [event["ets"] for event in there]


def test_sizes_are_those_of_real_telemetry(sample):
    sizes = sorted(map(len, sample[0]))
    assert 930 < sum(sizes) / len(sizes) < 1070
    assert 650 < sizes[len(sizes) // 20] < 800
    assert 1200 < sizes[len(sizes) * 95 // 100] < 1450


def test_clean_events_pass_strict_validation_and_have_message_ids_of_their_own(clean):
    strict = Decoder(Level.STRICT)
    events = [strict.event(line) for line in clean]
    assert len({event.mid for event in events}) == 5000
    assert {event.eid for event in events} == set(samples())


def test_message_ids_stay_unique_in_a_long_stream(generator):
    lines = generator.generate(60_000, 5, START, clean=True)
    assert len({json.loads(line)["mid"] for line in lines}) == 60_000


def test_searches_titles_and_comments_are_written_in_indian_scripts(valid):
    texts = defaultdict(str)
    for event in valid:
        edata = event["edata"]
        texts["search"] += edata.get("query", "")
        texts["comment"] += edata.get("comments", "")
        texts["question"] += edata.get("item", {}).get("title", "")
        texts["answer"] += json.dumps(edata.get("values", ""), ensure_ascii=False)
    written = "".join(texts.values())
    missing = [name for name, (low, high) in SCRIPTS.items() if not any(low <= c <= high for c in written)]
    assert missing == []
    for place, text in texts.items():
        assert any("\u0900" <= letter <= "\u0d7f" for letter in text), place


def test_indian_text_stands_in_the_bytes_as_utf_8_and_is_not_escaped(sample):
    assert sum(b"\\u0" in line for line in sample[0]) == 0
    assert sum("गणित".encode() in line for line in sample[0]) > 20


def test_several_tenants_producers_and_versions_take_part(valid):
    contexts = [event["context"] for event in valid]
    assert len({context["channel"] for context in contexts}) == 5
    assert len({context["pdata"]["id"] for context in contexts}) > 10
    assert len({context["pdata"]["ver"] for context in contexts}) > 5


def test_a_part_of_the_events_carries_what_the_pipeline_adds(valid):
    stamped = [event for event in valid if "syncts" in event]
    assert 0.4 < len(stamped) / len(valid) < 0.8
    assert all({"@timestamp", "flags"} <= set(event) for event in stamped)


def test_some_events_arrive_days_late_and_some_from_a_clock_ahead(sample, valid):
    delays = [event["syncts"] - event["ets"] for event in valid if "syncts" in event]
    assert any(delay > DAY for delay in delays)
    assert any(delay < -60_000 for delay in delays)
    assert sample[1].late > 0
    assert sample[1].ahead > 0
    assert (sample[1].late + sample[1].ahead) / 5000 < 0.12


def test_arrival_times_never_go_back(valid):
    fresh = list({event["mid"]: event["syncts"] for event in valid if "syncts" in event}.values())
    assert fresh == sorted(fresh)


def test_app_sessions_nest_as_the_specification_says(clean):
    sessions = defaultdict(list)
    for event in map(json.loads, clean):
        if event["context"]["pdata"].get("platform") in {"Android", "iOS"}:
            sessions[event["context"]["sid"]].append(event)
    whole = [events for events in sessions.values() if events[-1]["edata"].get("type") == "app"]
    assert len(whole) > 10
    for events in whole:
        assert _nested(events) == []


def _nested(events):
    """Match START and END by type and mode; returns what stays open."""
    stack = []
    for event in events:
        key = (event["edata"].get("type"), event["edata"].get("mode"))
        if event["eid"] == "START":
            stack.append(key)
        elif event["eid"] == "END":
            assert stack.pop() == key
    return stack


def test_portal_sessions_are_never_closed_and_times_within_a_session_grow(clean):
    sessions = defaultdict(list)
    for event in map(json.loads, clean):
        sessions[event["context"].get("sid"), event["context"]["pdata"]["id"]].append(event)
    for (_, producer), events in sessions.items():
        if producer.endswith((".portal", ".app")):
            assert [event["ets"] for event in events] == sorted(event["ets"] for event in events)
        if producer.endswith(".portal"):
            assert ("END", "session") not in {(event["eid"], event["edata"].get("type")) for event in events}


def test_a_player_reports_answers_before_their_evaluation(clean):
    open_questions = set()
    for event in map(json.loads, clean):
        where = event["context"].get("sid")
        if event["eid"] == "RESPONSE":
            open_questions.add((where, event["edata"]["target"]["id"]))
        elif event["eid"] == "ASSESS":
            assert (where, event["edata"]["item"]["id"]) in open_questions


def test_batches_hold_the_same_events_in_envelopes_of_at_most_twenty(generator, sample):
    lines, manifest = sample
    counted = generator.Manifest()
    envelopes = list(generator.batches(5000, 7, START, manifest=counted))
    events, strays = [], 0
    for line in envelopes:
        try:
            envelope = json.loads(line)
        except ValueError:
            strays += 1
            continue
        assert 1 <= len(envelope["events"]) <= 20
        assert {"id", "ver", "ets", "params"} <= set(envelope)
        events += envelope["events"]
    assert strays == counted.invalid_by_fault["not JSON"] > 0
    assert len(events) + strays == 5000
    parsed = [json.loads(line) for line in lines if line.endswith(b"}")]
    assert sorted(e.get("mid", "") for e in events) == sorted(e.get("mid", "") for e in parsed)
    assert not any("syncts" in event for event in events)
    assert (counted.valid, counted.duplicates) == (manifest.valid, manifest.duplicates)


def test_envelopes_come_from_one_device_each(generator):
    for line in generator.batches(1000, 7, START, clean=True):
        envelope = json.loads(line)
        assert {event["context"].get("did", "") for event in envelope["events"]} == {
            envelope["params"]["did"]
        }


def test_the_generator_is_lazy(generator):
    assert len(list(islice(generator.generate(10**12, 7, START), 5))) == 5


def _run(generator, *arguments):
    return subprocess.run(
        [sys.executable, "-I", generator.__file__, *arguments], capture_output=True, check=True, timeout=60
    )


def test_the_command_writes_a_file_and_prints_its_counts(generator, tmp_path):
    out = tmp_path / "sample.jsonl"
    start = "2026-01-05T04:30:00Z"
    done = _run(generator, "--events", "400", "--seed", "7", "--start", start, "--out", str(out))
    manifest = generator.Manifest()
    expected = list(generator.generate(400, 7, START, manifest=manifest))
    assert out.read_bytes() == b"\n".join(expected) + b"\n"
    assert json.loads(done.stderr) == manifest.summary()
    assert done.stdout == b""


def test_the_command_writes_to_stdout_and_is_silent_otherwise(generator):
    done = _run(generator, "--events", "300", "--clean", "--start", str(START))
    assert done.stdout.splitlines() == list(generator.generate(300, 7, START, clean=True))
    assert done.stderr == b""


def test_the_command_writes_batches(generator, tmp_path):
    out = tmp_path / "batches.jsonl"
    _run(generator, "--events", "200", "--format", "batches", "--start", str(START), "--out", str(out))
    assert out.read_bytes().splitlines() == list(generator.batches(200, 7, START))


def test_the_readme_names_every_option(generator):
    readme = (Path(generator.__file__).parent / "README.md").read_text()
    for option in ("--events", "--seed", "--start", "--format", "--clean", "--out"):
        assert option in readme


def test_the_readme_shows_the_counts_the_command_prints(generator, sample):
    readme = (Path(generator.__file__).parent / "README.md").read_text()
    shown = dict(re.findall(r'^  "(\w+)": (\d+),$', readme, re.MULTILINE))
    assert shown == {name: str(value) for name, value in vars(sample[1]).items() if isinstance(value, int)}
