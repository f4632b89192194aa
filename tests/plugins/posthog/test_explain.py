"""`bridge explain`: a Sunbird event and what PostHog gets, side by side."""

from __future__ import annotations

import json

from bridge.sinks import Batch


def test_both_events_stand_side_by_side(make_sink, event, batch_of):
    sink = make_sink()
    text = sink.explain(batch_of(sink, [event("ASSESS")]))
    lines = text.splitlines()
    assert lines[0].startswith("Sunbird")
    assert lines[0].endswith("│ PostHog")
    left = "".join(line[:62].strip() for line in lines if "│" in line)
    right = "".join(line.partition("│")[2].strip() for line in lines)
    assert '"eid": "ASSESS"' in left
    assert '"event": "question assessed"' in right
    assert max(map(len, lines)) <= 2 * 62 + 3
    assert "\x1b" not in text


def test_long_values_are_wrapped_and_not_cut(make_sink, event, batch_of):
    sink = make_sink()
    comment = "word " * 200
    text = sink.explain(batch_of(sink, [event("FEEDBACK", {"edata.comments": comment})]))
    assert text.count("word") == 400


def test_additional_events_and_excluded_ones_are_shown(make_sink, event):
    sink = make_sink(group_identify=True)
    started = event("START")
    assert "$groupidentify" in sink.explain(Batch([sink.map(started)], [started], "product"))
    assert "PostHog" in sink.explain(Batch([b""], [started], "product"))


def test_secrets_are_not_shown(make_sink, event, batch_of):
    sink = make_sink(pseudonym_key="a-secret-key")
    text = sink.explain(batch_of(sink, [event()]))
    assert "a-secret-key" not in text
    assert sink.config.api_key.reveal() not in text


def test_terminal_codes_in_telemetry_are_not_passed_to_the_terminal(make_sink, event, batch_of):
    sink = make_sink()
    text = sink.explain(batch_of(sink, [event("INTERACT", {"edata.id": "\x1b[2J\x9b31m"})]))
    assert not [letter for letter in text if letter != "\n" and not letter.isprintable()]


def test_what_is_explained_is_what_is_sent(make_sink, event):
    sink = make_sink(capture_mode="v0")
    one = event("END")
    shown = sink.explain(Batch([sink.map(one)], [one], "product"))
    for name in json.loads(sink.map(one))["properties"]:
        assert f'"{name}"' in shown
