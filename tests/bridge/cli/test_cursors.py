"""`bridge cursors`: seeing, moving and removing the places of sinks in the journal."""

from __future__ import annotations

import gzip

import pytest

from bridge.journals.cursors import all_cursors
from bridge.state import State

FILES = '[journal]\ntype = "file"\npath = "in"\n[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\n'
KEEPING = '[journal]\nretention_hours = 1\n[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\n'


def stored(site):
    with State(site.folder / "data" / "bridge.db", read_only=True) as state:
        return {(name, detail or stream): at for name, stream, at, detail, _ in all_cursors(state)}


@pytest.fixture
def kept(site, make_raw):
    """A run over 7 events that the journal still holds."""
    site.configure(KEEPING)
    site.write("events.jsonl", [make_raw(n) for n in range(7)])
    site.run("run", "--import", "events.jsonl", "--until-idle")
    return site


def test_each_place_is_shown_with_what_is_left(kept, make_raw, columns):
    kept.write("more.jsonl", [make_raw(n) for n in range(7, 1_210)])
    kept.invoke("import", "more.jsonl")
    rows = {row["pipeline"]: row for row in columns(kept.invoke("cursors", "show").stdout, "pipeline")}
    assert set(rows) == {"tray", "rejects"}
    assert rows["tray"]["position"] == "8"
    assert rows["tray"]["left to read"] == "1,203 events"
    assert "ago)" in rows["tray"]["last moved"]


def test_without_a_run_there_is_nothing_to_show(site, make_raw):
    assert site.invoke("cursors", "show").exit_code == 1
    site.write("events.jsonl", [make_raw(1)])
    site.invoke("import", "events.jsonl")
    assert "no cursor yet" in site.invoke("cursors", "show").stdout


def test_places_are_shown_while_the_bridge_runs_and_not_moved(kept):
    process = kept.start("run")
    process.stdout.readline()
    assert kept.invoke("cursors", "show").exit_code == 0
    assert kept.invoke("cursors", "reset", "--sink", "tray", "--to", "earliest", "--dry-run").exit_code == 0
    refused = kept.invoke("cursors", "reset", "--sink", "tray", "--to", "earliest", "--yes")
    assert refused.exit_code == 1
    assert "is in use by process" in refused.stderr
    process.terminate()
    process.communicate(timeout=20)


def test_a_sink_is_moved_to_the_beginning_of_what_is_held_and_reads_it_again(kept):
    dry = kept.invoke("cursors", "reset", "--sink", "tray", "--to", "earliest", "--dry-run")
    assert "nothing was changed" in dry.stdout
    assert stored(kept)["tray", "log"] == 8
    done = kept.invoke("cursors", "reset", "--sink", "tray", "--to", "earliest", "--yes")
    assert done.exit_code == 0
    assert stored(kept) == {("tray", "log"): 1, ("rejects", "log"): 8}
    kept.run("run", "--until-idle")
    assert len(kept.delivered()) == 14


def test_a_sink_is_moved_to_the_end_and_skips_what_it_has_not_read(kept, make_raw):
    kept.write("more.jsonl", [make_raw(n) for n in range(7, 12)])
    kept.invoke("import", "more.jsonl")
    assert kept.invoke("cursors", "reset", "--sink", "tray", "--to", "latest", "--yes").exit_code == 0
    kept.run("run", "--until-idle")
    assert len(kept.delivered()) == 7
    assert stored(kept)["tray", "log"] == 13


def test_nobody_is_asked_where_nobody_is(kept):
    result = kept.invoke("cursors", "reset", "--sink", "tray", "--to", "latest")
    assert result.exit_code == 2
    assert "--yes" in result.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["reset", "--sink", "tary", "--to", "latest"], 'did you mean "tray"?'),
        (["reset", "--sink", "tray", "--to", "middle"], "none of earliest, latest"),
        (["reset", "--sink", "tray", "--to", "2h"], "in a sqlite journal"),
        (["reset", "--sink", "tray", "--to", "17"], "in a sqlite journal"),
        (["reset", "--sink", "tray", "--to", "latest", "--stream", "t[0]"], "in a sqlite journal"),
        (["remove", "tray"], "is configured"),
        (["remove", "rejects"], "is configured"),
    ],
)
def test_what_cannot_be_moved_is_a_fault_of_the_command_line(kept, args, told):
    result = kept.invoke("cursors", *args)
    assert result.exit_code == 2
    assert told in result.stderr


def test_the_place_of_a_sink_that_is_gone_can_be_removed(kept):
    kept.configure(KEEPING.replace("sinks.tray", "sinks.new"))
    assert "bridge cursors remove tray" in kept.invoke("cursors", "show").stdout
    assert kept.invoke("cursors", "remove", "tray", "--yes").exit_code == 0
    assert set(stored(kept)) == {("rejects", "log")}
    again = kept.invoke("cursors", "remove", "tray", "--yes")
    assert again.exit_code == 1
    assert "bridge: tray has no cursor" in again.stderr


def test_files_are_moved_to_their_beginning_or_the_end_of_their_last_line(site, make_raw, columns):
    site.configure(FILES)
    (site.folder / "in").mkdir()
    lines = [make_raw(n) for n in range(10)]
    site.write("in/a.jsonl", lines[:6])
    (site.folder / "in" / "b.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines[6:]) + b"\n"))
    site.run("run", "--until-idle")
    assert sorted(site.delivered()) == lines
    ends = stored(site)
    out = site.invoke("cursors", "show").stdout
    assert "a.jsonl" in out
    assert columns(out, "pipeline")[0]["left to read"] == "0 bytes"
    site.invoke("cursors", "reset", "--sink", "tray", "--to", "earliest", "--yes")
    assert [at for (name, _), at in stored(site).items() if name == "tray"] == [0, 0]
    site.run("run", "--until-idle")
    assert len(site.delivered()) == 20
    site.invoke("cursors", "reset", "--sink", "tray", "--to", "latest", "--yes")
    assert stored(site) == ends
    site.run("run", "--until-idle")
    assert len(site.delivered()) == 20


def test_a_sink_that_starts_at_the_latest_does_not_skip_what_comes_while_it_is_down(site, make_raw):
    site.configure(FILES + 'start = "latest"\n')
    (site.folder / "in").mkdir()
    site.write("in/a.jsonl", [make_raw(1)])
    site.run("run", "--until-idle")
    with (site.folder / "in" / "a.jsonl").open("ab") as file:
        file.write(make_raw(2) + b"\n")
    site.run("run", "--until-idle")
    assert site.delivered() == [make_raw(2)]
