"""The intake answers as Sunbird's telemetry service does, and what it said yes to is in the journal."""

from __future__ import annotations

import gc
import gzip
import json
import socket
import threading

import pytest

from bridge.configuration.intake import PATHS, HttpIntakeSettings
from bridge.deadletters import SqliteDeadLetters
from bridge.errors import BridgeError
from bridge.intake import http
from bridge.intake.auth import digest
from bridge.intake.http import HttpIntake
from bridge.journals.base import JournalContext
from bridge.journals.file import FileJournal, FileJournalConfig
from bridge.testing import encode, make_event, nasty, samples

REFERENCE = {"id", "ver", "ets", "params", "responseCode"}


@pytest.mark.parametrize("path", [*PATHS, "/v1/telemetry/", "/v1/telemetry?x=1"])
def test_a_batch_is_answered_as_by_the_service_it_stands_for(serve, batch, path):
    running = serve()
    answer = running.send(batch(*samples().values()), path)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert set(answer.json) == REFERENCE
    assert answer.json | {"ets": 0} == {
        "id": "api.telemetry", "ver": "1.0", "ets": 0, "params": {}, "responseCode": "SUCCESS",
    }  # fmt: skip
    assert abs(answer.json["ets"] - json.loads(running.rows()[0])["syncts"]) < 20_000


def test_events_are_stored_in_order_with_their_own_bytes_and_a_stamp(serve, batch, numbered):
    running = serve()
    events = [encode(event) for event in numbered(5)]
    assert running.send(batch(*events)).status == 200
    rows = running.rows()
    assert [row[: len(event) - 1] for row, event in zip(rows, events, strict=True)] == [
        e[:-1] for e in events
    ]
    stamps = {(json.loads(row)["syncts"], json.loads(row)["@timestamp"]) for row in rows}
    assert len(stamps) == 1


def test_gzip_is_taken(serve, batch, numbered):
    running = serve()
    body = gzip.compress(batch(*numbered(200)))
    for encoding in ("gzip", "GZIP", "x-gzip"):
        assert running.send(body, content_encoding=encoding).status == 200
    assert len(running.rows()) == 600


def test_an_empty_batch_is_a_batch(serve, batch):
    running = serve()
    assert running.send(batch()).status == 200
    assert running.rows() == []


def test_a_batch_that_comes_in_chunks_is_taken(serve, batch, numbered):
    running = serve()
    found = running.connect()
    found.sendall(
        b"POST /v1/telemetry HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for place in range(0, len(body := batch(*numbered(3))), 700):
        piece = body[place : place + 700]
        found.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
    found.sendall(b"0\r\n\r\n")
    assert found.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert running.mids() == ["m-0", "m-1", "m-2"]


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(serve, batch, drain):
    running = serve()
    found, body = running.connect(), batch(make_event())
    found.sendall(
        b"POST /v1/telemetry HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    assert found.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    found.sendall(body)
    assert drain(found).startswith(b"HTTP/1.1 200 ")


def test_bad_events_are_taken_with_the_good_ones_as_they_are(serve):
    running = serve()
    odd = [b"7", b"null", b"[]", b'"x"', b'{"eid":1}', *nasty().values()]
    taken = []
    for event in odd:
        answer = running.send(b'{"events":[%b]}' % event)
        assert answer.status in {200, 400, 413}, event
        if answer.status == 200 and event.strip():
            taken.append(event)
    rows = running.rows()
    assert len(rows) == len(taken) > 100
    assert {b"7", b"null", b"[]", b'"x"'} <= set(rows)


@pytest.mark.parametrize(
    ("body", "headers", "status", "reason"),
    [
        (b"", {}, 400, "not a batch: Input data was truncated"),
        (b"{}", {}, 400, 'it has no array "events"'),
        (b"[]", {}, 400, "not a batch: Expected `object`, got `array`"),
        (b'{"events":{}}', {}, 400, "Expected `array`"),
        (b'{"events":[', {}, 400, "truncated"),
        (b"not gzip", {"content_encoding": "gzip"}, 400, "not gzip"),
        (gzip.compress(b"{}", mtime=0)[:-3], {"content_encoding": "gzip"}, 400, "cut off"),
        (b"{}", {"content_encoding": "br"}, 415, "gzip"),
        (b"{}", {"content_encoding": "gzip, gzip"}, 415, "gzip"),
        (b"{}", {"content_encoding": "deflate"}, 415, "gzip"),
        (b"events=1", {"content_type": "application/x-www-form-urlencoded"}, 415, "application/json"),
        (b"{}", {"content_type": "text/plain"}, 415, "application/json"),
        (b"{}", {"content_type": "application/json; charset=utf-16"}, 415, "UTF-8"),
        (b'{"events":[%b1]}' % (b"1," * 1000), {}, 413, "at most 1000 events"),
        (b'{"events":["%b"]}' % (b"x" * 6_000_000), {}, 413, "at most 5242880 bytes"),
        (
            gzip.compress(b"\0" * 50_000_000, mtime=0),
            {"content_encoding": "gzip"},
            413,
            "more than 100 times",
        ),
    ],
)
def test_what_is_refused_is_refused_with_a_reason(serve, body, headers, status, reason):
    running = serve()
    answer = running.send(body, **headers)
    assert answer.status == status
    assert set(answer.json) == REFERENCE
    assert answer.json["id"] == "api.telemetry"
    assert answer.json["responseCode"] == "CLIENT_ERROR"
    assert reason in answer.reason
    assert running.rows() == []
    assert running.intake.tally.answers == {status: 1}


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json;charset=UTF-8",
        'Application/JSON; charset="utf-8"; x=1',
        "application/vnd.x+json",
    ],
)
def test_json_in_utf_8_may_be_called_by_several_names(serve, batch, kind):
    assert serve().send(batch(), content_type=kind).status == 200


def test_other_paths_and_methods_are_not_there(serve, batch):
    running = serve(paths=["/telemetry"])
    assert running.send(batch(), "/telemetry").status == 200
    assert running.send(batch(), "/v1/telemetry").status == 404
    assert running.get("/").status == 404
    answer = running.get("/telemetry")
    assert (answer.status, answer.headers["allow"]) == (405, "POST, OPTIONS")
    assert running.send(batch(), "/health").status == 405


def test_health_says_whether_events_can_be_stored(serve, batch, numbered):
    running = serve(journal={"max_bytes": 1024 * 1024})
    answer = running.get("/health")
    assert (answer.status, answer.json["id"], answer.json["responseCode"]) == (200, "api.health", "SUCCESS")
    bare = running.send(path="/health", method="HEAD")
    assert (bare.status, bare.body) == (200, b"")
    running.journal._size = 2 * 1024 * 1024
    running.intake.service._healthy = None
    answer = running.get("/health")
    assert (answer.status, answer.json["params"]) == (503, {"err": "Telemetry API is unhealthy"})


def test_a_full_journal_is_told_with_the_time_to_wait(serve, batch, numbered):
    running = serve(journal={"max_bytes": 1024 * 1024})
    filling = numbered(500)
    assert running.send(batch(*filling)).status == 200
    answer = running.send(batch(*filling, mid="again"))
    assert answer.status == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json["responseCode"] == "SERVER_ERROR"
    assert "full" in answer.reason
    assert len(running.rows()) == 500


def test_a_journal_that_fails_is_told_without_its_secrets(serve, batch, caplog):
    running = serve()

    def fail(*_):
        raise ValueError("password hunter2")

    running.journal.append = fail
    answer = running.send(batch(make_event()))
    assert (answer.status, answer.reason) == (503, "Request failed")
    assert "hunter2" not in answer.body.decode()
    assert running.intake.status().trouble == (
        "events cannot be stored, senders get 503: the journal failed: ValueError"
    )
    assert running.get("/health").status == 503
    del running.journal.append
    assert running.send(batch(make_event())).status == 200
    assert "events are stored again" in caplog.text or caplog.records
    assert running.intake.status().trouble == ""


def test_trouble_is_over_when_it_is_also_if_nobody_sends_any_more(serve, batch, until, monkeypatch):
    monkeypatch.setattr(http, "TELL", 0.0)
    running = serve()
    running.journal._size = 10**12
    assert running.send(batch(make_event())).status == 503
    assert "quota" in running.intake.status().trouble
    running.journal._size = 0
    until(lambda: not running.intake.status().trouble)


def test_the_same_batch_sent_again_is_answered_and_not_kept_twice(serve, batch, numbered):
    running = serve()
    body = batch(*numbered(3), params={"msgid": "one"})
    for again in (body, gzip.compress(body), body.replace(b'{"params"', b'{"ets":7,"params"')):
        encoding = "gzip" if again[:2] == b"\x1f\x8b" else None
        assert running.send(again, content_encoding=encoding).status == 200
    assert running.mids() == ["m-0", "m-1", "m-2"]
    assert running.intake.tally.repeated == 2


def test_another_batch_under_the_same_id_is_kept(serve, batch, numbered):
    running = serve()
    for first in (0, 1):
        assert running.send(batch(*numbered(1, first), params={"msgid": "one"})).status == 200
    assert running.mids() == ["m-0", "m-1"]


def test_batches_without_an_id_are_all_kept(serve, batch, numbered):
    running = serve()
    for _ in range(2):
        assert running.send(batch(*numbered(1))).status == 200
    assert len(running.rows()) == 2


def test_only_the_last_batches_are_remembered(serve, batch, numbered):
    running = serve(idempotency_window=2)
    for number in (0, 1, 2, 2, 0):
        assert running.send(batch(*numbered(1, number), mid=str(number))).status == 200
    assert running.mids() == ["m-0", "m-1", "m-2", "m-0"]


def test_a_batch_that_could_not_be_stored_is_not_remembered(serve, batch, numbered):
    running = serve()
    body = batch(*numbered(1), mid="x")
    running.journal._size = 10**12
    assert running.send(body).status == 503
    running.journal._size = 0
    assert running.send(body).status == 200
    assert running.mids() == ["m-0"]


def test_a_batch_that_comes_twice_at_once_is_kept_once_and_answered_twice(serve, batch, numbered, until):
    running = serve()
    held, append = threading.Event(), running.journal.append

    def slowly(payloads, source):
        held.wait(20)
        append(payloads, source)

    running.journal.append = slowly
    body, answers = batch(*numbered(2), mid="x"), []
    threads = [threading.Thread(target=lambda: answers.append(running.send(body).status)) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: running.intake.tally.repeated == 2)
    held.set()
    for thread in threads:
        thread.join()
    assert answers == [200, 200, 200]
    assert running.mids() == ["m-0", "m-1"]


def test_many_clients_at_once_lose_nothing(serve, batch, numbered, until):
    running = serve()
    statuses = []

    def client(number):
        for turn in range(5):
            events = numbered(7, 1000 * number + 10 * turn)
            statuses.append(running.send(batch(*events, mid=f"{number}/{turn}")).status)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 60
    mids = running.mids()
    assert len(mids) == len(set(mids)) == 420
    assert (running.intake.tally.batches, running.intake.tally.events) == (60, 420)
    until(lambda: running.intake.service.budget.used == 0)  # let go of once the answer is on its way


def test_a_connection_takes_one_request_after_another(serve, batch, numbered, drain):
    running = serve()
    body = batch(*numbered(1))
    post = b"POST /v1/telemetry HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    bad = b"POST /v1/telemetry HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
    last = b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    data = running.raw(post + bad + post + bad + last)
    assert [part[:3] for part in data.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400", b"200", b"400", b"200"]
    assert len(running.rows()) == 2


def test_a_refused_body_is_read_over_and_the_connection_goes_on(serve, batch, drain):
    running = serve()
    body = b"x" * 100_000
    head = b"POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
    last = b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    data = running.raw(head + body + last)
    assert [part[:3] for part in data.split(b"HTTP/1.1 ")[1:]] == [b"404", b"200"]


def test_the_answer_to_a_long_refused_body_arrives(serve):
    running = serve()
    found = running.connect()
    found.sendall(
        b"POST /v1/telemetry HTTP/1.1\r\nHost: h\r\nContent-Length: 90000000\r\n\r\n" + b"x" * 300_000
    )
    answer = found.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer


def test_a_half_closed_client_still_gets_its_answer(serve, batch, drain):
    running = serve()
    found, body = running.connect(), batch(make_event())
    post = b"POST /v1/telemetry HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    found.sendall(post * 3)
    found.shutdown(socket.SHUT_WR)
    assert drain(found).count(b"HTTP/1.1 200 ") == 3


def test_a_client_too_many_is_sent_away_at_once(serve, drain, until):
    running = serve(limits={"connections": 2})
    first, second = running.connect(), running.connect()
    until(lambda: running.intake.connections == 2)
    assert drain(running.connect()).startswith(b"HTTP/1.1 503 ")
    first.close()
    until(lambda: running.intake.connections == 1)
    assert running.get("/health").status == 200
    second.close()


def test_http_1_0_is_spoken_too(serve, batch, drain):
    running = serve()
    body = batch(make_event())
    data = running.raw(b"POST /v1/telemetry HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    assert data.startswith(b"HTTP/1.1 200 ")
    assert b"Connection: close" in data


def test_a_request_keeps_its_id_if_it_is_a_harmless_one(serve, batch):
    running = serve()
    assert running.send(batch(), x_request_id="abc_DEF-123").headers["x-request-id"] == "abc_DEF-123"
    for odd in ("short", "x" * 65, "a b c d e f", "<script>x</script>"):
        given = running.send(batch(), x_request_id=odd).headers["x-request-id"]
        assert given != odd
        assert len(given) == 16


def test_pages_of_named_origins_may_send(serve, batch):
    running = serve(cors_origins=["https://portal.example"])
    asked = {"origin": "https://portal.example", "access_control_request_method": "POST"}
    answer = running.send(method="OPTIONS", access_control_request_headers="authorization,datatype", **asked)
    assert answer.status == 204
    assert "content-length" not in answer.headers
    assert answer.headers["access-control-allow-origin"] == "https://portal.example"
    assert answer.headers["access-control-allow-methods"] == "POST, OPTIONS"
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "datatype", "x-app-id", "x-device-id", "x-channel-id"} <= set(
        allowed
    )
    assert answer.headers["access-control-max-age"] == "600"
    answer = running.send(batch(), origin="https://portal.example")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://portal.example")
    assert answer.headers["vary"] == "Origin"
    refused = running.send(b"{}", origin="https://portal.example")
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (400, "https://portal.example")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://portal.example.evil.example"])
def test_pages_of_other_origins_may_not_send_where_nobody_needs_a_key(serve, batch, origin):
    running = serve(cors_origins=["https://portal.example"])
    answer = running.send(batch(make_event()), origin=origin)
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers
    asked = running.send(method="OPTIONS", origin=origin, access_control_request_method="POST")
    assert "access-control-allow-origin" not in asked.headers
    assert running.rows() == []


def test_with_a_key_a_page_behind_a_proxy_may_send_from_anywhere(serve, batch):
    running = serve(keys={"portal": {"sha256": digest("k" * 32)}})
    answer = running.send(batch(), origin="https://same.example", authorization="Bearer " + "k" * 32)
    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers


def test_closing_answers_what_has_begun_and_takes_nothing_new(serve, batch, numbered, until):
    running = serve()
    held, append = threading.Event(), running.journal.append

    def slowly(payloads, source):
        held.wait(20)
        append(payloads, source)

    running.journal.append = slowly
    idle, answers = running.connect(), []
    thread = threading.Thread(target=lambda: answers.append(running.send(batch(*numbered(1)))))
    thread.start()
    until(lambda: running.intake.service._recent is not None and running.intake.connections == 2)
    until(lambda: any(not c.waiting for c in list(running.intake._connections)))
    running.intake.stop()
    until(lambda: running.intake.closing)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", running.port), 1).close()
    assert idle.recv(10) == b""
    held.set()
    thread.join()
    running.intake.close()
    assert answers[0].status == 200
    assert answers[0].headers["connection"] == "close"
    assert running.mids() == ["m-0"]


def test_an_address_that_is_taken_is_named(serve, tmp_path):
    running = serve()
    with pytest.raises(
        BridgeError, match=rf"cannot listen on 127.0.0.1:{running.port} .*\[intake.http\] port"
    ):
        serve(port=running.port)


def test_a_journal_that_takes_no_events_is_told_at_the_start(serve, tmp_path):
    running = serve()
    path = tmp_path / "events.jsonl"
    path.write_text("")
    journal = FileJournal(FileJournalConfig(path=str(path)), JournalContext(running.state, "x", ()))
    with pytest.raises(BridgeError, match="takes no new events"):
        HttpIntake(HttpIntakeSettings(enabled=True), journal, SqliteDeadLetters(running.state, 0))


def test_the_status_says_what_was_taken_and_what_was_refused(serve, batch, numbered, until):
    running = serve(limits={"events": 5})
    for body in (batch(*numbered(3)), batch(*numbered(6)), b"[]", b"{}"):
        running.send(body)
    idle = running.connect()
    until(lambda: (running.intake.connections, running.intake.service.budget.used) == (1, 0))
    status = running.intake.status()
    assert (status.intake, status.where, status.trouble) == ("http", running.intake.url, "")
    assert status.events == {"accepted": 3, "duplicate": 0, "dead_lettered": 0}
    assert status.refusals == {"400": 2, "413": 1}
    assert (status.connections, status.held_bytes, status.ended) == (1, 0, False)
    idle.close()
    running.intake.close()
    assert running.intake.status().ended


def test_a_client_that_dawdles_is_cut_off_when_the_time_to_stop_is_over(serve, drain, until):
    running = serve()
    found = running.connect()
    found.sendall(b"POST /v1/telemetry HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n{")
    until(lambda: running.intake.service.budget.used == 1)
    running.intake.stop(0.0)
    assert drain(found) == b""
    assert running.intake.join(20)


def test_who_connects_while_it_stops_is_not_forgotten(serve):
    running = serve()
    loop = running.intake._loop
    found = []

    def connect():
        found.append(running.connect())
        loop.call_soon(running.intake._ended.set)  # the loop has accepted, and not yet told the intake

    loop.call_soon_threadsafe(connect)
    assert running.intake.join(20)
    assert found[0].recv(10) == b""
    gc.collect()  # pytest refuses what is found unclosed


def test_an_intake_that_never_started_can_be_closed(serve, tmp_path):
    running = serve()
    idle = HttpIntake(HttpIntakeSettings(enabled=True), running.journal, running.letters)
    idle.close()
    assert idle.join(0)


def test_the_url_is_where_batches_go(serve):
    running = serve(paths=["/a/b"])
    assert running.intake.url == f"http://127.0.0.1:{running.port}/a/b"


def test_what_was_refused_is_told_in_the_log_in_a_line(serve, caplog):
    running = serve()
    for _ in range(3):
        running.send(b"{}")
    running.intake.tally.tell()
    (record,) = [r for r in caplog.records if r.message == "refused requests"]
    assert (record.status, record.times) == (400, 3)
    caplog.clear()
    running.intake.tally.tell()
    assert not caplog.records
