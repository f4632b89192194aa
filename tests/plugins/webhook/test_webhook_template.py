"""Templates: values go in as JSON values, and no event changes the structure."""

from __future__ import annotations

import datetime as dt
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import EventError
from bridge.events import decode
from bridge.testing import encode, make_event, nasty
from bridge_webhook.template import Template


def rendered(structure, event):
    return json.loads(Template(structure).render(event))


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        ({"a": {"$": "edata.pageid"}}, {"a": "slide-3"}),
        (
            {"a": {"$": "eid"}, "b": 1, "c": None, "d": [True, 1.5, "x"]},
            {"a": "INTERACT", "b": 1, "c": None, "d": [True, 1.5, "x"]},
        ),
        ({"a": {"$": "context.cdata.0.type"}}, {"a": "ContentSession"}),
        ({"a": {"$": "context.cdata.99.type"}}, {"a": None}),
        ({"a": {"$": "edata.nothing"}}, {"a": None}),
        ({"a": {"$": "edata.nothing", "default": "-"}}, {"a": "-"}),
        ({"a": {"$": "eid.length"}}, {"a": None}),
        ({"a": {"$": "context.cdata.type"}}, {"a": None}),
        ({"deep": [{"er": {"$": "ver"}}]}, {"deep": [{"er": "3.0"}]}),
        ({"context": {"pdata": {"$": "context.pdata.id"}}}, {"context": {"pdata": "prod.pathshala.app"}}),
        ({"$": "actor.type"}, "User"),
    ],
)
def test_paths_are_looked_up(event, structure, expected):
    assert rendered(structure, event("INTERACT")) == expected


def test_a_dot_stands_for_the_event_as_it_came(event):
    sent = event("INTERACT")
    assert Template({"e": {"$": "."}}).render(sent) == b'{"e":%b}' % sent.raw


def test_whole_objects_can_be_put_in(event):
    sent = event("INTERACT")
    assert rendered({"e": {"$": "edata"}}, sent) == {"e": json.loads(sent.raw)["edata"]}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_value_escapes_from_its_place(text):
    sent = decode(encode(make_event("INTERACT", {"edata.pageid": text or "x", "edata.id": '","evil":"1'})))
    found = rendered({"text": {"$": "edata.pageid"}, "id": {"$": "edata.id"}}, sent)
    assert found == {"text": text or "x", "id": '","evil":"1'}


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        ({"a": {"$": ""}}, 'template.a: write a path such as "edata.pageid"'),
        ({"a": {"$": "edata..x"}}, "template.a: write a path"),
        ({"a": {"$": 3}}, "template.a: write a path"),
        ({"a": [1, {"$": "eid", "deflaut": 1}]}, 'template.a.1: beside "$" only "default" may stand'),
        ({"a": dt.date(2026, 1, 1)}, "template.a: a date cannot be written as JSON"),
    ],
)
def test_a_wrong_template_is_refused_with_its_place(structure, message):
    with pytest.raises(ValueError, match="template") as caught:
        Template(structure)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", sorted(nasty()))
def test_hostile_events_are_rendered_or_refused(name, configure):
    try:
        event = decode(nasty()[name])
    except EventError:
        return
    structure = {"all": {"$": "."}, "edata": {"$": "edata"}, "mid": {"$": "mid"}}
    for kind in ("template", "cloudevents", "cloudevents-binary"):
        sink = configure(body=kind, **({"template": structure} if kind == "template" else {}))
        try:
            payload = sink.map(event)
        except EventError:
            continue
        msgspec.json.decode(payload)
        assert b"\n" not in payload
        assert sink.map(event) == payload
