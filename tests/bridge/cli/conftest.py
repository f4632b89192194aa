"""A configured bridge in a folder of its own, driven as an operator does."""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.cli import cli

PLUGINS = Path(__file__).parent / "plugins"
HEAD = f"""
[plugins]
dir = "{PLUGINS}"
[ops]
port = 0
"""
PATIENCE = 30
CELL = re.compile(r"\s{2,}")


def event(n, eid="LOG", **changes):
    return {
        "eid": eid,
        "ets": 1_767_605_400_000 + n,
        "ver": "3.0",
        "mid": f"{eid}:{n}",
        "actor": {"id": "u1", "type": "User"},
        "context": {"channel": "in.test", "env": "home", "pdata": {"id": "test.app"}, "did": "d1"},
        "edata": {"type": "system", "level": "INFO", "message": f"m{n}"},
        **changes,
    }


def raw(n, eid="EXTRA", **changes):
    return json.dumps(event(n, eid, **changes)).encode()


class Site:
    """One configuration with its data, in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("BRIDGE_")}
        self.processes = []

    def configure(self, text, name="config.toml", head=HEAD):
        (self.folder / name).write_text(head + text)

    def write(self, name, lines):
        path = self.folder / name
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return name

    def delivered(self, name="tray.jsonl"):
        path = self.folder / name
        return path.read_bytes().splitlines() if path.exists() else []

    def invoke(self, *args, **extra):
        """Call a command in this process."""
        return CliRunner().invoke(cli, args, prog_name="bridge", **extra)

    def start(self, *args, **extra):
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge", *args],
            cwd=self.folder,
            env=self.environ,
            stdin=extra.pop("stdin", subprocess.DEVNULL),
            stdout=extra.pop("stdout", subprocess.PIPE),
            stderr=extra.pop("stderr", subprocess.PIPE),
            text=extra.pop("text", True),
            **extra,
        )
        self.processes.append(process)
        return process

    def run(self, *args, code=0, **extra):
        """Call a command in this process, to its end; its standard output and error."""
        result = self.invoke(*args, **extra)
        assert result.exit_code == code, f"{result.exit_code}: {result.output}\n{result.exception!r}"
        return result.stdout, result.stderr

    def run_process(self, *args, code=0):
        """The same in a process of its own."""
        process = self.start(*args)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == code, f"{process.returncode}: {out}\n{err}"
        return out, err

    def wait_for(self, condition):
        ends = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < ends, "it never happened"
            time.sleep(0.02)

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.communicate()


@pytest.fixture
def as_before(monkeypatch):
    """Undo what a command does to its whole process."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    root, thresholds = logging.getLogger(), gc.get_threshold()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.fixture
def site(tmp_path, monkeypatch, as_before):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BRIDGE_")]:
        monkeypatch.delenv(name)
    site = Site(tmp_path)
    site.configure('[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\n')
    yield site
    site.close()


@pytest.fixture
def make_raw():
    return raw


@pytest.fixture
def columns():
    """The rows of a printed table as dictionaries, found by the table's first heading."""

    def read(text, first):
        lines = text.splitlines()
        begin = next(i for i, line in enumerate(lines) if line.startswith(first))
        headings = CELL.split(lines[begin])
        rows = []
        for line in lines[begin + 1 :]:
            cells = CELL.split(line.rstrip())
            if len(cells) < 2:
                break
            rows.append(dict(zip(headings, cells, strict=False)))
        return rows

    return read
