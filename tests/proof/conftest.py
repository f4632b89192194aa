"""A destination on loopback that fails as told and remembers every event it acknowledged or may have."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FAULTS = ("refuse", "reset", "reset_after", "late", "half_answer")


class Destination:
    """Takes JSON arrays of events. A share of its answers fails, one in five of them in each way.

    `seen` maps each event's mid to the hashes of the bytes received for it; `deliveries`
    counts how often it came, whether or not the sender learned that it arrived.
    """

    def __init__(self, faults: float, delay: float, seed: int) -> None:
        self.faults = faults
        self.delay = delay
        self.seen: dict[str, set[str]] = defaultdict(set)
        self.deliveries: dict[str, int] = defaultdict(int)
        self.requests = 0
        self.ambiguous = 0
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def record(self, body: bytes) -> None:
        with self._lock:
            for event in json.loads(body):
                digest = hashlib.sha256(json.dumps(event, sort_keys=True).encode()).hexdigest()
                self.seen[event["mid"]].add(digest)
                self.deliveries[event["mid"]] += 1

    def choose(self) -> tuple[str, float]:
        with self._lock:
            self.requests += 1
            fault = self._random.choice(FAULTS) if self._random.random() < self.faults else ""
            self.ambiguous += fault in {"reset_after", "late", "half_answer"}
            return fault, self._random.uniform(0, self.delay)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - one small method a fault
        destination = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                fault, delay = destination.choose()
                time.sleep(delay)
                if fault == "refuse":
                    self.answer(503)
                    return
                if fault == "reset":
                    self.reset()
                    return
                destination.record(body)
                if fault == "reset_after":
                    self.reset()
                elif fault == "half_answer":
                    self.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
                    self.close_connection = True
                else:
                    if fault == "late":
                        time.sleep(1.5)
                    self.answer(200)

            def answer(self, status):
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def reset(self):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True

            def handle(self):
                try:
                    super().handle()
                except OSError:
                    return  # the sender was killed while it talked to us

            def finish(self):
                try:
                    super().finish()
                except OSError:
                    return

            def log_message(self, format, *args):  # noqa: A002
                return

        return Handler


@pytest.fixture
def destination_of():
    made = []

    def make(faults=0.3, delay=0.0, seed=1):
        made.append(Destination(faults, delay, seed))
        return made[-1]

    yield make
    for one in made:
        one.close()


def loaded(name, place):
    """A module by its path: tests are no package."""
    spec = importlib.util.spec_from_file_location(name, place)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def generate():
    return loaded("generate_for_proof", ROOT / "examples" / "generate.py")


@pytest.fixture(scope="session")
def history():
    return loaded("history_for_proof", HERE / "history.py")


@pytest.fixture(scope="session")
def own_broker():
    """The address of a real broker."""
    with loaded("kafka_for_proof", ROOT / "benchmarks" / "kafka.py").broker() as address:
        yield address


@pytest.fixture
def destinations():
    """Start the destinations' process; gives the port of each."""
    started = []

    def make(faults, late=3.0, slow=0.0, seed=5):
        command = [sys.executable, HERE / "destinations.py", *map(str, (faults, seed, late, slow))]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return json.loads(started[-1].stdout.readline())

    yield make
    for child in started:
        child.kill()
        child.wait()
        child.stdout.close()
