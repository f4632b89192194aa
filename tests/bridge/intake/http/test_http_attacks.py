"""Under attack the intake goes on serving honest clients in little memory. Loopback only, bounded."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import selectors
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

MIB = 1024 * 1024
GROWTH = 64 * MIB
POST = b"POST /v1/telemetry HTTP/1.1\r\nHost: h\r\n"


class Attacked:
    """A server process, and an honest client that keeps sending to it."""

    def __init__(self, folder, settings):
        script = Path(__file__).with_name("attacked.py")
        command = [sys.executable, str(script), str(folder / "s.db"), json.dumps(settings)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.statuses = []
        self.answered = []
        self._ended = threading.Event()
        self._client = threading.Thread(target=self._send)
        self._before = self._memory()
        self._client.start()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), 20)

    def tally(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def growth(self):
        """Bytes by which the process was larger at its largest than at its start."""
        return self._memory() - self._before

    def forgive(self):
        """Forget that the honest client was told to come again."""
        while 503 in self.statuses:
            self.statuses.remove(503)
            self.answered.pop()

    def close(self):
        """End both; every batch of the honest client was taken."""
        while not self.answered and self._client.is_alive():
            time.sleep(0.01)
        self._ended.set()
        self._client.join()
        taken = self.tally()["events"]
        self.process.communicate("", 30)
        assert self.process.returncode == 0
        assert self.statuses == [200] * len(self.answered)
        assert taken >= sum(self.answered) > 0

    def _memory(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024

    def _send(self):
        number = 0
        while not self._ended.wait(0.02):
            number += 1
            events = [{"eid": "LOG", "mid": f"{number}/{index}"} for index in range(20)]
            body = json.dumps({"params": {"msgid": str(number)}, "events": events})
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            with contextlib.closing(connection):
                connection.request("POST", "/v1/telemetry", body, {"content-type": "application/json"})
                self.statuses.append(connection.getresponse().status)
            self.answered.append(20)


@pytest.fixture
def attack(tmp_path):
    """Start a server to attack; at the end its honest client must have been served throughout."""
    started = []

    def start(**settings):
        started.append(Attacked(tmp_path, settings))
        return started[-1]

    yield start
    for server in started:
        server.close()


def statuses(data):
    return [part[:3] for part in data.split(b"HTTP/1.1 ")[1:]]


def exchange(server, data):
    """Send what the server will take, and read what it answers until it ends the connection."""
    answered = b""
    with server.connect() as found:
        with contextlib.suppress(ConnectionError):
            found.sendall(data)
        with contextlib.suppress(ConnectionError):
            while piece := found.recv(65536):
                answered += piece
    return answered


def trickle(server, count, prefix, seconds):
    """Open connections that send one byte a second; returns after how many seconds each was ended."""
    chosen, ends = selectors.DefaultSelector(), {}
    began = time.monotonic()
    found = [server.connect() for _ in range(count)]
    try:
        for one in found:
            one.sendall(prefix)
            chosen.register(one, selectors.EVENT_READ)
        beat = began
        while time.monotonic() - began < seconds and len(ends) < count:
            for key, _ in chosen.select(0.2):
                ended = True
                with contextlib.suppress(ConnectionError):
                    ended = not key.fileobj.recv(4096)
                if ended:
                    ends[key.fileobj] = time.monotonic() - began
                    chosen.unregister(key.fileobj)
            if time.monotonic() - beat >= 1:
                beat += 1
                for one in found:
                    if one not in ends:
                        with contextlib.suppress(ConnectionError):
                            one.sendall(b"x")
    finally:
        chosen.close()
        for one in found:
            one.close()
    return list(ends.values())


def test_two_hundred_clients_that_send_a_byte_a_second_are_cut_off_after_ten_seconds(attack):
    server = attack()
    long_ends, body = [], POST + b"Content-Length: 1000\r\n\r\n"
    bodies = threading.Thread(target=lambda: long_ends.extend(trickle(server, 100, body, 25)))
    bodies.start()
    ends = trickle(server, 100, POST + b"X-Slow: ", 25)
    bodies.join()
    assert (len(ends), len(long_ends)) == (100, 100)
    assert min(ends + long_ends) > 9
    assert server.tally()["held"] <= 20_000
    assert server.growth() < GROWTH


def test_clients_that_fill_every_connection_do_not_keep_others_out(attack):
    server = attack(limits={"connections": 50})
    ends = trickle(server, 150, POST, 3)
    assert len(ends) >= 90
    assert server.tally()["connections"] <= 50
    assert server.statuses[-1] == 200
    server.forgive()  # clients of less than a second are not ended for the sake of another


def test_bombs_are_refused_and_cost_no_memory(attack):
    server = attack()
    bomb = gzip.compress(b"\0" * 100 * MIB)
    twice = gzip.compress(gzip.compress(b"\0" * 400 * MIB, 9), 9)
    several = gzip.compress(b'{"events":[]}') * 5000
    commas = gzip.compress(b'{"events":[' + b"0," * 2_000_000 + b"0]}")
    for body, status in ((bomb, b"413"), (twice, b"413"), (several, b"400"), (commas, b"413")):
        head = b"Content-Encoding: gzip\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        assert statuses(exchange(server, POST + head + body)) == [status]
    assert server.growth() < GROWTH


def test_many_large_bodies_at_once_are_bounded_together(attack):
    server = attack(limits={"receive": 3})
    head = POST + b"Content-Length: 5000000\r\n\r\n"
    found = [server.connect() for _ in range(40)]
    for one in found:
        one.settimeout(5)
        with contextlib.suppress(OSError):
            one.sendall(head + b"[" * 4_000_000)
    held = server.tally()["held"]
    assert 0 < held <= 16 * MIB
    assert server.growth() < GROWTH
    for one in found:
        one.close()
    ends = time.monotonic() + 20
    while server.tally()["held"] > MIB:
        assert time.monotonic() < ends
        time.sleep(0.05)
    server.forgive()


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_without_end_is_refused(attack, opening):
    server = attack()
    body = b'{"events":[' + opening * (4 * MIB // len(opening))
    head = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    for _ in range(5):
        assert statuses(exchange(server, POST + head + body)) == [b"400"]
    assert server.growth() < GROWTH


def test_ten_thousand_fields_are_refused(attack):
    server = attack()
    many = POST + b"".join(b"X-%d: 1\r\n" % number for number in range(10_000)) + b"\r\n"
    long = POST + b"X: " + b"x" * MIB + b"\r\n\r\n"
    for data in (many, long, b"POST /" + b"x" * MIB, b"\r\n" * MIB):
        assert statuses(exchange(server, data)) == [b"431"]
    assert server.growth() < GROWTH


def test_nothing_is_smuggled_behind_an_unclear_request(attack):
    server = attack()
    hidden = POST + b'Content-Length: 29\r\n\r\n{"events":[{"mid":"smuggled"}]}'
    for unclear in (
        b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
        b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
        b"Content-Length: 0\nX: y\r\n\r\n",
    ):
        assert statuses(exchange(server, POST + unclear + hidden)) == [b"400"]


def test_a_thousand_requests_in_one_go_are_answered_in_order(attack):
    server = attack()
    good, last = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /health HTTP/1.0\r\n\r\n"
    missing = b"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n"
    body = b'{"events":[{"mid":"m"}]}'
    post = POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    answered = exchange(server, (good + post + missing) * 333 + last)
    assert statuses(answered) == [b"200", b"200", b"404"] * 333 + [b"200"]
    assert server.growth() < GROWTH


def test_a_client_that_never_reads_its_answers_is_stopped(attack):
    server = attack(limits={"receive": 2})
    with server.connect() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        found.settimeout(1)
        asked = b"GET /openapi.json HTTP/1.1\r\nHost: h\r\n\r\n" * 1000
        sent = 0
        with contextlib.suppress(OSError):
            for _ in range(200):
                found.sendall(asked)
                sent += 1
        assert sent < 200
        assert server.growth() < GROWTH
        found.settimeout(20)
        ended = b""
        with contextlib.suppress(ConnectionError):
            while piece := found.recv(65536):
                ended = piece
        assert ended


@pytest.mark.parametrize("data", [b"", b"P", POST, POST + b"Content-Length: 10\r\n\r\n123"])
def test_clients_that_vanish_leave_nothing_behind(attack, data):
    server = attack()
    for turn in range(100):
        with server.connect() as found:
            if turn % 2:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            found.sendall(data)
    ends = time.monotonic() + 10
    while (found := server.tally())["connections"] > 2:
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert found["held"] < 10_000
