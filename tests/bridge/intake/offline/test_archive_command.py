"""`bridge import` with what phones share: what an administrator types and sees."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.cli import cli

CONFIG = f"""
[plugins]
dir = "{Path(__file__).parents[2] / "cli" / "plugins"}"
[sinks.tray]
type = "tray"
path = "tray.jsonl"
"""


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BRIDGE_")]:
        monkeypatch.delenv(name)
    (tmp_path / "config.toml").write_text(CONFIG)

    def invoke(*args, code=0, **extra):
        result = CliRunner().invoke(cli, args, prog_name="bridge", **extra)
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
        return result.stdout

    return invoke


def test_archives_are_imported_and_copies_are_counted(call, make, tmp_path):
    (tmp_path / "a.zip").write_bytes(make.archive(make.entries(3)))
    assert call("import", "a.zip") == "file   accepted  rejected\na.zip  15        0\n"
    assert call("import", "a.zip") == "file   accepted  duplicate  rejected\na.zip  0         15         0\n"
    assert call("import", "--again", "a.zip") == "file   accepted  rejected\na.zip  15        0\n"


def test_an_archive_with_faults_gives_exit_code_1_and_names_every_entry(call, make, tmp_path):
    entries = make.entries(3)
    (tmp_path / "a.zip").write_bytes(make.archive(entries | {"batch-1": entries["batch-1"][:-9]}))
    out = call("import", "a.zip", code=1)
    assert out.splitlines() == [
        "file   accepted  rejected",
        "a.zip  10        0         1 of 4 entries with faults",
        "a.zip: batch-1: damaged or cut off (its end is missing)",
    ]


def test_a_folder_is_imported_with_everything_in_it(call, make, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a.zip").write_bytes(make.archive(make.entries(2)))
    (tmp_path / "in" / "b.jsonl").write_bytes(b"\n".join(make.raws(range(100, 103))))
    (tmp_path / "in" / "letter.txt").write_text("Dear admin")
    out = call("import", "in", code=1)
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["file", "accepted"],
        ["in/b.jsonl", "3"],
        ["in/deep/a.zip", "10"],
        ["in/letter.txt", "0"],
    ]
    assert "in/letter.txt: not telemetry" in out


def test_an_archive_may_come_through_standard_input(call, make):
    assert "-     10" in call("import", "-", input=make.archive(make.entries(2)))


def test_what_entries_are_called_cannot_move_a_terminals_cursor(call, make, tmp_path):
    (tmp_path / "a.zip").write_bytes(
        make.archive({"\x1b[2Jgone": b"", "ok": make.batch("m", [1])}, manifest=False)
    )
    out = call("import", "a.zip", code=1)
    assert "\x1b" not in out
    assert "a.zip: \\x1b[2Jgone: empty" in out


def test_other_commands_say_who_reads_archives(call, make, tmp_path):
    (tmp_path / "a.zip").write_bytes(make.archive(make.entries(1)))
    result = CliRunner().invoke(cli, ["explain", "a.zip"], prog_name="bridge")
    assert result.exit_code == 1
    assert result.stderr == "bridge: a.zip: a zip archive, which only `bridge import` reads\n"


def test_a_terminal_sees_which_entry_it_is_at(call, make, tmp_path):
    (tmp_path / "a.zip").write_bytes(make.archive(make.entries(150, size=100), manifest=False))
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", "import", "a.zip"],
        cwd=tmp_path,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "160"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            shown += os.read(master, 65_536)
        except OSError:  # the other side is closed
            break
    os.close(master)
    assert process.wait(timeout=20) == 0
    assert b" of 150" in shown
