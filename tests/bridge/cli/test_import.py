"""`bridge import`: every format, what is counted, and what happens when it cannot go on."""

from __future__ import annotations

import gzip
import json
import os
import pty
import signal
import sqlite3

import pytest
import zstandard

from bridge.cli.background import BackgroundImport
from bridge.cli.host import Host
from bridge.engine import supervisor


def rows(site):
    path = site.folder / "data" / "bridge.db"
    if not path.exists():
        return []
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return [body for (body,) in connection.execute("SELECT body FROM log ORDER BY seq")]
    finally:
        connection.close()


def forms(events):
    """The same events in every form that is taken, as (name, bytes)."""
    documents = [json.loads(event) for event in events]
    lines = b"\n".join(events) + b"\n"
    batch = {"id": "api.telemetry", "ver": "3.0", "params": {"msgid": "m"}, "ets": 1, "events": documents}
    return {
        "lines.jsonl": lines,
        "no_newline_at_the_end": lines[:-1],
        "windows.txt": lines.replace(b"\n", b"\r\n"),
        "bom.jsonl": b"\xef\xbb\xbf" + lines,
        "batch.json": json.dumps(batch).encode(),
        "indented_batch.json": json.dumps(batch, indent=2).encode(),
        "array.json": json.dumps(documents).encode(),
        "indented_array.json": json.dumps(documents, indent="\t").encode(),
        "batches_by_line.jsonl": b"\n".join(json.dumps({"events": [one]}).encode() for one in documents),
        "indented_events": b"\n".join(json.dumps(one, indent=1).encode() for one in documents),
        "named_so.json": gzip.compress(lines),
        "two_members.gz": gzip.compress(lines[:100]) + gzip.compress(lines[100:]),
        "named_like_this": zstandard.compress(lines),
    }


FORMS = list(forms([b"{}"]))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_events(site, make_raw, columns, form):
    events = [make_raw(n) for n in range(12)]
    (site.folder / form).write_bytes(forms(events)[form])
    result = site.invoke("import", form)
    assert result.exit_code == 0, result.output
    assert columns(result.stdout, "file") == [{"file": form, "accepted": "12", "rejected": "0"}]
    assert [json.loads(row) for row in rows(site)] == [json.loads(event) for event in events]
    assert not any(b"\n" in row for row in rows(site))


def test_lines_keep_their_own_bytes(site, make_raw):
    odd = make_raw(1).replace(b'"eid": ', b'"eid" :  ').replace(b"LOG", b"L\\u004fG")
    site.write("odd.jsonl", [b"  " + odd + b"  "])
    site.invoke("import", "odd.jsonl")
    assert rows(site) == [odd]


def test_what_is_not_valid_is_counted_by_code_and_kept_for_the_dead_letters(site, make_raw, columns):
    bad = [b"nonsense", b'{"eid":"LOG"}', b"{}", make_raw(2)[:-20], b"\xff\xfe"]
    site.write("mixed.jsonl", [make_raw(1), *bad, make_raw(3)])
    result = site.invoke("import", "mixed.jsonl")
    assert result.exit_code == 0
    assert columns(result.stdout, "file")[0]["rejected"] == "5"
    assert "mixed.jsonl: 2 rejected as missing_key" in result.stdout
    assert "mixed.jsonl: 2 rejected as invalid_json" in result.stdout
    assert "mixed.jsonl: 1 rejected as invalid_utf8" in result.stdout
    assert rows(site) == [make_raw(1), *bad, make_raw(3)]
    site.run("run", "--until-idle")
    exported = site.invoke("dead-letters", "export").stdout_bytes.splitlines()
    assert sorted(exported) == sorted(bad)


def test_many_files_and_standard_input_are_told_one_by_one(site, make_raw, columns):
    site.write("a.jsonl", [make_raw(1)])
    site.write("b.jsonl", [make_raw(2), make_raw(3)])
    result = site.invoke("import", "a.jsonl", "b.jsonl", "-", input=make_raw(4))
    assert [(row["file"], row["accepted"]) for row in columns(result.stdout, "file")] == [
        ("a.jsonl", "1"),
        ("b.jsonl", "2"),
        ("-", "1"),
    ]


def test_a_file_that_breaks_off_gives_what_came_before_and_exit_code_1(site, make_raw):
    events = [make_raw(n, edata={"noise": os.urandom(200).hex()}) for n in range(3_000)]
    whole = gzip.compress(b"\n".join(events))
    (site.folder / "cut.gz").write_bytes(whole[: len(whole) // 2])
    site.write("fine.jsonl", [make_raw(9_999)])
    result = site.invoke("import", "cut.gz", "fine.jsonl")
    assert result.exit_code == 1
    assert "cut.gz: damaged or cut off (its end is missing)" in result.stdout
    found = rows(site)
    assert found[-1] == make_raw(9_999)
    assert 1_400 < len(found) < 1_600
    assert found[:-2] == events[: len(found) - 2]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x28\xb5\x2f\xfdnot really", "damaged or cut off"),
        (b"\x1f\x8bnot really", "damaged or cut off"),
    ],
)
def test_what_cannot_be_opened_says_why(site, content, told):
    (site.folder / "file").write_bytes(content)
    result = site.invoke("import", "file")
    assert result.exit_code == 1
    assert told in result.stdout


def test_an_empty_file_is_no_trouble(site, columns):
    (site.folder / "empty").write_bytes(b"")
    result = site.invoke("import", "empty")
    assert result.exit_code == 0
    assert columns(result.stdout, "file") == [{"file": "empty", "accepted": "0", "rejected": "0"}]


def test_a_missing_file_is_a_fault_of_the_command_line(site):
    assert site.invoke("import", "nowhere").exit_code == 2
    assert site.invoke("import").exit_code == 2


def test_a_journal_of_files_takes_nothing(site, make_raw):
    site.write("events.jsonl", [make_raw(1)])
    site.configure(
        '[journal]\ntype = "file"\npath = "events.jsonl"\n[sinks.tray]\ntype = "tray"\npath = "t"\n'
    )
    result = site.invoke("import", "events.jsonl")
    assert result.exit_code == 1
    assert result.stderr == "bridge: a file journal is read in place and takes no new events\n"


def test_a_running_bridge_keeps_the_journal_to_itself(site, make_raw):
    process = site.start("run")
    process.stdout.readline()
    site.write("events.jsonl", [make_raw(1)])
    result = site.invoke("import", "events.jsonl")
    assert result.exit_code == 1
    assert f"is in use by process {process.pid}" in result.stderr
    process.terminate()
    process.communicate(timeout=20)


SMALL = '[journal]\nmax_bytes = 1048576\n[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\n'


def test_a_full_journal_ends_an_import_that_nobody_makes_room_for(site, make_raw):
    site.configure(SMALL)
    site.write("big.jsonl", [make_raw(n, edata={"noise": "x" * 10_000}) for n in range(200)])
    result = site.invoke("import", "big.jsonl")
    assert result.exit_code == 1
    assert "the journal holds its quota" in result.stderr
    assert "`bridge run --import` delivers while it imports" in result.stderr


def test_a_full_journal_makes_an_import_wait_while_the_sinks_make_room(site, make_raw, monkeypatch):
    monkeypatch.setattr(supervisor, "TRIM_EVERY", 0.2)
    site.configure(SMALL + "[validation]\nmax_event_bytes = 1048576\n")
    site.write("big.jsonl", [make_raw(n, edata={"noise": "x" * 20_000}) for n in range(100)])
    _, err = site.run("run", "--import", "big.jsonl", "--until-idle")
    assert "the import waits: the journal holds its quota" in err
    assert len(site.delivered()) == 100


def test_an_import_that_waits_says_so_for_as_long_as_it_does(site, make_raw):
    site.configure(SMALL + "[validation]\nmax_event_bytes = 1048576\n")
    site.write("big.jsonl", [make_raw(n, edata={"noise": "x" * 20_000}) for n in range(60)])
    host = Host.load(None)
    with host.open_state() as state:
        journal = supervisor.open_journal(host.settings, host.registry, state)
        background = BackgroundImport(host, journal, ["big.jsonl"], patient=True)
        assert (background.waits, background.status().trouble) == ("", "")
        background.start()
        site.wait_for(lambda: background.waits)
        assert background.status().trouble.startswith("the journal holds its quota")
        assert "; waits: the journal holds its quota" in background.note()
        state.write(lambda connection: connection.execute("DELETE FROM log"))
        journal._size = 0  # as if the sinks had made room
        site.wait_for(lambda: background.done)
        assert (background.events, background.waits, background.status().trouble) == (60, "", "")
        background.join()


def test_an_import_that_is_interrupted_keeps_what_it_has_and_says_how_far_it_came(site, make_raw):
    process = site.start("import", "-", stdin=-1)
    process.stdin.write("".join(make_raw(n).decode() + "\n" for n in range(2_500)))
    process.stdin.flush()
    site.wait_for(lambda: len(rows(site)) >= 1_000)
    process.send_signal(signal.SIGINT)
    process.stdin.close()
    process.stdin = None
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "accepted" in out
    assert "interrupted" in err


def test_a_terminal_sees_how_far_it_is(site, make_raw):
    site.write("events.jsonl", [make_raw(n) for n in range(30_000)])
    master, slave = pty.openpty()
    site.environ |= {"TERM": "xterm", "COLUMNS": "160"}
    process = site.start("import", "events.jsonl", stdin=slave, stdout=slave, stderr=slave, text=False)
    os.close(slave)
    shown = b""
    while True:
        try:
            shown += os.read(master, 65_536)
        except OSError:
            break
    os.close(master)
    assert process.wait(timeout=20) == 0
    assert b"events/s" in shown
    assert b"30,000" in shown
