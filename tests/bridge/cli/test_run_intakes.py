"""`bridge run` with intakes: what it takes meanwhile, what it shows of that, and in which order it stops."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import signal
import socket
import threading
import urllib.request
from pathlib import Path

import pytest

from bridge.state import State

TRAY = '[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\n'
HTTP = "[intake.http]\nenabled = true\nport = 0\n"


class Running:
    """A bridge that listens, as a process."""

    def __init__(self, site):
        self.process = site.start("run")
        self.pages = self.process.stdout.readline().split()[-1]
        self.port = int(self.process.stdout.readline().split()[-1].split(":")[2].partition("/")[0])

    def post(self, *events, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(
                "POST", "/v1/telemetry", batch(*events), {"Content-Type": "application/json"} | headers
            )
            return connection.getresponse().status
        finally:
            connection.close()

    def begin(self, body):
        """A connection on which a request has begun: all of it but the last byte of its body."""
        found = socket.create_connection(("127.0.0.1", self.port), 20)
        head = b"POST /v1/telemetry HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
        found.sendall(head + body[:-1])
        return found

    def refuses(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except OSError:
            return True
        return False

    def status(self):
        with urllib.request.urlopen(f"{self.pages}status.json", timeout=10) as answer:
            return json.load(answer)

    def intake(self):
        return self.status()["intakes"][0]

    def end(self):
        out, err = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, out + err
        return out


def batch(*events):
    return b'{"events":[' + b",".join(events) + b"]}"


def mids(lines):
    return sorted(json.loads(line)["mid"] for line in lines)


def test_observers_are_told_of_an_event_that_its_sender_may_not_send(site, make_raw):
    (site.folder / "plugins").mkdir()
    (site.folder / "plugins" / "tray.py").symlink_to(Path(__file__).parent / "plugins" / "tray.py")
    (site.folder / "plugins" / "watch.py").write_text(
        "from bridge import hookimpl\n"
        "@hookimpl\n"
        "def bridge_dead_lettered(letter): print('lost', letter.code, letter.mid, flush=True)\n"
    )
    key = hashlib.sha256(b"a key of the portal's").hexdigest()
    sender = f'[intake.http.keys.portal]\nsha256 = "{key}"\nchannels = ["in.own"]\n'
    site.configure(HTTP + sender + TRAY, head='plugins.dir = "plugins"\n')
    running = Running(site)
    assert running.post(make_raw(7), authorization="Bearer a key of the portal's") == 200
    running.process.send_signal(signal.SIGTERM)
    assert "lost channel_mismatch" in running.end()


def test_what_comes_by_http_is_delivered_while_the_bridge_runs(site, make_raw):
    site.configure(HTTP + TRAY)
    running = Running(site)
    assert running.post(*[make_raw(n) for n in range(5)]) == 200
    site.wait_for(lambda: len(site.delivered()) == 5)
    running.process.send_signal(signal.SIGTERM)
    running.end()


def test_the_status_page_has_the_intakes(site, make_raw):
    site.configure(HTTP + TRAY)
    running = Running(site)
    assert running.post(make_raw(1), make_raw(2)) == 200
    shown = running.intake()
    assert shown["where"] == f"http://127.0.0.1:{running.port}/v1/telemetry"
    assert (shown["events"]["accepted"], shown["batches"]["accepted"], shown["ended"]) == (2, 1, False)
    with urllib.request.urlopen(f"{running.pages}metrics", timeout=10) as answer:
        assert b'bridge_intake_events_total{intake="http",outcome="accepted"} 2.0' in answer.read()
    running.process.send_signal(signal.SIGTERM)
    running.end()


def test_sigterm_ends_the_intake_first_and_answers_what_has_begun(site, make_raw):
    site.configure(HTTP + TRAY + "[shutdown]\ngrace = 250\n")  # a tenth of it is for the intake
    running = Running(site)
    body = batch(make_raw(7))
    begun = running.begin(body)
    try:
        site.wait_for(lambda: running.intake()["held_bytes"] > 0)
        running.process.send_signal(signal.SIGTERM)
        site.wait_for(running.refuses)
        shown = running.status()
        assert shown["intakes"][0]["ended"]
        assert {pipeline["state"] for pipeline in shown["pipelines"]} <= {"running", "idle"}
        begun.sendall(body[-1:])
        answer = begun.recv(65536)
    finally:
        begun.close()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in answer
    running.end()
    site.run("run", "--until-idle")
    assert mids(site.delivered()) == ["EXTRA:7"]


def test_a_client_that_never_ends_its_request_does_not_outlast_the_grace_period(site, make_raw):
    site.configure(HTTP + TRAY + "[shutdown]\ngrace = 4\n")
    running = Running(site)
    begun = running.begin(batch(make_raw(7)))
    try:
        site.wait_for(lambda: running.intake()["held_bytes"] > 0)
        running.process.send_signal(signal.SIGTERM)
        running.end()
    finally:
        begun.close()
    assert site.delivered() == []


def test_a_bridge_that_is_killed_right_after_an_answer_has_all_that_it_answered(site, make_raw):
    site.configure(HTTP + TRAY + '[journal]\ntype = "sqlite"\nretention_hours = 1\n')
    acknowledged = []

    def client(running, first):
        for n in range(first, first + 1_000, 5):
            with contextlib.suppress(OSError, http.client.HTTPException):
                if running.post(*[make_raw(n + place) for place in range(5)]) == 200:
                    acknowledged.extend(f"EXTRA:{n + place}" for place in range(5))
                    continue
            return

    for round_ in range(3):
        running, before = Running(site), len(acknowledged)
        clients = [
            threading.Thread(target=client, args=(running, 10_000 * round_ + 1_000 * one)) for one in range(4)
        ]
        for one in clients:
            one.start()
        site.wait_for(lambda before=before: len(acknowledged) > before + 100)
        running.process.kill()
        for one in clients:
            one.join()
        running.process.communicate()
        with State(site.folder / "data" / "bridge.db") as state:
            rows = state.read(lambda db: db.execute("SELECT body FROM log").fetchall())
        assert set(acknowledged) <= {json.loads(body)["mid"] for (body,) in rows}
    assert len(acknowledged) > 300


def test_an_address_that_is_taken_is_told_before_anything_is_delivered(site, make_raw):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        site.configure(f"[intake.http]\nenabled = true\nport = {port}\n{TRAY}")
        site.write("events.jsonl", [make_raw(1)])
        site.run("import", "events.jsonl")
        _, err = site.run_process("run", code=1)
    assert err.splitlines()[-1].startswith(f"bridge: cannot listen on 127.0.0.1:{port} ")
    assert "Traceback" not in err
    assert site.delivered() == []


@pytest.mark.parametrize("command", [("import",), ("run", "--until-idle", "--import")])
def test_a_folder_stands_for_every_file_in_it(site, make_raw, command):
    (site.folder / "received" / "deeper").mkdir(parents=True)
    site.write("received/one.jsonl", [make_raw(1), make_raw(2)])
    site.write("received/deeper/two.json", [batch(make_raw(3))])
    site.write("received/.hidden", [make_raw(4)])
    out, _ = site.run(*command, "received")
    assert "received/one.jsonl" in out
    assert "received/deeper/two.json" in out
    site.run("run", "--until-idle")
    assert mids(site.delivered()) == ["EXTRA:1", "EXTRA:2", "EXTRA:3"]


@pytest.mark.parametrize("command", [("import",), ("run", "--until-idle", "--import")])
def test_a_folder_without_files_is_told(site, command):
    (site.folder / "received").mkdir()
    out, _ = site.run(*command, "received", code=1)
    assert "there is no file in this folder" in out


def test_an_import_beside_a_run_shows_with_the_intakes(site, make_raw):
    site.write("events.jsonl", [make_raw(1), make_raw(1), b"nonsense"])
    process = site.start("run", "--import", "events.jsonl")
    pages = process.stdout.readline().split()[-1]

    def shown():
        with urllib.request.urlopen(f"{pages}status.json", timeout=10) as answer:
            return json.load(answer)["intakes"][0]

    site.wait_for(lambda: shown()["ended"])
    found = shown()
    assert (found["intake"], found["where"]) == ("import", "events.jsonl")
    assert found["events"] == {"accepted": 2, "duplicate": 0, "rejected": 1}
    assert found["files"] == {"done": 1, "failed": 0}
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
