"""Memory stays the same however large an archive is, or pretends to be."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
import zlib

import pytest

MIB = 1 << 20
CHILD = """
import json, resource, sys
from pathlib import Path
from bridge.intake.files import FileImport, FileReport
from bridge.intake.ledger import Ledger
from bridge.journals.base import JournalContext
from bridge.journals.sqlite import SqliteJournal, SqliteJournalConfig
from bridge.state import State
from bridge.validation import Decoder

def take(name):
    report = FileReport(name)
    FileImport(journal, Decoder(), 1 << 20, lambda error: False, ledger=Ledger(state)).run(report)
    return report, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

with State(Path(sys.argv[3])) as state:
    journal = SqliteJournal(SqliteJournalConfig(), JournalContext(state, "test", ()))
    _, before = take(sys.argv[1])
    report, after = take(sys.argv[2])
found = {"accepted": report.accepted, "problem": report.problem, "faults": report.faults}
print(json.dumps(found | {"grown": after - before}))
"""


def measured(folder, make, content):
    """What a process of its own says of an import, and by how many bytes it grew over a small one."""
    names = []
    for name, data in (("small", make.archive(make.entries(20))), ("large", content)):
        path = data if not isinstance(data, bytes) else folder / name
        if isinstance(data, bytes):
            path.write_bytes(data)
        names.append(str(path))
    command = [sys.executable, "-c", CHILD, *names, str(folder / "bridge.db")]
    done = subprocess.run(command, capture_output=True, env=os.environ, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def zeros(size):
    """Gzip of that many zeros, made without holding them."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = [packer.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join([*parts, packer.flush()])


def test_a_bomb_within_a_bomb_takes_a_few_megabytes(tmp_path, make):
    entries = {"bomb": zeros(300 * MIB)} | make.entries(1, begin=1_000)
    found = measured(tmp_path, make, make.archive(entries, manifest=False))
    assert found["accepted"] == 5
    assert "bomb: not telemetry but binary data" in found["faults"]
    assert found["grown"] < 40 * MIB


def test_a_bomb_that_looks_like_telemetry_takes_a_few_megabytes(tmp_path, make):
    held = io.BytesIO()
    with (
        zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("bomb", "w") as entry,
    ):
        entry.write(b'{"events": [')
        for _ in range(60):
            entry.write(b" " * MIB)
    found = measured(tmp_path, make, held.getvalue())
    assert found["faults"] == ["bomb: it expands more than 200 times, as zip bombs do"]
    assert found["grown"] < 40 * MIB


@pytest.mark.parametrize("form", ["zip", "gsa"])
def test_a_large_archive_takes_no_more_than_a_small_one(tmp_path, make, form):
    noise = os.urandom(1_200).hex()
    lines = [
        json.dumps(make.event(n, edata={"type": "t", "level": "i", "message": noise[n % 99 :]}))
        for n in range(12_000)
    ]
    if form == "zip":
        content = make.archive({"export.jsonl": "\n".join(lines).encode()}, manifest=False)
    else:
        content = make.gsa(tmp_path / "big.gsa", [], lines)
    found = measured(tmp_path, make, content)
    assert (found["accepted"], found["problem"]) == (12_000, "")
    assert found["grown"] < 40 * MIB
