"""A strict `_bulk` server on loopback, and short ways to events, configurations and answers."""

from __future__ import annotations

import gzip
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bridge.events import Decoder, Level
from bridge.sinks import Batch
from bridge.testing import encode, make_event
from bridge_elasticsearch import ElasticsearchSink
from bridge_elasticsearch.config import ElasticsearchConfig

GREETINGS = {
    "Elasticsearch": {
        "version": {"number": "8.19.0", "build_flavor": "default"},
        "tagline": "You Know, for Search",
    },
    "OpenSearch": {"version": {"number": "3.8.0", "distribution": "opensearch"}},
}


@dataclass
class Reply:
    """One scripted answer instead of the server's own."""

    status: int = 200
    body: bytes = b""
    headers: dict = field(default_factory=dict)


@dataclass
class Seen:
    """One request as it arrived, and its body after decompression."""

    method: str
    path: str
    headers: dict
    body: bytes
    text: bytes


decode = Decoder(Level.ENVELOPE).event


class BulkServer(ThreadingHTTPServer):
    """Keeps documents by index and id, and refuses what the real products refuse.

    `script` holds answers that are given first (None: the server's own), `items` maps an id to
    the item it gets.
    """

    daemon_threads = True

    def __init__(self, product="Elasticsearch"):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.product = product
        self.seen, self.script, self.items = [], [], {}
        self.documents, self.templates, self.policies = {}, {}, {}
        self.max_length = 100 * 1024 * 1024

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def bulks(self):
        return [seen for seen in self.seen if seen.path.startswith("/_bulk")]

    def answer(self, seen):
        scripted = self.script.pop(0) if self.script else None
        if scripted is not None:
            return scripted
        if seen.path == "/":
            return as_json(GREETINGS[self.product])
        if seen.path.startswith("/_bulk"):
            return self._bulk(seen)
        if seen.path.startswith("/_index_template/_simulate_index/"):
            found = [value["template"] for value in self.templates.values()]
            return as_json({"template": found[0], "overlapping": []} if found else {})
        return self._kept(seen)

    def _kept(self, seen):
        place = self.templates if seen.path.startswith("/_index_template/") else self.policies
        if seen.method == "PUT":
            place[seen.path] = json.loads(seen.text)
        found = place.get(seen.path)
        return as_json({"acknowledged": True}) if found else as_json({"error": {"type": "not_found"}}, 404)

    def _bulk(self, seen):
        fault = self._fault(seen)
        if fault:
            return fault
        lines = seen.text[:-1].split(b"\n")
        if seen.text == b"\n":
            return problem("action_request_validation_exception", "Validation Failed: 1: no requests added;")
        items = [self._create(lines[at], lines[at + 1]) for at in range(0, len(lines), 2)]
        errors = any("error" in item["create"] for item in items)
        return as_json({"errors": errors, "items": items})

    def _fault(self, seen):
        if seen.method != "POST" or seen.headers.get("content-type") != "application/x-ndjson":
            return as_json({"error": "Content-Type header is not supported", "status": 406}, 406)
        if len(seen.body) > self.max_length:
            return Reply(413, b"")
        if not seen.text.endswith(b"\n"):
            return problem(
                "illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]"
            )
        if seen.text != b"\n" and seen.text.count(b"\n") % 2:
            return problem("illegal_argument_exception", "an action without its source")
        return None

    def _create(self, action_line, source_line):
        action = json.loads(action_line)
        assert action.keys() == {"create"}
        assert action["create"].keys() == {"_index", "_id"}
        key = action["create"]["_index"], action["create"]["_id"]
        assert 0 < len(key[1].encode()) <= 512
        document = json.loads(source_line)
        assert isinstance(document, dict)
        if key[1] in self.items:
            return {"create": self.items[key[1]]}
        if key in self.documents:
            return {
                "create": {
                    "status": 409,
                    "error": {"type": "version_conflict_engine_exception", "reason": "x"},
                }
            }
        self.documents[key] = source_line
        return {"create": {"status": 201}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *args):
        pass

    def _serve(self):
        length = int(self.headers.get("content-length", 0))
        assert "transfer-encoding" not in self.headers
        body = self.rfile.read(length)
        text = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, self.path, headers, body, text)
        self.server.seen.append(seen)
        reply = self.server.answer(seen)
        self.send_response(reply.status)
        for name, value in {"content-type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = do_PUT = _serve  # noqa: N815 - names the standard library looks for


def as_json(value, status=200, **headers):
    return Reply(status, json.dumps(value, separators=(",", ":")).encode(), headers)


def problem(kind, reason, status=400):
    return as_json({"error": {"type": kind, "reason": reason, "root_cause": []}, "status": status}, status)


@pytest.fixture
def reply():
    return Reply


@pytest.fixture
def reply_json():
    return as_json


@pytest.fixture
def reply_problem():
    return problem


@pytest.fixture
def servers():
    """Start a server per product that is asked for; all of them are closed at the end."""
    running = []

    def start(product="Elasticsearch"):
        server = BulkServer(product)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server(servers):
    return servers()


@pytest.fixture
def config():
    """Make a configuration; nothing but `url` is required."""

    def make(**fields):
        return ElasticsearchConfig.model_validate({"url": "http://127.0.0.1:9", **fields})

    return make


@pytest.fixture
def open_sink(server, config):
    """Open a sink on the server; every one is closed at the end."""
    opened = []

    def make(clock=lambda: 1_766_000_000.0, **fields):
        sink = ElasticsearchSink(config(**{"url": server.url, **fields}), clock)
        opened.append(sink.__enter__())
        return sink

    yield make
    for sink in opened:
        sink.__exit__(None, None, None)


@pytest.fixture
def event():
    """Make a decoded event; its server time equals its `ets`, so its record time does too."""

    def make(eid="INTERACT", changes=None, **overrides):
        fields = make_event(eid, changes, **overrides)
        fields.setdefault("syncts", fields["ets"])
        return decode(encode(fields))

    return make


@pytest.fixture
def batch_of(event):
    """Map events (or `count` different ones) into a batch."""

    def make(sink, events=3, attempt=1):
        if isinstance(events, int):
            events = [event(mid=f"m-{number}") for number in range(events)]
        return Batch(sink.map_batch(events), events, "search", attempt)

    return make


@pytest.fixture
def parse():
    """Read two lines of a request back: what to do, and with which document."""

    def read(payload):
        assert payload.endswith(b"\n")
        action, source, rest = payload.split(b"\n")
        assert rest == b""
        return json.loads(action)["create"], json.loads(source)

    return read
