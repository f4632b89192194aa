"""A bridge under strace, and the disk as it would be had the power failed at any of its system calls.

strace shows every write and every sync of the state file in order, and every answer. From that a
disk is rebuilt that keeps only what was synced, and of everything else as much as chance gives.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

PATIENCE = 60.0
OK = 200
CALLS = "openat,close,pwrite64,ftruncate,fdatasync,fsync,sendto,unlink"
LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>)?(\w+)?(.*)")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
SECTOR = 512


def absent(what):
    """Skip a test for lack of something, or fail it where nothing may be lacking."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def strace():
    """The tracer, installed from Debian where it is missing."""
    if not shutil.which("strace") and shutil.which("apt-get") and os.geteuid() == 0:
        for command in (["update"], ["install", "-y", "strace"]):
            subprocess.run(["apt-get", "-qq", *command], capture_output=True, check=False)
    if not shutil.which("strace"):
        absent("strace is needed: apt-get install strace")
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        absent(f"strace may not trace here: {tried.stderr[-200:]}")
    return shutil.which("strace")


class Call:
    """One system call: `done` tells its end from its beginning where strace saw them apart."""

    def __init__(self, name, text, *, done, begun=True):
        self.name, self.text, self.done, self.begun = name, text, done, begun
        self.strings = [bytes.fromhex(found.replace("\\x", "")) for found in TEXT.findall(text)]

    @property
    def numbers(self):
        """The arguments that are numbers, without the strings between them."""
        return [int(n) for n in re.findall(r"-?\d+", TEXT.sub("", self.text.rpartition(")")[0]))]

    @property
    def result(self):
        found = re.search(r"= (-?\d+)", self.text.rpartition(")")[2])
        return int(found[1]) if found else -1


def calls_of(trace):
    """The calls in order; one that others interrupt comes twice, as its beginning and as its end."""
    open_calls = {}
    for line in trace:
        found = LINE.match(line)
        if not found:
            continue
        process, resumed, name, rest = found.groups()
        if resumed:
            yield Call(
                resumed, open_calls.pop((process, resumed)) + (name or "") + rest, done=True, begun=False
            )
        elif rest.rstrip().endswith("<unfinished ...>"):
            open_calls[process, name] = rest.rpartition("<unfinished ...>")[0]
            yield Call(name, open_calls[process, name] + ")", done=False)
        elif name:
            yield Call(name, rest, done=True)


class Disk:
    """The files below one folder, as the calls leave them in memory and on the disk.

    `writes` counts those of each file, by its name.
    """

    def __init__(self, folder):
        self._folder = str(folder)
        self._open = {}
        self._durable = {}
        self._pending = {}
        self._listed = set()
        self._unlisted = set()
        self._syncing = {}
        self.writes = Counter()

    def apply(self, call):
        """Take one call into account."""
        step = getattr(self, f"_{call.name}", None)
        if step:
            step(call)

    def after_power_cut(self, place, chance, *, worst=False):
        """Write the files as they might be found into a folder: what was synced, and perhaps more of it."""
        place.mkdir()
        for path in self._listed:
            data = bytearray(self._durable.get(path, b""))
            for write in self._pending.get(path, ()):
                if not worst and chance.random() < 0.5:
                    _write(data, *write, chance)
            (place / Path(path).name).write_bytes(data)

    def _openat(self, call):
        if not call.done or call.result < 0 or not call.strings:
            return
        path = call.strings[0].decode()
        if not path.startswith(self._folder) or path.endswith("-shm"):  # that one is memory, and made anew
            self._open.pop(call.result, None)
            return
        self._open[call.result] = path
        if "O_CREAT" in call.text and path not in self._listed:
            self._unlisted.add(path)

    def _close(self, call):
        if call.begun:
            self._open.pop(call.numbers[0], None)

    def _pwrite64(self, call):
        if call.begun and (path := self._open.get(call.numbers[0])):
            numbers = [int(n) for n in re.findall(r"\d+", TEXT.sub("", call.text))]
            self._pending.setdefault(path, []).append((numbers[2], call.strings[0]))
            self.writes[Path(path).name] += 1

    def _ftruncate(self, call):
        if call.begun and (path := self._open.get(call.numbers[0])):
            self._pending.setdefault(path, []).append((call.numbers[1], None))

    def _unlink(self, call):
        path = call.strings[0].decode()
        if call.done and call.result == 0 and path.startswith(self._folder):
            for known in (self._listed, self._unlisted):
                known.discard(path)
            self._durable.pop(path, None)
            self._pending.pop(path, None)

    def _fdatasync(self, call):
        """What was written before it began is safe once it has ended."""
        path = self._open.get(call.numbers[0])
        if path is None:
            return
        if call.begun:
            self._syncing[path] = len(self._pending.get(path, ()))
        if call.done and call.result == 0:
            self._settle(path, self._syncing.pop(path))

    _fsync = _fdatasync

    def _settle(self, path, writes):
        if path not in self._listed | self._unlisted:  # it is the folder itself
            safe = {name for name in self._unlisted if str(Path(name).parent) == path}
            self._listed |= safe
            self._unlisted -= safe
            return
        data = self._durable.setdefault(path, bytearray())
        waiting = self._pending.get(path, [])
        for write in waiting[:writes]:
            _write(data, *write)
        del waiting[:writes]


def _write(data, offset, content, chance=None):
    """Write, or truncate where there is no content; with `chance` perhaps not every sector of it."""
    if content is None:
        del data[offset:]
        data.extend(b"\0" * (offset - len(data)))
        return
    data.extend(b"\0" * (offset + len(content) - len(data)))
    for place in range(0, len(content), SECTOR):
        if chance is None or chance.random() < 0.9:
            piece = content[place : place + SECTOR]
            data[offset + place : offset + place + len(piece)] = piece


class Traced:
    """`bridge run` under strace, with an HTTP intake and one sink."""

    def __init__(self, strace, folder):
        self.folder = folder
        self.trace = folder / "trace"
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        (folder / "config.toml").write_text(f"""
[ops]
enabled = false
[journal]
type = "sqlite"
retention_hours = 1
[intake.http]
enabled = true
port = {self.port}
[sinks.archive]
type = "s3"
url = "file:archive"
""")
        command = [strace, "-f", "-qq", "-xx", "-s", "70000", "-e", f"trace={CALLS}", "-o", str(self.trace)]
        command += [sys.executable, "-m", "bridge", "--config", "config.toml", "run"]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        self._wait()

    def post(self, identifier, events):
        """Send a batch; the status of the answer."""
        body = json.dumps({"params": {"msgid": identifier}, "events": events})
        headers = {"Content-Type": "application/json", "X-Request-Id": identifier}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("POST", "/v1/telemetry", body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def end(self):
        """Kill the bridge, which ends strace; the calls that it made."""
        if self._process.poll() is None:
            for child in (
                Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            ):
                os.kill(int(child), signal.SIGKILL)
            self._process.wait(PATIENCE)
        with self.trace.open(encoding="ascii") as trace:
            return list(calls_of(trace))

    def _wait(self):
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends and self._process.poll() is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            with contextlib.suppress(OSError), contextlib.closing(connection):
                connection.request("GET", "/health")
                if connection.getresponse().status == OK:
                    return
            time.sleep(0.05)
        pytest.fail((self.folder / "log").read_text())


@pytest.fixture
def traced(strace, tmp_path):
    bridge = Traced(strace, tmp_path)
    yield bridge
    bridge.end()


@pytest.fixture
def new_disk():
    """A disk whose files begin with nothing: `new_disk(folder)`."""
    return Disk
