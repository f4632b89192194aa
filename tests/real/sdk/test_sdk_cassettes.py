"""Exchanges of the real clients, recorded by vcrpy on their way to a bridge.

`BRIDGE_RECORD=1` puts the recordings where the hermetic tests play them back, without any SDK.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

import pytest
import vcr
import yaml

pytestmark = pytest.mark.real

KEPT = Path(__file__).parents[2] / "bridge" / "intake" / "http" / "cassettes"
CLIENTS = [("node", "2"), ("node", "1"), ("browser", "2"), ("browser", "1")]
EVENTS = 12
OF_THE_WIRE = {"host", "connection", "content-length", "transfer-encoding", "date", "keep-alive"}
OF_THE_DAY = {"user-agent", "accept-encoding", "x-request-id"}


class Recorder:
    """Stands in front of a bridge and passes everything on, byte for byte; vcrpy hears it go through."""

    def __init__(self, port):
        turn = threading.Lock()  # vcrpy listens to one request at a time

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {
                    name: value for name, value in self.headers.items() if name.lower() not in OF_THE_WIRE
                }
                with turn:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                    connection.request(self.command, self.path, body, headers)
                    answer = connection.getresponse()
                    data = answer.read()
                    connection.close()
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in OF_THE_WIRE:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_OPTIONS = do_POST  # noqa: N815 - the base class names it

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,))
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def recording(bridge, path):
    """Record what passes through to the bridge; gives the address to send to."""

    def telemetry(request):
        # The driver of the browser speaks through http.client too.
        return request if request.uri.startswith(f"{bridge.url}/v1/") else None

    recorder = Recorder(bridge.port)
    try:
        with vcr.VCR(record_mode="all", before_record_request=telemetry).use_cassette(str(path)):
            yield recorder.url
    finally:
        recorder.close()


def tidy(path, bridge, site):
    """The cassette's text without what differs from run to run."""
    text = path.read_text().replace(bridge.url, "http://bridge.test").replace(site, "http://portal.test")
    document = yaml.safe_load(text)
    for interaction in document["interactions"]:
        for message in (interaction["request"], interaction["response"]):
            names = {name for name in message["headers"] if name.lower() in OF_THE_WIRE | OF_THE_DAY}
            for name in names:
                del message["headers"][name]
    return yaml.safe_dump(document, allow_unicode=True, width=1000)


def shape(document):
    """What a client's exchanges are made of: methods, header names and answers."""
    return {
        (
            interaction["request"]["method"],
            tuple(sorted(name.lower() for name in interaction["request"]["headers"] if not _hint(name))),
            interaction["response"]["status"]["code"],
        )
        for interaction in document["interactions"]
    }


def _hint(name):
    """Headers by which a browser tells about itself; they change with its version."""
    return name.lower().startswith(("sec-", "accept", "cache-", "pragma", "priority"))


@pytest.mark.parametrize(("client", "line"), CLIENTS)
def test_what_a_client_sends_is_what_was_recorded(
    client, line, bridge, site, key, until, request, artefacts, tmp_path
):
    send = request.getfixturevalue(client)
    with recording(bridge, tmp_path / "latest.yaml") as url:
        if client == "node":
            assert len(send(line, url, "/v1/telemetry", 1)["acknowledged"]) == EVENTS
        else:
            asked = urlencode({"line": line, "host": url, "path": "/v1/telemetry", "key": key})
            send.open(f"{site}/?{asked}")
            send.run("playOn(1)")
            until(lambda: send.run("return acknowledged().length") == EVENTS)
    text = tidy(tmp_path / "latest.yaml", bridge, site)
    name = f"{client}-{line}.yaml"
    (artefacts / "cassettes").mkdir(parents=True, exist_ok=True)
    (artefacts / "cassettes" / name).write_text(text)
    if os.environ.get("BRIDGE_RECORD") == "1":
        KEPT.mkdir(exist_ok=True)
        (KEPT / name).write_text(text)
    kept = yaml.safe_load((KEPT / name).read_text())
    assert shape(yaml.safe_load(text)) == shape(kept)
