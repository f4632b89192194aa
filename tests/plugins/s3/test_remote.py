"""The archive through obstore: in memory, against moto, and against a server that fails on demand."""

from __future__ import annotations

import gzip
import logging
import socket
import struct
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from moto.server import ThreadedMotoServer

from bridge.errors import PluginError, RecutError, SetupError, TransientError
from bridge.sinks import DELIVERED, DUPLICATE
from bridge_s3 import S3Config, S3Sink, verify
from bridge_s3.bucket import neighbours

SECRET = "wJalrXUtnFEMI-not-a-real-key"
KEYS = {"access_key": "AKIAEXAMPLE0", "secret_key": SECRET, "region": "us-east-1", "allow_http": True}


@pytest.fixture(scope="module")
def moto():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(moto):
    client = boto3.client(
        "s3",
        endpoint_url=moto,
        aws_access_key_id="AKIAEXAMPLE0",
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="archive")
    yield client
    for entry in client.list_objects_v2(Bucket="archive").get("Contents", []):
        client.delete_object(Bucket="archive", Key=entry["Key"])
    client.delete_bucket(Bucket="archive")
    client.close()


@pytest.fixture
def remote(moto, s3):
    def make(**settings) -> S3Sink:
        base = {"url": "s3://archive/sunbird", "endpoint": moto, **KEYS}
        return S3Sink(S3Config.model_validate(base | settings)).__enter__()

    return make


def keys(s3) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket="archive").get("Contents", [])]


def test_an_archive_in_s3_is_complete_and_readable(remote, s3, batch, journal):
    sink = remote()
    assert sink.send(batch(sink, journal[:90], 0)) == [DELIVERED] * 2
    plan, *data = keys(s3)
    assert plan == "sunbird/_chunks/telemetry/00003/00000000000000000000.json"
    body = b"".join(gzip.decompress(s3.get_object(Bucket="archive", Key=key)["Body"].read()) for key in data)
    assert body.splitlines() == [event.raw for event in journal[:90]]
    assert verify(sink.config).ok


def test_objects_say_what_they_are_but_not_that_they_are_compressed(remote, s3, batch, journal):
    sink = remote(storage_class="STANDARD_IA", sse="AES256")
    sink.send(batch(sink, journal[:10], 0))
    plan, data = (s3.head_object(Bucket="archive", Key=key) for key in keys(s3))
    assert plan["ContentType"] == "application/json"
    assert (data["ContentType"], data["StorageClass"]) == ("application/x-ndjson", "STANDARD_IA")
    assert data["ServerSideEncryption"] == plan["ServerSideEncryption"] == "AES256"
    assert "ContentEncoding" not in data
    assert "StorageClass" not in plan


def test_s3_itself_says_who_planned_first(remote, s3, batch, journal):
    first, second = remote(), remote()
    first.send(batch(first, journal[:50], 0))
    with pytest.raises(RecutError) as caught:
        second.send(batch(second, journal[:80], 0))
    assert caught.value.end == 50
    assert second.send(batch(second, journal[:50], 0)) == [DUPLICATE]
    assert second.setup() == "the store honours If-None-Match"


def test_an_object_that_somebody_else_wrote_is_kept(remote, s3, batch, journal):
    sink = remote(partition_by="none")
    key = f"sunbird/data/topic=telemetry/{sink.config.generation}-00003-{0:020d}-{10:020d}.jsonl.gz"
    s3.put_object(Bucket="archive", Key=key, Body=b"precious")
    with pytest.raises(SetupError, match="exists with other content"):
        sink.send(batch(sink, journal[:10], 0))
    assert s3.get_object(Bucket="archive", Key=key)["Body"].read() == b"precious"


def test_hostile_names_arrive_in_s3_as_they_were_written_down(remote, s3, batch, event):
    sink = remote(partition_by="none", partition_eid=True)
    sink.send(batch(sink, [event(0, "../a b/%2e/ü")], 0, stream="t opic[1]"))
    assert any("/topic=t%20opic/eid=%2E%2E%2Fa%20b%2F%252e%2F%C3%BC/" in key for key in keys(s3))
    assert verify(sink.config).ok


def test_neighbours_are_found_in_s3_too(remote, batch, journal):
    sink = remote()
    for start in (0, 100, 200):
        sink.send(batch(sink, journal[start : start + 100], start))
    around = neighbours(sink._open, "telemetry[3]", 150)
    assert (around.before.end, around.after) == (200, 200)
    late = remote()
    with pytest.raises(SetupError, match="lies inside"):
        late.send(batch(late, journal[150:160], 150))


def test_at_least_once_asks_for_no_conditions(remote, s3, batch, journal):
    sink = remote(guarantee="at-least-once")
    for _ in range(2):
        assert sink.send(batch(sink, journal[:10], 0)) == [DELIVERED]
    assert len(keys(s3)) == 1


def test_a_missing_bucket_is_a_set_up_problem_for_everything(remote, batch, journal):
    sink = remote(url="s3://not-there/x")
    for ask in (
        sink.check,
        sink.setup,
        lambda: sink.send(batch(sink, journal[:1], 0)),
        lambda: verify(sink.config),
        lambda: sink._open.read("x"),
    ):
        with pytest.raises(SetupError, match="404"):
            ask()


def test_check_writes_nothing(remote, s3):
    assert remote().check() == "s3://archive/sunbird: reachable, nothing archived yet"
    assert keys(s3) == []


def test_a_rotated_key_file_is_read_again(remote, s3, tmp_path):
    secret = tmp_path / "key"
    secret.write_text(f"{SECRET}\n")
    sink = remote(secret_key=f"file:{secret}")
    provide = sink._open._store.credential_provider
    assert provide()["secret_access_key"] == SECRET
    secret.write_text("rotated\n")
    assert provide()["secret_access_key"] == "rotated"


def test_the_bucket_moves_into_the_host_name_if_asked():
    from bridge_s3.remote import _endpoint

    def endpoint(**settings):
        return _endpoint(S3Config.model_validate({"url": "s3://archive", **settings}))

    host = "https://s3.example.org:9000"
    assert endpoint() is None
    assert endpoint(endpoint=host) == host
    assert endpoint(endpoint=host, virtual_hosted=True) == "https://archive.s3.example.org:9000"
    named = "https://archive.s3.example.org"
    assert endpoint(endpoint=named, virtual_hosted=True) == named


def test_an_unreadable_ca_file_is_a_set_up_problem(remote, tmp_path):
    with pytest.raises(SetupError, match="ca_file"):
        remote(ca_file=str(tmp_path / "absent.pem"))
    (tmp_path / "not.pem").write_text("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
    with pytest.raises(SetupError):
        remote(ca_file=str(tmp_path / "not.pem"))


def test_memory_archives_of_one_name_are_one_archive(batch, journal):
    sinks = [S3Sink(S3Config(url="memory:///one")).__enter__() for _ in range(2)]
    other = S3Sink(S3Config(url="memory:///two")).__enter__()
    assert sinks[0].send(batch(sinks[0], journal[:10], 0)) == [DELIVERED]
    assert sinks[1].send(batch(sinks[1], journal[:10], 0)) == [DUPLICATE]
    assert other.send(batch(other, journal[:10], 0)) == [DELIVERED]
    assert verify(sinks[0].config).ok


@pytest.mark.parametrize("url", ["gs://bucket/x", "az://container/x"])
def test_other_clouds_take_their_keys_from_the_environment(url, monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    sink = S3Sink(S3Config(url=url)).__enter__()
    assert type(sink._open._store).__name__ in {"GCSStore", "AzureStore"}


def test_without_obstore_one_sentence_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "bridge_s3.remote", raising=False)
    with pytest.raises(PluginError, match=r"pip install 'sunbird-bridge\[s3\]'"):
        S3Sink(S3Config(url="memory:///x")).__enter__()


class Moody(ThreadingHTTPServer):
    """Answers every request as it is told to, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MoodyHandler)
        self.answer = (200, "")
        self.asked: list[tuple[str, str]] = []


class MoodyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_PUT(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path))
        status, code = self.server.answer
        body = f"<Error><Code>{code}</Code><StringToSign>{SECRET}</StringToSign></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_):
        pass


@pytest.fixture
def moody():
    server = Moody()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", SetupError),
        (403, "SignatureDoesNotMatch", SetupError),
        (401, "", SetupError),
        (404, "NoSuchBucket", SetupError),
        (301, "PermanentRedirect", SetupError),
        (400, "AuthorizationHeaderMalformed", SetupError),
        (501, "NotImplemented", SetupError),
        (400, "RequestTimeout", TransientError),
        (429, "TooManyRequests", TransientError),
        (500, "InternalError", TransientError),
        (503, "SlowDown", TransientError),
        (400, "BadDigest", TransientError),
    ],
)
def test_an_answer_of_the_store_says_what_happens_next(moody, batch, journal, status, code, kind):
    moody.answer = (status, code)
    config = S3Config.model_validate(
        {
            "url": "s3://archive",
            "endpoint": f"http://127.0.0.1:{moody.server_port}",
            "guarantee": "at-least-once",
            **KEYS,
        }
    )
    sink = S3Sink(config).__enter__()
    with pytest.raises(kind) as caught:
        sink.send(batch(sink, journal[:1], 0))
    assert isinstance(caught.value, kind)
    assert SECRET not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    assert len(moody.asked) == 1  # retries are the host's
    with pytest.raises(kind):
        sink.check()


def test_a_write_whose_answer_was_409_is_waited_for(moody, batch, journal):
    """Two owners put the same plan at the same moment: the loser may come before the winner is done."""
    moody.answer = (409, "ConditionalRequestConflict")
    config = S3Config.model_validate(
        {"url": "s3://archive", "endpoint": f"http://127.0.0.1:{moody.server_port}", **KEYS}
    )
    sink = S3Sink(config).__enter__()
    sink._ends["telemetry[3]"] = 0
    with pytest.raises(TransientError):
        sink.send(batch(sink, journal[:1], 0))


def test_a_store_that_ignores_conditions_stops_the_sink_before_any_data(moody, batch, journal):
    moody.answer = (200, "")
    config = S3Config.model_validate(
        {"url": "s3://archive", "endpoint": f"http://127.0.0.1:{moody.server_port}", **KEYS}
    )
    sink = S3Sink(config).__enter__()
    sink._ends["telemetry[3]"] = 0
    with pytest.raises(SetupError, match="ignores If-None-Match"):
        sink.send(batch(sink, journal[:1], 0))
    assert [path for _, path in moody.asked] == [
        "/archive/_chunks/telemetry/00003/00000000000000000000.json"
    ] * 2
    with pytest.raises(SetupError, match="ignores If-None-Match"):
        sink.setup()


@pytest.mark.parametrize("listening", [True, False])
def test_a_server_that_does_not_answer_is_transient(batch, journal, listening):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        if listening:
            deaf.listen()
        config = S3Config.model_validate(
            {
                "url": "s3://archive",
                "endpoint": f"http://127.0.0.1:{deaf.getsockname()[1]}",
                "timeout": 0.3,
                **KEYS,
            }
        )
        sink = S3Sink(config).__enter__()
        with pytest.raises(TransientError, match=r"no answer in time|no connection"):
            sink.send(batch(sink, journal[:1], 0))


def test_a_server_without_tls_where_tls_is_expected_is_told_apart_from_a_dead_one(moody):
    config = S3Config.model_validate(
        {"url": "s3://archive", "endpoint": f"https://127.0.0.1:{moody.server_port}", **KEYS}
    )
    with pytest.raises(SetupError, match="TLS was refused"):
        S3Sink(config).__enter__().check()


class _HangsUp(BaseHTTPRequestHandler):
    """A server that has the object, and resets an upload of it before its 412 can be read."""

    present: bool = True

    def do_PUT(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def do_HEAD(self) -> None:
        self.send_response(200 if self.present else 404)
        self.send_header("Content-Length", "5")
        self.send_header("Last-Modified", "Fri, 21 Aug 2026 12:00:00 GMT")
        self.send_header("ETag", '"e"')
        self.end_headers()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: object) -> None:
        return


@pytest.mark.parametrize("present", [True, False])
def test_a_long_upload_that_is_cut_off_asks_whether_the_object_is_there(present):
    kind = type("Server", (_HangsUp,), {"present": present})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        config = {"url": "s3://archive/x", "endpoint": f"http://127.0.0.1:{server.server_port}", **KEYS}
        with S3Sink(S3Config.model_validate(config)) as sink:
            if present:
                assert sink._open.create("data/a", [b"x" * 4_000_000]) is False
            else:
                with pytest.raises(TransientError, match="writing failed"):
                    sink._open.create("data/a", [b"x" * 4_000_000])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
