"""`bridge run` as a process: what it counts, how it ends, what it leaves behind."""

from __future__ import annotations

import json
import os
import pty
import signal
import urllib.request
from pathlib import Path

import pytest

from bridge.cli import running
from bridge.cli.host import Host
from bridge.state import State, StateBrokenError

TWO_SINKS = """
[sinks.tray]
type = "tray"
path = "tray.jsonl"
refuse = ["HATED"]
decline = ["BORING"]
[sinks.some]
type = "tray"
path = "some.jsonl"
route.eids = ["EXTRA"]
"""


def mixture(make_raw):
    """60 valid events of three types and 10 copies, 5 that are not valid."""
    lines = [make_raw(n) for n in range(40)]
    lines += [make_raw(n, "HATED") for n in range(12)] + [make_raw(n, "BORING") for n in range(8)]
    return lines + lines[:10] + [b"nonsense", b'{"eid":"LOG"}', b"[1]", b"{}", b'"text"']


def numbers(row):
    names = ("read", "delivered", "duplicate", "filtered", "invalid", "dead letters", "outstanding")
    return [int(row[name].replace(",", "")) for name in names]


def cursor(site, pipeline="tray"):
    with State(site.folder / "data" / "bridge.db", read_only=True) as state:
        sql = "SELECT position FROM cursors WHERE pipeline = ?"
        return state.read(lambda connection: connection.execute(sql, (pipeline,)).fetchone()[0])


def test_every_event_is_accounted_for_in_the_summary(site, make_raw, columns):
    site.configure(TWO_SINKS)
    site.write("events.jsonl", mixture(make_raw))
    site.invoke("import", "events.jsonl")
    out, _ = site.run_process("run", "--until-idle")
    rows = {row["pipeline"]: row for row in columns(out, "pipeline")}
    assert numbers(rows["rejects"]) == [75, 0, 0, 70, 0, 5, 0]
    assert numbers(rows["tray"]) == [75, 40, 10, 8, 5, 12, 0]
    assert numbers(rows["some"]) == [75, 40, 10, 20, 5, 0, 0]
    assert all(row["rate"].endswith("/s") for row in rows.values())
    assert sorted(site.delivered()) == sorted(make_raw(n) for n in range(40))
    assert f"data          {site.folder}/data" in out
    assert "dead letters  17 events: bridge dead-letters list" in out


def test_a_second_run_finds_nothing_left_to_do(site, make_raw, columns):
    site.write("events.jsonl", [make_raw(n) for n in range(25)])
    site.run("run", "--import", "events.jsonl", "--until-idle")
    out, _ = site.run("run", "--until-idle")
    assert [row["read"] for row in columns(out, "pipeline")] == ["0", "0"]
    assert len(site.delivered()) == 25


def test_files_are_imported_beside_the_run_and_the_run_ends_when_they_are_delivered(site, make_raw, columns):
    site.configure(TWO_SINKS)
    site.write("events.jsonl", mixture(make_raw))
    out, _ = site.run("run", "--import", "events.jsonl", "--until-idle")
    assert columns(out, "file")[0] == {"file": "events.jsonl", "accepted": "70", "rejected": "5"}
    rows = {row["pipeline"]: row for row in columns(out, "pipeline")}
    assert numbers(rows["tray"]) == [75, 40, 10, 8, 5, 12, 0]


def test_standard_input_can_be_imported_beside_the_run(site, make_raw):
    site.run("run", "--import", "-", "--until-idle", input=make_raw(1) + b"\n" + make_raw(2))
    assert sorted(site.delivered()) == [make_raw(1), make_raw(2)]


def test_an_import_that_breaks_off_ends_the_run_with_exit_code_1(site, make_raw):
    (site.folder / "cut.gz").write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00")
    out, _ = site.run("run", "--import", "cut.gz", "--until-idle", code=1)
    assert "damaged or cut off" in out


def test_a_journal_of_files_takes_no_import(site, make_raw):
    site.write("events.jsonl", [make_raw(1)])
    site.configure(
        '[journal]\ntype = "file"\npath = "events.jsonl"\n[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\n'
    )
    _, err = site.run("run", "--import", "events.jsonl", code=1)
    assert "bridge: a file journal is read in place and takes no new events" in err
    site.run("run", "--until-idle")
    assert site.delivered() == [make_raw(1)]


def test_only_the_chosen_sinks_run(site, make_raw, columns):
    site.configure(TWO_SINKS)
    site.write("events.jsonl", [make_raw(n) for n in range(5)])
    site.invoke("import", "events.jsonl")
    out, _ = site.run("run", "--only", "some", "--until-idle")
    assert [row["pipeline"] for row in columns(out, "pipeline")] == ["rejects", "some"]
    assert site.delivered() == []


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--only", "som"], 'there is no sink "som" (did you mean "some"?)'),
        (["--only", "off"], 'the sink "off" is disabled'),
        (["--import", "nowhere.jsonl"], "does not exist"),
    ],
)
def test_what_cannot_be_run_is_a_fault_of_the_command_line(site, args, told):
    site.configure(TWO_SINKS + '[sinks.off]\ntype = "tray"\npath = "x"\nenabled = false\n')
    out, err = site.run("run", *args, code=2)
    assert out == ""
    assert told in err


def test_sigterm_delivers_what_is_on_its_way_and_a_restart_neither_loses_nor_repeats(site, make_raw):
    site.configure('[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\ndelay = 0.05\nbatch.max_events = 100\n')
    site.write("events.jsonl", [make_raw(n) for n in range(5_000)])
    site.invoke("import", "events.jsonl")
    process = site.start("run")
    site.wait_for(lambda: len(site.delivered()) >= 20)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0, out
    begun = site.delivered()
    assert 20 <= len(begun) < 5_000
    assert cursor(site) == 1 + len(begun)
    site.run("run", "--until-idle")
    assert sorted(site.delivered()) == sorted(make_raw(n) for n in range(5_000))


def test_a_second_signal_ends_at_once(site, make_raw):
    site.configure('[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\ndelay = 600\n')
    site.write("events.jsonl", [make_raw(1)])
    site.invoke("import", "events.jsonl")
    process = site.start("run")
    url = process.stdout.readline().split()[-1]
    site.wait_for(lambda: in_flight(url))
    process.send_signal(signal.SIGTERM)
    site.wait_for(lambda: states(url)["tray"] == "draining")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=15) == 130
    process.communicate()


def test_a_destination_that_never_answers_does_not_outlast_the_grace_period(site, make_raw):
    site.configure('[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\ndelay = 600\n[shutdown]\ngrace = 0.5\n')
    site.write("events.jsonl", [make_raw(1)])
    site.invoke("import", "events.jsonl")
    process = site.start("run")
    url = process.stdout.readline().split()[-1]
    site.wait_for(lambda: in_flight(url))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "pipeline" in out
    assert cursor(site) == 1


def status(url):
    with urllib.request.urlopen(f"{url}status.json", timeout=10) as answer:
        return json.load(answer)["pipelines"]


def in_flight(url):
    return sum(pipeline["in_flight"] for pipeline in status(url))


def states(url):
    return {pipeline["pipeline"]: pipeline["state"] for pipeline in status(url)}


def test_a_pipeline_that_breaks_leaves_the_others_running_and_is_told_at_the_end(site, make_raw, columns):
    site.configure(
        '[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\n'
        '[sinks.crate]\ntype = "crate"\npath = "crates"\nclosed = true\n'
    )
    site.write("events.jsonl", [make_raw(n) for n in range(30)])
    out, err = site.run("run", "--import", "events.jsonl", "--until-idle", code=1)
    assert len(site.delivered()) == 30
    assert "crate failed: RuntimeError" in out
    assert "the lid is nailed down" in err


def test_a_broken_pipeline_is_told_by_livez_while_the_others_go_on(site, make_raw):
    site.configure(
        '[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\n'
        '[sinks.crate]\ntype = "crate"\npath = "crates"\nclosed = true\n'
    )
    site.write("events.jsonl", [make_raw(n) for n in range(30)])
    site.invoke("import", "events.jsonl")
    process = site.start("run")
    url = process.stdout.readline().split()[-1]
    site.wait_for(lambda: states(url)["crate"] == "failed" and len(site.delivered()) == 30)
    with pytest.raises(urllib.error.HTTPError, match="503") as refused:
        urllib.request.urlopen(f"{url}livez", timeout=10)
    refused.value.close()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 1


def test_a_state_file_that_fails_ends_the_run_at_once_with_exit_code_1(site, monkeypatch, capsys):
    monkeypatch.setattr(running, "_leave", lambda code: pytest.exit(f"left with {code}", returncode=code))
    host = Host.load(None)
    with host.open_state() as state:
        run = running.Run(host, state, only=(), until_idle=False, imports=())
        state.broken = StateBrokenError("the state file failed: disk I/O error")
        with pytest.raises(pytest.exit.Exception, match="left with 1"):
            run.to_the_end()
        run._supervisor.stop()
        assert run._supervisor.join(10)
    assert "bridge: the state file failed: disk I/O error" in capsys.readouterr().err


def test_two_runs_cannot_share_a_state_file(site, make_raw):
    first = site.start("run")
    first.stdout.readline()
    _, err = site.run("run", code=1)
    assert f"is in use by process {first.pid}" in err
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=20)
    assert first.returncode == 0


def test_a_port_that_is_taken_is_told_before_anything_starts(site, make_raw):
    first = site.start("run")
    port = first.stdout.readline().rstrip("/\n").rpartition(":")[2]
    site.configure(
        f'data_dir = "other"\n[ops]\nport = {port}\n[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\n',
        head='plugins.dir = "{}"\n'.format(site.folder / "none"),
        name="second.toml",
    )
    (site.folder / "none").symlink_to(Path(__file__).parent / "plugins")
    _, err = site.run("--config", "second.toml", "run", code=1)
    assert f"bridge: cannot listen on 127.0.0.1:{port}" in err
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=20)


def test_the_cursor_of_a_sink_that_is_gone_is_warned_of(site, make_raw):
    site.configure(TWO_SINKS)
    site.run("run", "--until-idle")
    site.configure('[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\n')
    _, err = site.run("run", "--until-idle")
    assert "`bridge cursors remove some`" in err


def test_a_compiled_part_that_does_not_fit_is_done_without_and_warned_of(site, make_raw):
    site.configure(TWO_SINKS)
    (site.folder / "bridge_native.py").write_text("API = 0\n")
    site.environ["PYTHONPATH"] = str(site.folder)
    site.write("events.jsonl", [make_raw(1)])
    _, err = site.run_process("run", "--import", "events.jsonl", "--until-idle")
    assert "bridge_native has API 0" in err
    assert "run `make native`" in err
    assert site.delivered() == [make_raw(1)]


def test_observers_of_plugins_are_told(site, make_raw):
    folder = site.folder / "plugins"
    folder.mkdir()
    (folder / "tray.py").symlink_to(Path(__file__).parent / "plugins" / "tray.py")
    (folder / "watch.py").write_text(
        "from bridge import hookimpl\n"
        "@hookimpl\n"
        "def bridge_started(info): print('started', info.pipelines, flush=True)\n"
        "@hookimpl\n"
        "def bridge_dead_lettered(letter): print('lost', letter.code, flush=True)\n"
    )
    site.configure(
        '[ops]\nenabled = false\n[sinks.tray]\ntype = "tray"\npath = "t"\n', head='plugins.dir = "plugins"\n'
    )
    site.write("events.jsonl", [b"nonsense"])
    out, _ = site.run("run", "--import", "events.jsonl", "--until-idle")
    assert "started ('rejects', 'tray')" in out
    assert "lost invalid_json" in out
    assert "status page" not in out


def on_a_terminal(site, *args, until, then):
    """Run on a pseudo-terminal, sending the signals `then` once `until` is seen; what was shown, the code."""
    master, slave = pty.openpty()
    process = site.start(*args, stdin=slave, stdout=slave, stderr=slave, text=False)
    os.close(slave)
    shown = b""
    try:
        while True:
            try:
                block = os.read(master, 65_536)
            except OSError:  # the other side is closed
                break
            shown += block
            if then and until.encode() in shown:
                process.send_signal(then.pop())
    finally:
        os.close(master)
    return shown.decode(), process.wait(timeout=20)


def test_a_terminal_sees_a_table_that_goes_and_a_report_that_stays(site, make_raw):
    site.environ |= {"TERM": "xterm", "COLUMNS": "160"}
    site.write("events.jsonl", [make_raw(n) for n in range(30)])
    shown, code = on_a_terminal(
        site, "run", "--import", "events.jsonl", until="goes on until Ctrl-C", then=[signal.SIGINT]
    )
    assert code == 0
    assert "lag" in shown.partition("everything imported is delivered")[0]
    assert "status page   http://127.0.0.1:" in shown
    assert shown.rstrip().endswith(f"data          {site.folder}/data")
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")


def test_a_second_signal_gives_the_terminal_its_cursor_back(site, make_raw):
    site.environ |= {"TERM": "xterm", "COLUMNS": "160"}
    site.configure('[sinks.tray]\ntype = "tray"\npath = "tray.jsonl"\ndelay = 600\n')
    site.write("events.jsonl", [make_raw(1)])
    site.invoke("import", "events.jsonl")
    signals = [signal.SIGINT, signal.SIGINT]
    shown, code = on_a_terminal(site, "run", until="running", then=signals)
    assert code == 130
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")
