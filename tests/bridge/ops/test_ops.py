"""What operators see: health, metrics and the status page."""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass, field, fields

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.errors import BridgeError
from bridge.intake.status import IntakeStatus
from bridge.metrics import INTAKE_METRICS, METRICS, STATES, exposition
from bridge.ops.server import OpsServer
from bridge.reports import Counts, RunInfo, Snapshot

HEALTHY = Snapshot(
    "archive", "s3", "running", "", Counts(read=10, delivered=7, outstanding=3), sends=2, lag_records=5
)
SICK = Snapshot("product", "posthog", "setup", "HTTP 401: check the key", Counts(read=4, outstanding=4))

HTTP = IntakeStatus(
    "http", "http://127.0.0.1:9001/v1/telemetry",
    events={"accepted": 40, "duplicate": 20, "dead_lettered": 1}, batches={"accepted": 3, "duplicate": 1},
    refusals={"401": 2, "503": 5}, connections=4, held_bytes=900,
)  # fmt: skip
FOLDER = IntakeStatus(
    "folder", "inbox", "the journal holds its quota",
    events={"accepted": 7, "duplicate": 0, "rejected": 2}, files={"done": 1, "failed": 0},
)  # fmt: skip


@dataclass
class Overview:
    """What the server is given."""

    pipelines: list = field(default_factory=lambda: [HEALTHY, SICK])
    broken: list = field(default_factory=list)
    intakes: list = field(default_factory=lambda: [HTTP, FOLDER])
    alive: bool = True
    started: float = 1_700_000_000.0
    info = RunInfo("bridge", "sqlite", ("archive", "product"))

    def snapshots(self):
        return self.pipelines

    def running(self):
        return self.alive

    def failures(self):
        return self.broken

    def statuses(self):
        return self.intakes


@pytest.fixture
def overview():
    return Overview()


@pytest.fixture
def get(overview):
    server = OpsServer(overview, "127.0.0.1", 0, overview.statuses)
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


def samples(*snapshots, intakes=()):
    text = exposition(snapshots, intakes).decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_metric_of_the_list_is_exported_with_its_value():
    found = samples(HEALTHY)
    unknown = {"bridge_lag_bytes", "bridge_lag_seconds", "bridge_lag_retention_ratio"}
    unknown.add("bridge_sink_events_total")  # this sink counts nothing besides
    assert {name for name, *_ in found} == {metric.name for metric in METRICS} - unknown
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
    for metric in (*METRICS, *INTAKE_METRICS):
        assert metric.name.startswith("bridge_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.help.endswith(".")


def test_every_metric_of_the_intakes_is_exported_with_its_value():
    found = samples(intakes=[HTTP, FOLDER])
    assert {name for name, *_ in found} == {metric.name for metric in INTAKE_METRICS}
    assert found["bridge_intake_ok", "http"] == 1
    assert found["bridge_intake_ok", "folder"] == 0
    assert found["bridge_intake_events_total", "accepted", "http"] == 40
    assert found["bridge_intake_events_total", "folder", "rejected"] == 2
    assert found["bridge_intake_batches_total", "duplicate", "http"] == 1
    assert found["bridge_intake_refusals_total", "503", "http"] == 5
    assert found["bridge_intake_files_total", "done", "folder"] == 1
    assert found["bridge_intake_connections", "http"] == 4
    assert found["bridge_intake_held_bytes", "http"] == 900


def test_what_an_intake_does_not_count_is_left_out():
    found = samples(intakes=[FOLDER])
    assert not {name for name, *_ in found} & {"bridge_intake_connections", "bridge_intake_held_bytes"}


def test_a_bridge_without_intakes_has_no_metrics_of_them():
    assert b"bridge_intake" not in exposition([HEALTHY])


def test_the_status_says_what_came_in_and_what_keeps_more_out(get, overview):
    http, folder = json.loads(get("/status.json")[2])["intakes"]
    assert (http["events"]["accepted"], http["connections"], http["files"]) == (40, 4, {})
    assert folder["trouble"] == "the journal holds its quota"
    assert b'bridge_intake_ok{intake="http"} 1.0' in get("/metrics")[2]
    overview.intakes = []
    assert json.loads(get("/status.json")[2])["intakes"] == []


def test_events_that_were_gone_and_those_that_soon_will_be_show():
    behind = Snapshot("x", "y", "idle", "", Counts(), lag_seconds=3600.0, lag_of_retention=0.75, missed=12)
    found = samples(behind)
    assert found["bridge_events_missed_total", "x", "y"] == 12
    assert found["bridge_lag_retention_ratio", "x", "y"] == 0.75


def test_events_that_stages_made_are_counted_apart_from_those_that_were_read():
    found = samples(Snapshot("x", "y", "idle", "", Counts(read=2, derived=3, delivered=5)))
    assert found["bridge_events_derived_total", "x", "y"] == 3
    assert found["bridge_conservation_ok", "x", "y"] == 1


def test_what_a_sink_counts_besides_is_exported_by_kind():
    found = samples(Snapshot("search", "elasticsearch", "idle", "", Counts(), tally={"failure_store": 7}))
    assert found["bridge_sink_events_total", "elasticsearch", "failure_store", "search"] == 7
