"""`bridge dead-letters`: looking at letters, and sending them again."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.cli.moments import parse_moment
from bridge.deadletters import Filter, SqliteDeadLetters
from bridge.engine.replay import Letters, ReplayReader
from bridge.engine.sharing import SharedDecoder
from bridge.events import Decoder
from bridge.state import State, StateFullError

PLUGINS = Path(__file__).parent / "plugins"
REFUSING = '[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\nrefuse = ["HATED"]\npoison = ["ODD"]\n'
MENDED = '[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\n'
OTHER = '[sinks.other]\ntype = "tray"\npath = "other.jsonl"\n'


def raw(n, eid="EXTRA"):
    return (
        b'{"eid":"%s","ets":%d,"ver":"3.0","mid":"%d","actor":{"id":"u","type":"User"},"edata":{},'
        % (
            eid.encode(),
            1_767_605_400_000 + n,
            n,
        )
        + b'"context":{"channel":"c","env":"e","pdata":{"id":"p"},"did":"d"}}'
    )


@pytest.fixture
def letters(site):
    """Every unresolved letter (or the resolved ones), by payload."""

    def read(*, resolved=False, sink=None):
        with State(site.folder / "data" / "bridge.db", read_only=True) as state:
            found = list(SqliteDeadLetters(state).find(Filter(sink=sink, resolved=resolved)))
        return {letter.payload: letter for letter in found}

    return read


@pytest.fixture(scope="module")
def after_refusals(tmp_path_factory):
    """What is left by a run in which 4 events were refused, 2 could not be mapped and 3 were not valid."""
    folder = tmp_path_factory.mktemp("refusals")
    lines = [raw(n) for n in range(5)]
    lines += [raw(n, "HATED") for n in range(4)] + [raw(n, "ODD") for n in range(2)]
    lines += [b"nonsense", b"{}", b'{"eid":"HATED","mid":"x"}']
    (folder / "events.jsonl").write_bytes(b"\n".join(lines))
    (folder / "config.toml").write_text(f'plugins.dir = "{PLUGINS}"\nops.port = 0\n{REFUSING}')
    command = [sys.executable, "-m", "bridge", "run", "--import", "events.jsonl", "--until-idle"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    return folder


@pytest.fixture
def refused(site, after_refusals):
    """A site in which that run was."""
    shutil.copytree(after_refusals / "data", site.folder / "data")
    shutil.copy(after_refusals / "tray.jsonl", site.folder)
    site.configure(REFUSING)
    return site


def test_letters_are_counted_by_sink_and_code_and_listed(refused, columns):
    out = refused.invoke("dead-letters", "list").stdout
    counts = {(row["sink"], row["code"]): int(row["letters"]) for row in columns(out, "sink")}
    assert counts == {
        ("tray", "refused"): 4,
        ("tray", "poison"): 2,
        ("rejects", "invalid_json"): 1,
        ("rejects", "missing_key"): 2,
    }
    assert len(columns(out, "id")) == 9
    assert "HATED is not welcome" in out


@pytest.mark.parametrize(
    ("chosen", "number"),
    [
        (["--sink", "tray"], 6),
        (["--sink", "rejects"], 3),
        (["--code", "poison"], 2),
        (["--eid", "HATED"], 5),
        (["--since", "1h"], 9),
        (["--until", "1h"], 0),
        (["--since", "2020-01-01", "--until", "2999-01-01T00:00+05:30"], 9),
        (["--resolved"], 0),
        (["--sink", "nobody"], 0),
    ],
)
def test_letters_can_be_chosen(refused, columns, chosen, number):
    result = refused.invoke("dead-letters", "list", *chosen)
    assert result.exit_code == 0
    rows = columns(result.stdout, "sink") if number else []
    assert sum(int(row["letters"]) for row in rows) == number
    if not number:
        assert "no " in result.stdout


def test_a_long_list_is_cut_off_and_says_so(refused, columns):
    out = refused.invoke("dead-letters", "list", "--limit", "2").stdout
    assert len(columns(out, "id")) == 2
    assert "and 7 more letters" in out
    assert "first seen" not in refused.invoke("dead-letters", "list", "--limit", "0").stdout


def test_one_letter_is_shown_with_its_payload_as_the_last_line(refused, letters):
    letter = letters()[raw(2, "HATED")]
    out = refused.invoke("dead-letters", "show", letter.id[:10]).stdout
    assert f"id        {letter.id}" in out
    assert "code      refused" in out
    assert f"position  {letter.position}" in out
    assert json.loads(out.splitlines()[-1]) == json.loads(letter.payload)
    wrong = refused.invoke("dead-letters", "show", "")
    assert wrong.exit_code == 1
    assert "no letter, or more than one" in wrong.stderr


def test_a_payload_cannot_move_the_cursor_of_who_looks_at_it(site):
    site.write("evil.jsonl", [b"\x1b[2J\xff evil"])
    site.run("run", "--import", "evil.jsonl", "--until-idle")
    out = site.invoke("dead-letters", "list").stdout
    identifier = out.splitlines()[-1].split()[0]
    shown = site.invoke("dead-letters", "show", identifier).stdout
    assert "\x1b" not in shown
    assert shown.splitlines()[-1] == r"\x1b[2J\xff evil"


def test_letters_are_exported_as_events_or_as_records(refused, letters, tmp_path):
    out = refused.invoke("dead-letters", "export", "--sink", "tray").stdout_bytes
    assert sorted(out.splitlines()) == sorted(letters(sink="tray"))
    assert (
        refused.invoke("dead-letters", "export", "--format", "full", "--output", "full.jsonl").exit_code == 0
    )
    records = [json.loads(line) for line in (tmp_path / "full.jsonl").read_text().splitlines()]
    assert {record["payload"].encode() for record in records} == set(letters())
    assert {"id", "sink", "plugin", "stage", "code", "path", "reason", "attempts", "first", "last"} <= set(
        records[0]
    )
    assert len(refused.invoke("dead-letters", "export", "--limit", "2").stdout.splitlines()) == 2


def test_looking_works_while_the_bridge_runs_and_replaying_says_why_not(refused, letters):
    process = refused.start("run")
    process.stdout.readline()
    assert refused.invoke("dead-letters", "list").exit_code == 0
    assert refused.invoke("dead-letters", "replay", "--dry-run").exit_code == 0
    _, err = refused.run("dead-letters", "replay", code=1)
    assert f"is in use by process {process.pid}" in err
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)


def test_after_a_mend_a_replay_delivers_and_resolves(refused, letters, columns):
    before = letters(sink="tray")
    refused.configure(MENDED + OTHER)
    out, _ = refused.run("dead-letters", "replay", "--sink", "tray")
    row = columns(out, "letters of")[0]
    assert (row["letters of"], row["sent to"], row["read"], row["delivered"]) == ("tray", "tray", "6", "6")
    assert "6 of 6 letters resolved" in out
    assert sorted(refused.delivered()[5:]) == sorted(before)
    assert refused.delivered("other.jsonl") == []
    assert letters(sink="tray") == {}
    after = letters(resolved=True)
    assert {payload: letter.id for payload, letter in after.items()} == {
        p: one.id for p, one in before.items()
    }
    out, _ = refused.run("dead-letters", "replay", "--sink", "tray")
    assert "no dead letters to replay" in out


def test_what_is_refused_again_keeps_its_id_and_place_with_its_attempts_added_up(refused, letters, columns):
    before = letters(sink="tray")
    refused.configure(REFUSING.replace('poison = ["ODD"]', ""))
    for times in (2, 3):
        out, _ = refused.run("dead-letters", "replay", "--sink", "tray", code=1)
        row = columns(out, "letters of")[0]
        assert (row["delivered"], row["refused again"]) == ("2" if times == 2 else "0", "4")
        after = letters(sink="tray")
        assert len(after) == 4
        for payload, letter in after.items():
            first = before[payload]
            assert (letter.id, letter.stream, letter.position, letter.first_ms) == (
                first.id, first.stream, first.position, first.first_ms,
            )  # fmt: skip
            assert letter.attempts == times * first.attempts
            assert letter.last_ms >= first.last_ms


def test_what_still_cannot_be_mapped_stays_under_its_id(refused, letters):
    before = letters(sink="tray")
    refused.configure(REFUSING.replace('refuse = ["HATED"]', ""))
    refused.run("dead-letters", "replay", "--code", "poison", code=1)
    after = letters(sink="tray")
    assert {p: letter.id for p, letter in after.items()} == {p: letter.id for p, letter in before.items()}
    assert sorted(letter.attempts for letter in after.values()) == [1, 1, 1, 1, 2, 2]


def test_invalid_events_are_left_until_they_are_valid_and_then_go_to_every_sink(refused, letters, columns):
    refused.configure(MENDED + OTHER)
    out, _ = refused.run("dead-letters", "replay", "--sink", "rejects")
    assert [row["sent to"] for row in columns(out, "letters of")] == ["tray", "other"]
    assert "0 of 3 letters resolved" in out
    assert len(letters(sink="rejects")) == 3
    loose = b'{"eid":"HATED","mid":"x","ets":1,"context":{"pdata":{"id":"p"},"channel":"c"}}'
    refused.write("loose.jsonl", [loose])
    refused.run("run", "--import", "loose.jsonl", "--until-idle")
    assert loose in letters(sink="rejects")
    refused.configure(REFUSING + OTHER + '[validation]\nlevel = "envelope"\n')
    out, _ = refused.run("dead-letters", "replay", "--sink", "rejects", code=1)
    assert "1 of 4 letters resolved" in out
    assert refused.delivered("other.jsonl")[-1] == loose
    assert loose not in letters(sink="rejects")
    own = letters(sink="tray")[loose]
    assert (own.code, own.stream, own.position) == ("refused", "log", letters(resolved=True)[loose].position)


def test_a_dry_run_says_what_would_happen_and_changes_nothing(refused, letters, columns):
    before = letters()
    refused.configure(REFUSING.replace("refuse", "decline"))
    out = refused.invoke("dead-letters", "replay", "--dry-run").stdout
    rows = {row["letters of"]: row for row in columns(out, "letters of")}
    assert [rows["tray"][name] for name in ("would send", "filtered", "would be refused")] == ["0", "4", "2"]
    assert rows["rejects"]["still invalid"] == "3"
    assert "nothing was sent" in out
    assert letters() == before
    assert len(refused.delivered()) == 5


def test_a_limit_takes_the_oldest_and_leaves_the_rest(refused, letters):
    refused.configure(MENDED)
    out, _ = refused.run("dead-letters", "replay", "--sink", "tray", "--limit", "4")
    assert "4 of 4 letters resolved" in out
    assert len(letters(sink="tray")) == 2


def test_what_a_sink_has_no_use_for_any_more_is_settled_as_filtered(refused, letters, columns):
    refused.configure(MENDED + 'route.exclude.eids = ["HATED"]\n')
    out, _ = refused.run("dead-letters", "replay", "--sink", "tray")
    row = columns(out, "letters of")[0]
    assert (row["delivered"], row["filtered"]) == ("2", "4")
    assert letters(sink="tray") == {}


def test_a_sink_that_lets_nobody_in_ends_the_replay_and_every_letter_stays(refused, letters):
    before = letters()
    refused.configure(MENDED + "closed = true\n")
    out, _ = refused.run("dead-letters", "replay", "--sink", "tray", code=1)
    assert "tray: HTTP 401: nobody is let in; the replay was ended, its letters stay" in out
    assert letters() == before


def test_letters_of_a_sink_that_is_gone_or_disabled_stay(refused, letters):
    refused.configure(OTHER)
    result = refused.invoke("dead-letters", "replay")
    assert result.exit_code == 0
    assert "tray is not configured any more: its 6 letters stay" in result.stderr
    refused.configure(REFUSING + "enabled = false\n" + OTHER)
    assert "tray is disabled" in refused.invoke("dead-letters", "replay").stderr
    assert refused.invoke("dead-letters", "replay", "--sink", "tra").exit_code == 2
    assert len(letters(sink="tray")) == 6


def test_many_refusals_in_a_row_are_nothing_new_in_a_replay(site, letters):
    site.configure(REFUSING + "rejects.max_consecutive = 0\nrejects.max_ratio = 1.0\n")
    site.write("events.jsonl", [raw(n, "HATED") for n in range(450)])
    site.run("run", "--import", "events.jsonl", "--until-idle")
    site.configure(REFUSING)
    out, _ = site.run("dead-letters", "replay", code=1)
    assert "0 of 450 letters resolved" in out
    site.configure(MENDED)
    out, _ = site.run("dead-letters", "replay")
    assert "450 of 450 letters resolved" in out
    assert sorted(site.delivered()) == sorted(raw(n, "HATED") for n in range(450))


def test_letters_with_equal_events_are_all_resolved(site, letters):
    site.configure(REFUSING + "dedup.window = 0\n")
    site.write("events.jsonl", [raw(1, "HATED"), raw(1, "HATED")])
    site.run("run", "--import", "events.jsonl", "--until-idle")
    site.configure(MENDED)
    out, _ = site.run("dead-letters", "replay")
    assert "2 of 2 letters resolved" in out


def test_a_replay_that_is_interrupted_resolves_what_it_delivered_and_goes_on_later(site, letters):
    site.configure(REFUSING + "rejects.max_consecutive = 0\nrejects.max_ratio = 1.0\n")
    site.write("events.jsonl", [raw(n, "HATED") for n in range(1_500)])
    site.run("run", "--import", "events.jsonl", "--until-idle")
    site.configure(MENDED + "delay = 0.05\nmax_in_flight = 1\n")
    process = site.start("dead-letters", "replay")
    site.wait_for(lambda: len(site.delivered()) >= 30)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    begun = site.delivered()
    assert len(begun) < 1_500
    assert set(letters(resolved=True)) == set(begun)
    site.configure(MENDED)
    site.run("dead-letters", "replay")
    assert sorted(site.delivered()) == sorted(raw(n, "HATED") for n in range(1_500))


def test_every_replay_is_a_stream_of_its_own_for_sinks_that_name_objects(site, letters):
    crate = '[sinks.crate]\ntype = "crate"\npath = "crates"\n'
    site.configure(crate + "batch.max_payload_bytes = 100\n")
    long = [raw(n, "LONG") for n in range(3)]
    site.write("events.jsonl", long)
    site.run("run", "--import", "events.jsonl", "--until-idle")
    assert len(letters(sink="crate")) == 3
    site.configure(crate)
    site.run("dead-letters", "replay", "--limit", "2")
    site.run("dead-letters", "replay")
    objects = sorted(Path("crates").iterdir())
    assert [path.name.rpartition(".")[2] for path in objects if path.name.startswith("dead-")] == [
        "0-2",
        "0-1",
    ]
    assert sorted(line for path in objects for line in path.read_bytes().splitlines()) == long


def test_a_resolved_letter_that_is_refused_once_more_is_open_again(refused, letters):
    letter = next(iter(letters().values()))
    with State(refused.folder / "data" / "bridge.db") as state:
        store = SqliteDeadLetters(state)
        store.resolve([letter.id])
        assert letter.payload not in {one.payload for one in store.find(Filter())}
        store.write([letter])
        assert letter.payload in {one.payload for one in store.find(Filter())}


def test_resolved_letters_make_room_when_the_quota_is_met(refused, letters):
    first, second, third, *_ = letters().values()
    with State(refused.folder / "data" / "bridge.db") as state:
        store = SqliteDeadLetters(state, max_bytes=SqliteDeadLetters(state).stored_bytes)
        with pytest.raises(StateFullError, match="quota"):
            store.write([first])
        store.resolve([second.id, third.id])
        store.write([first])
        assert list(store.find(Filter(resolved=True))) == []


def test_observers_see_a_letter_that_is_refused_again_under_its_own_id(refused, letters):
    folder = refused.folder / "plugins"
    folder.mkdir()
    (folder / "tray.py").symlink_to(Path(__file__).parent / "plugins" / "tray.py")
    (folder / "watch.py").write_text(
        "from bridge import hookimpl\n"
        "@hookimpl\n"
        "def bridge_dead_lettered(letter): print('again', letter.id, letter.attempts, flush=True)\n"
    )
    refused.configure(REFUSING, head='plugins.dir = "plugins"\n')
    out, _ = refused.run("dead-letters", "replay", "--code", "refused", code=1)
    told = {tuple(line.split()[1:]) for line in out.splitlines() if line.startswith("again ")}
    assert told == {(letter.id, "2") for letter in letters(sink="tray").values() if letter.code == "refused"}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", 910_000),
        ("15m", 100_000),
        ("1970-01-01", 0),
        ("1970-01-01T05:30:10+05:30", 10_000),
        ("1970-01-01T00:01", 60_000),
        ("1970-01-01T00:01:00Z", 60_000),
    ],
)
def test_moments_are_dates_times_or_how_long_ago(text, moment):
    assert parse_moment(text, now=1_000.0) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "3y", "-2h", "2026-13-01", "99999999999999999999w"])
def test_what_is_no_moment_is_refused(site, text):
    result = site.invoke("dead-letters", "list", "--since", text)
    assert result.exit_code == 2
    assert "write 2h, 3d, 2026-11-21" in result.stderr


def test_a_replay_can_read_again_from_any_place_it_has_not_settled(refused):
    with State(refused.folder / "data" / "bridge.db") as state:
        letters = Letters(SqliteDeadLetters(state), Filter(sink="tray"), ["tray"], "again", limit=None)
        reader = ReplayReader(letters, "tray", SharedDecoder(Decoder()))
        page = reader.read(0.0)
        assert (page.start, page.end, letters.total, reader.lag().records) == (0, 6, 6, 0)
        assert reader.read(0.0) is None
        assert reader.at_end()
        reader.commit({"again": 2})
        reader.rewind({"again": 2})
        assert not reader.at_end()
        again = reader.read(0.0)
        assert (again.start, again.payloads) == (2, page.payloads[2:])
        assert reader.read(0.0) is None
        letters.keep(4)
        reader.commit({"again": 6})
        assert letters.resolved == 5
        left = list(SqliteDeadLetters(state).find(Filter(sink="tray")))
        assert [letter.payload for letter in left] == [page.payloads[4]]


def test_a_letter_for_every_sink_is_resolved_when_the_last_one_has_settled_it(refused):
    with State(refused.folder / "data" / "bridge.db") as state:
        letters = Letters(SqliteDeadLetters(state), Filter(sink="tray"), ["a", "b"], "again", limit=None)
        first, second = (ReplayReader(letters, sink, SharedDecoder(Decoder())) for sink in ("a", "b"))
        first.read(0.0)
        first.commit({"again": 6})
        assert letters.resolved == 0
        second.read(0.0)
        second.commit({"again": 4})
        assert letters.resolved == 4
