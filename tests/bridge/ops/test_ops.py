"""What operators see: health, metrics and the status page."""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass, field, fields

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.errors import BridgeError
from bridge.metrics import METRICS, STATES, exposition
from bridge.ops.server import OpsServer
from bridge.reports import Counts, RunInfo, Snapshot

HEALTHY = Snapshot(
    "archive", "s3", "running", "", Counts(read=10, delivered=7, outstanding=3), sends=2, lag_records=5
)
SICK = Snapshot("product", "posthog", "setup", "HTTP 401: check the key", Counts(read=4, outstanding=4))


@dataclass
class Overview:
    """What the server is given."""

    pipelines: list = field(default_factory=lambda: [HEALTHY, SICK])
    broken: list = field(default_factory=list)
    alive: bool = True
    started: float = 1_700_000_000.0
    info = RunInfo("bridge", "sqlite", ("archive", "product"))

    def snapshots(self):
        return self.pipelines

    def running(self):
        return self.alive

    def failures(self):
        return self.broken


@pytest.fixture
def overview():
    return Overview()


@pytest.fixture
def get(overview):
    server = OpsServer(overview, "127.0.0.1", 0)
    server.start()

    def get(path, method="GET"):
        host, port = re.match(r"http://([^:]+):(\d+)/", server.url).groups()
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    yield get
    server.close()


def test_live_as_long_as_no_pipeline_broke_however_sick_a_destination_is(get, overview):
    assert get("/livez")[0] == 200
    overview.broken = [("archive", OSError("disk"))]
    status, _, body = get("/livez")
    assert (status, body) == (503, b"failed: archive\n")


def test_ready_once_every_pipeline_has_started_and_until_the_end(get, overview):
    assert get("/readyz")[0] == 200
    overview.pipelines = [HEALTHY, Snapshot("late", "s3", "starting", "", Counts())]
    assert get("/readyz")[2] == b"starting: late\n"
    overview.pipelines, overview.alive = [HEALTHY], False
    assert get("/readyz")[2] == b"stopped\n"


def test_the_status_says_everything_about_each_pipeline(get):
    document = json.loads(get("/status.json")[2])
    archive, product = document["pipelines"]
    assert archive["counts"] == {
        **{f.name: 0 for f in fields(Counts)},
        "read": 10,
        "delivered": 7,
        "outstanding": 3,
    }
    assert archive["conserved"] is True
    assert product["reason"] == "HTTP 401: check the key"


def test_the_page_loads_nothing_from_elsewhere(get):
    status, headers, body = get("/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not re.findall(rb"(?:src|href)=[\"']?https?://", body)


def test_nothing_else_is_there_and_nothing_can_be_changed(get):
    assert get("/../etc/passwd")[0] == 404
    assert get("/metrics", "POST")[0] == 501
    assert get("/livez", "HEAD")[2] == b""


def test_a_taken_port_is_said_with_what_to_write(overview):
    first = OpsServer(overview, "127.0.0.1", 0)
    port = int(first.url.rsplit(":", 1)[1].strip("/"))
    try:
        with pytest.raises(BridgeError, match=r"write another \[ops\] port"):
            OpsServer(overview, "127.0.0.1", port)
    finally:
        first._server.server_close()


def samples(*snapshots):
    text = exposition(snapshots).decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_metric_of_the_list_is_exported_with_its_value():
    found = samples(HEALTHY)
    assert {name for name, *_ in found} == {
        metric.name for metric in METRICS if metric.name not in {"bridge_lag_bytes", "bridge_lag_seconds"}
    }
    assert found["bridge_events_read_total", "archive", "s3"] == 10
    assert found["bridge_events_total", "archive", "delivered", "s3"] == 7
    assert found["bridge_events_outstanding", "archive", "s3"] == 3
    assert found["bridge_lag_records", "archive", "s3"] == 5
    assert found["bridge_conservation_ok", "archive", "s3"] == 1


def test_a_pipeline_is_in_exactly_one_state():
    found = samples(SICK)
    states = {
        state: found["bridge_pipeline_state", *sorted(["product", "posthog", state])] for state in STATES
    }
    assert [state for state, value in states.items() if value] == ["setup"]


def test_an_event_that_is_not_accounted_for_shows():
    assert not Counts(read=5, delivered=3).conserved
    broken = Snapshot("x", "y", "idle", "", Counts(read=5, delivered=3))
    assert samples(broken)["bridge_conservation_ok", "x", "y"] == 0


def test_a_hostile_sink_name_cannot_break_the_exposition():
    found = samples(Snapshot('a"b\\c\nd', "t", "idle", "", Counts()))
    assert found["bridge_events_read_total", 'a"b\\c\nd', "t"] == 0


def test_metric_names_say_their_kind():
    for metric in METRICS:
        assert metric.name.startswith("bridge_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.help.endswith(".")
