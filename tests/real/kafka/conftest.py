"""A real Apache Kafka: fetched once from Maven Central, started for the session, ended by pid.

`SUNBIRD_TEST_KAFKA=host:port` names a broker that is there already.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import time
import uuid
from pathlib import Path

import pytest

confluent_kafka = pytest.importorskip("confluent_kafka")

from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

from bridge.journals.kafka import KafkaJournalConfig  # noqa: E402
from tests.kafka_readers import Patience, make_journal, open_reader  # noqa: E402, F401 - fixtures

VERSION = "4.1.1"
CACHE = Path(__file__).parents[3] / ".cache" / "kafka"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>test</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.24.3</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version></dependency>
</dependencies></project>"""
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{control}
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{control}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config={login} required user_bridge="open-sesame-7";
log.dirs={folder}/data
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=2000
group.consumer.min.heartbeat.interval.ms=200
group.consumer.heartbeat.interval.ms=500
group.consumer.min.session.timeout.ms=2000
group.consumer.session.timeout.ms=3000
log.retention.hours=48
"""
START_SECONDS = 60


def absent(reason):
    message = f"Kafka cannot be had here: {reason}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def fetch():
    """The folder with the broker's jars; fetched once, complete or not there at all."""
    place = CACHE / VERSION
    if place.is_dir():
        return place
    if not shutil.which("mvn"):
        absent("no mvn to fetch it with")
    work = CACHE / f"{VERSION}.{uuid.uuid4().hex}"
    work.mkdir(parents=True)
    (work / "pom.xml").write_text(POM)
    command = ["mvn", "-q", "-B", PLUGIN, "-DoutputDirectory=lib", "-DincludeScope=runtime"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(work)
        absent(f"mvn could not fetch it: {done.stdout[-500:]}")
    (work / "lib").rename(place)
    shutil.rmtree(work)
    return place


class Broker:
    """One process of Kafka in KRaft mode; `address` for plain, `sasl` for authenticated clients."""

    def __init__(self, folder):
        self._folder, self._jars = folder, fetch()
        self._java = shutil.which("java") or absent("no Java")
        ports = {name: free_port() for name in ("plain", "sasl", "control")}
        self.address, self.sasl = (f"127.0.0.1:{ports[name]}" for name in ("plain", "sasl"))
        (folder / "server.properties").write_text(PROPERTIES.format(folder=folder, login=LOGIN, **ports))
        cluster = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
        self._run("kafka.tools.StorageTool", "format", "-t", cluster, "-c").wait()
        self._process = None
        self.start()

    def _run(self, main, *arguments):
        command = [self._java, "-Xmx512m", "-cp", f"{self._jars}/*", main, *arguments, "server.properties"]
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=subprocess.STDOUT)

    def start(self):
        self._process = self._run("kafka.Kafka")
        ends = time.monotonic() + START_SECONDS
        host, port = self.address.split(":")
        while time.monotonic() < ends and self._process.poll() is None:
            try:
                socket.create_connection((host, int(port)), 1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        absent(f"it did not start: {(self._folder / 'log').read_text(errors='replace')[-1500:]}")

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """Our own broker, which a test may kill and start again."""
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    yield broker
    broker.stop()


@pytest.fixture
def address(request):
    """The plain listener of a broker, ours or the one that is named."""
    return os.environ.get("SUNBIRD_TEST_KAFKA") or request.getfixturevalue("broker").address


@pytest.fixture
def admin(address):
    return AdminClient({"bootstrap.servers": address, "log_level": 0})


@pytest.fixture
def make_topic(admin):
    """Make a topic of a fresh name; it is deleted at the end."""
    made = []

    def make(partitions, name=None, **config):
        name = name or f"sunbird-{uuid.uuid4().hex[:10]}"
        (future,) = admin.create_topics([NewTopic(name, partitions, 1, config=config)]).values()
        future.result(20)
        made.append(name)
        return name

    yield make
    for future in admin.delete_topics(made).values() if made else ():
        future.exception(20)


@pytest.fixture
def produce(address):
    producer = confluent_kafka.Producer({"bootstrap.servers": address, "linger.ms": 1, "log_level": 0})

    def write(topic, values, partitions=1, **fields):
        for number, value in enumerate(values):
            producer.produce(topic, value, partition=number % partitions, **fields)
        assert producer.flush(30) == 0

    yield write
    producer.flush(1)


@pytest.fixture
def make_config(address):
    def make(*topics, **keys):
        classic = {"session.timeout.ms": 4_000, "heartbeat.interval.ms": 300}
        options = {} if keys.get("group_protocol") == "consumer" else classic
        options |= {"fetch.wait.max.ms": 50, **keys.pop("options", {})}
        return KafkaJournalConfig(**{"brokers": [address], "topics": topics, "options": options, **keys})

    return make


@pytest.fixture
def committed(address):
    """What a group has committed, by partition number; its consumer is kept for the next look."""
    clerks = {}

    def look(group, topic, partitions=8):
        settings = {
            "bootstrap.servers": address,
            "group.id": group,
            "enable.auto.commit": False,
            "log_level": 0,
        }
        clerk = clerks.get(group) or clerks.setdefault(group, confluent_kafka.Consumer(settings))
        asked = [confluent_kafka.TopicPartition(topic, number) for number in range(partitions)]
        return {tp.partition: tp.offset for tp in clerk.committed(asked, timeout=10) if tp.offset >= 0}

    yield look
    for clerk in clerks.values():
        clerk.close()


@pytest.fixture
def until():
    return Patience(90.0).until


@pytest.fixture
def take():
    return Patience(90.0).take
