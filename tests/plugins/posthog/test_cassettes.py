"""Recorded exchanges with the strict capture, for people to read; replayed here without a server.

`cassettes/*.yaml` show what goes over the wire in each situation. To record them anew after a
meant change, delete them and run this file: an absent cassette is recorded from the capture.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import vcr
import yaml

from bridge.errors import DeliveryError
from bridge.events import decode
from bridge.sinks import Batch

CASSETTES = Path(__file__).parent / "cassettes"
KEY = "phc_" + "t" * 43
MASK = "(the project's key)"
HOST = "http://capture.example"
UNSTEADY = {
    "date",
    "server",
    "host",
    "user-agent",
    "posthog-sdk-info",
    "content-length",
    "accept",
    "accept-encoding",
}


def _event(eid, edata, ets):
    return decode(
        json.dumps(
            {
                "eid": eid,
                "ets": ets,
                "ver": "3.0",
                "mid": f"{eid}:{ets}",
                "actor": {"id": "learner-7", "type": "User"},
                "context": {
                    "channel": "tenant-1",
                    "env": "player",
                    "sid": "5b1c8f0e-9d43-4f57-8a64-1f7c2d9be011",
                    "did": "tablet-3",
                    "pdata": {"id": "demo.app", "pid": "demo.player", "ver": "1.2"},
                },
                "object": {"id": "do_1", "type": "Content", "ver": "1"},
                "edata": edata,
            }
        ).encode()
    )


QUESTION = {"item": {"id": "q-1", "title": "½ + ¼ = ?", "maxscore": 1}, "index": 1, "pass": "Yes", "score": 1}
ASSESS = _event("ASSESS", {**QUESTION, "resvalues": [{"1": "¾"}], "duration": 7}, 1_767_690_000_000)
END = _event("END", {"type": "player", "mode": "play", "duration": 60.5, "pageid": "end"}, 1_767_690_060_500)


class Readable:
    """A serialiser of cassettes that writes JSON bodies as indented blocks."""

    @staticmethod
    def serialize(cassette):
        for exchange in cassette["interactions"]:
            request, answer = exchange["request"], exchange["response"]["body"]
            request["body"] = _indented(request["body"])
            answer["string"] = _indented(answer["string"])
        return yaml.dump(cassette, Dumper=_Blocks, allow_unicode=True, sort_keys=False, width=200)

    @staticmethod
    def deserialize(text):
        cassette = yaml.safe_load(text)
        for exchange in cassette["interactions"]:
            exchange["response"]["body"]["string"] = exchange["response"]["body"]["string"].encode()
        return cassette


class _Blocks(yaml.SafeDumper):
    """Writes texts of several lines as they are."""


def _block(dumper, text):
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Blocks.add_representer(str, _block)


def _indented(body):
    text = body.decode() if isinstance(body, bytes) else body
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def _steady(headers):
    return {name: value for name, value in headers.items() if name.lower() not in UNSTEADY}


def _plain_answer(response):
    response["headers"] = _steady(response["headers"])
    return response


def _plain_request(request):
    request.uri = f"{HOST}{urlsplit(request.uri).path}"
    request.headers = _steady(request.headers)
    request.body = request.body.replace(KEY.encode(), MASK.encode())
    return request


def _same_document(one, two):
    assert json.loads(one.body) == json.loads(two.body)


@pytest.fixture
def exchange(make_sink, server_module, request):
    """Run a conversation: recorded if there is no cassette yet, else replayed without any server."""

    def run(name, talk, *, offers_v1=True, faults=(), **options):
        place = CASSETTES / f"{name}.yaml"
        recorder = vcr.VCR(
            record_mode="none" if place.exists() else "once",
            match_on=["method", "path", "document", "headers"],
            filter_headers=[("authorization", f"Bearer {MASK}")],
            before_record_request=_plain_request,
            before_record_response=_plain_answer,
            serializer="readable",
        )
        recorder.register_serializer("readable", Readable)
        recorder.register_matcher("document", _same_document)
        with server_module.running() as capture:
            capture.offers_v1 = offers_v1
            capture.faults.extend(faults)
            host = HOST if place.exists() else capture.url
            with recorder.use_cassette(str(place)) as cassette:
                found = talk(make_sink(host=host, api_key=KEY, compression="none", **options))
            assert place.exists() or cassette.dirty
            assert bool(capture.requests) is not (host == HOST)
            return found

    return run


def _send(sink, *events):
    with sink:
        try:
            return [
                type(outcome).__name__ for outcome in sink.send(Batch([*map(sink.map, events)], events, "p"))
            ]
        except DeliveryError as error:
            return f"{type(error).__name__}: {error}"


def test_auto_finds_v1_and_delivers(exchange):
    found = exchange("auto-finds-v1", lambda sink: _send(sink, ASSESS, END))
    assert found == ["Delivered", "Delivered"]


def test_auto_falls_back_to_v0_and_delivers(exchange):
    found = exchange("auto-falls-back-to-v0", lambda sink: _send(sink, ASSESS), offers_v1=False)
    assert found == ["Delivered"]


def test_v1_answers_event_by_event(exchange, server_module):
    drop = '{"results":{"%s":{"result":"drop","details":"event_restriction_drop"},"%s":{"result":"retry"}}}'

    def verdicts(capture, request, handler):
        uuids = tuple(item["uuid"] for item in json.loads(request.body)["batch"])
        headers = {"Content-Type": "application/json", "Retry-After": "1"}
        return server_module.Reply(200, (drop % uuids).encode(), headers)

    assert exchange(
        "v1-verdicts", lambda sink: _send(sink, ASSESS, END), faults=[verdicts], capture_mode="v1"
    ) == ["Reject", "Retry"]


def test_a_project_over_its_quota_pauses(exchange, server_module):
    reply = server_module.Reply(402, b'{"error":"billing_limit_exceeded","error_description":"over quota"}')
    found = exchange(
        "v1-over-quota", lambda sink: _send(sink, ASSESS), faults=[lambda *_: reply], capture_mode="v1"
    )
    assert found.startswith("SetupError: HTTP 402: the project is over its event quota")


def test_a_batch_that_v0_refuses_is_halved_by_the_host(exchange):
    def talk(sink):
        with sink:
            poison = sink.map(ASSESS).replace(b'"properties":{', b'"properties":null,"x":{', 1)
            try:
                sink.send(Batch([poison], [ASSESS], "p"))
            except DeliveryError as error:
                return f"{type(error).__name__}: {error}"

    found = exchange("v0-refuses-a-batch", talk, capture_mode="v0")
    assert found.startswith("RejectedError: failed to parse request")


def test_a_check_changes_nothing(exchange):
    def talk(sink):
        with sink:
            return sink.check()

    assert "speaks capture V1 (configured)" in exchange("check", talk, capture_mode="v1")


def test_no_cassette_holds_a_key():
    texts = [place.read_text(encoding="utf-8") for place in CASSETTES.glob("*.yaml")]
    assert len(texts) >= 6
    assert not [text for text in texts if KEY in text or "127.0.0.1" in text]
