"""`bridge explain` and `bridge check`: what they find out without sending anything."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

SINKS = """
[sinks.tray]
type = "tray"
path = "tray.jsonl"
poison = ["HATED"]
decline = ["BORING"]
batch.max_payload_bytes = 2000
[sinks.some]
type = "tray"
path = "some.jsonl"
route.eids = ["EXTRA", "H*"]
route.exclude.channels = ["*.secret"]
[sinks.crate]
type = "crate"
path = "crates"
"""


def blocks(output):
    """The explanation of each event as lines."""
    return [block.splitlines() for block in output.strip().split("\n\n")]


def test_each_sink_says_exactly_what_it_would_send_or_why_nothing(site, make_raw):
    site.configure(SINKS)
    events = [
        make_raw(1),
        make_raw(2, "HATED"),
        make_raw(3, "BORING"),
        make_raw(4, context={"channel": "in.secret", "env": "e", "pdata": {"id": "p"}}),
        make_raw(5, edata={"long": "x" * 3_000}),
    ]
    site.write("events.jsonl", events)
    sent, hated, boring, secret, long = blocks(site.invoke("explain", "events.jsonl").stdout)
    line = f"    {events[0].decode()}"
    assert sent == [
        "event 1: EXTRA EXTRA:1, valid",
        "  tray: would send", line, "  some: would send", line, "  crate: would send", *sent[6:],
    ]  # fmt: skip
    assert "Pack(" in sent[6]
    assert hated[1] == "  tray: dead letter: poison at $.eid: this cannot be said here"
    assert boring[1:3] == [
        "  tray: left out: the sink has no use for it",
        '  some: left out by route.eids = ["EXTRA", "H*"]',
    ]
    assert '  some: left out by route.exclude.channels = ["*.secret"]' in secret
    assert long[1].startswith("  tray: dead letter: too_large: the payload has")
    assert site.delivered() == []


def test_an_event_that_is_not_valid_is_explained_by_code_path_and_reason(site, make_raw):
    bad = json.loads(make_raw(1))
    del bad["context"]["channel"]
    site.write("bad.json", [json.dumps(bad, indent=2).encode()])
    (lines,) = blocks(site.invoke("explain", "bad.json").stdout)
    assert lines[0].startswith("event 1: EXTRA EXTRA:1, not valid (missing_key at $.context.channel): ")
    assert lines[0].endswith("; dead letter")
    assert len(lines) == 1


def test_a_batch_an_array_and_a_copy_are_explained_event_by_event(site, make_raw):
    events = [json.loads(make_raw(n)) for n in (1, 2, 1)]
    for text in (json.dumps({"id": "api", "events": events}, indent=1), json.dumps(events)):
        found = blocks(site.invoke("explain", "-", input=text.encode()).stdout)
        assert [block[0] for block in found] == [
            "event 1: EXTRA EXTRA:1, valid",
            "event 2: EXTRA EXTRA:2, valid",
            "event 3: EXTRA EXTRA:1, valid, a copy of event 1",
        ]


def test_one_sink_can_be_asked_and_an_unknown_one_is_named(site, make_raw):
    site.configure(SINKS)
    lines = site.invoke("explain", "--sink", "some", input=make_raw(1)).stdout.splitlines()
    assert [line for line in lines if line.startswith("  ") and line[2] != " "] == ["  some: would send"]
    wrong = site.invoke("explain", "--sink", "sone", input=make_raw(1))
    assert wrong.exit_code == 2
    assert 'did you mean "some"?' in wrong.stderr


def test_a_long_file_is_cut_off_and_says_so(site, make_raw):
    site.write("events.jsonl", [make_raw(n) for n in range(30)])
    result = site.invoke("explain", "events.jsonl", "--limit", "3")
    assert len(blocks(result.stdout)) == 3
    assert "--limit 30 shows it" in result.stderr
    assert "no event" in site.invoke("explain", input=b"").stderr


def test_explaining_needs_no_secret_and_no_state(site, make_raw):
    site.configure('[sinks.tray]\ntype = "tray"\npath = "x"\nkey = "env:NOT_THERE"\n')
    result = site.invoke("explain", input=make_raw(1))
    assert result.exit_code == 0, result.output
    assert not (site.folder / "data").exists()


def test_a_terminal_sees_colours(site, make_raw):
    site.write("events.jsonl", [make_raw(1)])
    master, slave = pty.openpty()
    environ = site.environ | {"TERM": "xterm-256color"}
    environ.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "bridge", "explain", "events.jsonl"]
    with subprocess.Popen(command, cwd=site.folder, stdin=slave, stdout=slave, env=environ) as process:
        assert process.wait(timeout=30) == 0
    os.close(slave)
    shown = os.read(master, 65_536).decode()
    os.close(master)
    assert "\x1b[32m" in shown
    assert '"eid"' in shown


def findings(output):
    return {line[:20].strip(): (line[20:29].strip(), line[29:].strip()) for line in output.splitlines()}


def test_a_check_says_how_each_part_is(site):
    site.configure(
        SINKS
        + '[sinks.shut]\ntype = "tray"\npath = "x"\nclosed = true\n'
        + '[sinks.off]\ntype = "tray"\npath = "x"\nenabled = false\n'
    )
    result = site.invoke("check")
    assert result.exit_code == 1
    found = findings(result.stdout)
    assert found["configuration"] == ("ok", "config.toml: 5 sinks, 4 enabled")
    assert found["journal sqlite"][0] == "ok"
    assert found["sink tray"] == ("ok", "writes to tray.jsonl")
    assert found["sink crate"] == ("ok", "no check offered")
    assert found["sink shut"] == ("failed", "HTTP 401: nobody is let in")
    assert found["sink off"] == ("skipped", "disabled")


def test_a_check_leaves_no_trace_where_the_bridge_never_ran(site):
    result = site.invoke("check")
    assert result.exit_code == 0
    assert (
        f"0 events, 0 bytes in {site.folder}/data/bridge.db (the state file is not there yet)"
        in result.stdout
    )
    assert not (site.folder / "data").exists()


def test_a_check_works_while_the_bridge_runs(site, make_raw):
    process = site.start("run")
    process.stdout.readline()
    assert site.invoke("check").exit_code == 0
    process.terminate()
    process.communicate(timeout=20)


def test_a_journal_that_cannot_be_read_fails_the_check(site):
    site.configure(
        '[journal]\ntype = "file"\npath = "nowhere/*.jsonl"\n[sinks.tray]\ntype = "tray"\npath = "x"\n'
    )
    result = site.invoke("check")
    assert result.exit_code == 1
    assert findings(result.stdout)["journal file"][0] == "failed"
    assert "no file at" in result.stdout


def test_an_offline_check_touches_nothing_and_needs_no_secrets(site):
    site.configure(
        '[journal]\ntype = "file"\npath = "nowhere/*.jsonl"\n'
        '[sinks.shut]\ntype = "tray"\npath = "x"\nclosed = true\n'
        '[sinks.tray]\ntype = "tray"\npath = "x"\nkey = "env:NOT_THERE"\n'
    )
    result = site.invoke("check", "--offline")
    assert result.exit_code == 0, result.output
    assert findings(result.stdout)["journal file"][0] == "skipped"
    assert findings(result.stdout)["sink shut"] == ("ok", "not contacted (--offline)")


def test_a_check_tells_every_missing_secret_at_once(site):
    site.configure(
        '[sinks.a]\ntype = "tray"\npath = "x"\nkey = "env:NOT_THERE"\n'
        '[sinks.b]\ntype = "tray"\npath = "x"\nkey = "env:NOR_THERE"\n'
    )
    result = site.invoke("check")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 2


def test_set_up_is_done_on_request_alone(site):
    assert "made a tray" not in site.invoke("check").stdout
    assert "made a tray; writes to tray.jsonl" in site.invoke("check", "--setup").stdout
    assert site.invoke("check", "--setup", "--offline").exit_code == 2


def test_a_plugin_that_crashes_in_a_check_does_not_hide_the_others(site):
    folder = site.folder / "plugins"
    folder.mkdir()
    (folder / "crash.py").write_text(
        "from bridge import Sink, hookimpl\n"
        "class Crash(Sink):\n"
        "    name = 'crash'\n"
        "    def map(self, event): return b''\n"
        "    def send(self, batch): return []\n"
        "    def check(self): raise KeyError('a secret thing')\n"
        "class Worse(Crash):\n"
        "    name = 'worse'\n"
        "    def __init__(self, config): raise KeyError('a secret thing')\n"
        "@hookimpl\n"
        "def bridge_sinks(): return [Crash, Worse]\n"
    )
    site.configure(
        '[sinks.a]\ntype = "crash"\n[sinks.b]\ntype = "worse"\n[sinks.c]\ntype = "crash"\n',
        head='plugins.dir = "plugins"\n',
    )
    result = site.invoke("check")
    assert result.exit_code == 1
    found = findings(result.stdout)
    assert found["sink a"] == found["sink c"] == ("failed", "the plugin failed with KeyError")
    assert found["sink b"] == ("failed", "sink b cannot be made: KeyError")
    assert "secret" not in result.output
    assert site.invoke("run", "--until-idle").exit_code == 1
