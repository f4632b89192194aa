"""The command itself: its help, its exit codes, what an error looks like."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

import click
import pytest

from bridge.cli.app import COMMANDS, cli
from bridge.native import FOUND


def commands():
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {child}", inner) for child, inner in command.commands.items())


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_help_ends_with_examples_that_name_the_command(site, name):
    result = site.invoke(*name.split(), "--help")
    assert result.exit_code == 0
    tail = result.output.rpartition("Examples:\n")[2].strip().splitlines()
    assert len(tail) >= 2
    assert all("bridge " in line for line in tail)


@pytest.mark.parametrize(("name", "command"), [pair for pair in commands() if " " not in pair[0]])
def test_the_list_of_commands_says_what_each_command_says_of_itself(name, command):
    assert command.help.splitlines()[0] == COMMANDS[name][1]


def test_the_help_tells_the_exit_codes(site):
    output = site.invoke("--help").output
    assert all(
        code in output for code in ("0    done", "1    something", "2    the conf", "130  interrupted")
    )


def test_the_help_imports_no_engine_no_plugin_and_no_configuration_library_of_ours():
    code = (
        "import sys, bridge.cli\n"
        "try: bridge.cli.cli(['--help'])\n"
        "except SystemExit: pass\n"
        "loaded = {m.partition('.bridge_native')[0] for m in sys.modules} - {'bridge_native'}\n"
        "heavy = [m for m in loaded if m.startswith(('bridge.engine', 'bridge_', 'rich'))]\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_broken_plugin_breaks_no_help_and_is_named_where_it_matters(site):
    folder = site.folder / "broken"
    folder.mkdir()
    (folder / "sick.py").write_text("import nowhere_to_be_found\n")
    site.configure('[plugins]\ndir = "broken"\n[sinks.a]\ntype = "s3"\nurl = "memory://x"\n', head="")
    assert site.invoke("--help").exit_code == 0
    assert site.invoke("run", "--help").exit_code == 0
    listed = site.invoke("plugins")
    assert listed.exit_code == 0
    assert "cannot be used: ModuleNotFoundError" in listed.output
    assert "sick.py" in site.invoke("schema").stderr
    assert site.invoke("check", "--offline").exit_code == 0


def test_no_command_shows_the_help_and_an_unknown_one_what_was_meant(site):
    assert site.invoke().exit_code == 2
    unknown = site.invoke("dead-leters")
    assert unknown.exit_code == 2
    assert 'did you mean "dead-letters"?' in unknown.stderr


def test_a_wrong_configuration_is_told_completely_with_exit_code_2(site):
    site.configure('tipe = 1\n[sinks.tray]\ntype = "tray"\npth = "x"\n[sinks.Other]\ntype = "nope"\n')
    for command in (["run"], ["check"], ["explain"], ["dead-letters", "list"], ["cursors", "show"]):
        result = site.invoke(*command)
        assert result.exit_code == 2, command
        assert result.stdout == ""
        assert "Traceback" not in result.output
        paths = [line.split(": ")[1] for line in result.stderr.splitlines()]
        assert {"ops.tipe", "sinks.tray.pth", "sinks.tray.path", "sinks.Other", "sinks.Other.type"} <= set(
            paths
        )


def test_a_missing_configuration_says_which_and_what_to_do(site):
    result = site.invoke("--config", "nowhere.toml", "run")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nowhere.toml: no such file" in result.stderr


def test_the_configuration_is_found_by_option_before_or_after_the_command_and_by_environment(
    site, monkeypatch
):
    site.configure('[sinks.other]\ntype = "tray"\npath = "x"\n', name="other.toml")
    for args in (["--config", "other.toml", "check"], ["check", "--config", "other.toml"]):
        assert "sink other" in site.invoke(*args).output
    monkeypatch.setenv("BRIDGE_CONFIG", "other.toml")
    assert "sink other" in site.invoke("check").output


def test_a_trouble_that_is_no_fault_of_the_configuration_is_one_line_and_exit_code_1(site):
    result = site.invoke("dead-letters", "list")
    assert result.exit_code == 1
    assert result.stderr.startswith("bridge: ")
    assert len(result.stderr.splitlines()) == 1
    assert "does not exist yet" in result.stderr


def test_a_folder_that_cannot_be_written_to_is_one_line_and_exit_code_1(site):
    (site.folder / "data").write_text("a file is in the way")
    out, err = site.run("run", code=1)
    assert out == ""
    assert [line for line in err.splitlines() if not line.startswith("{")] == [
        f"bridge: {site.folder}/data cannot be written to (File exists); it is the data_dir"
    ]


def test_a_reader_that_goes_away_is_not_answered_with_a_traceback(site):
    process = site.start("schema")
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=30)
    assert err == ""
    assert process.returncode in {0, 1}


def test_the_version_is_the_one_that_is_installed(site):
    own, _, text = site.invoke("--version").output.strip().partition(", ")
    assert own == version("sunbird-bridge")
    assert text == FOUND.text


def test_plugins_are_listed_as_a_table_and_as_json(site):
    table = site.invoke("plugins").output
    assert "tray.py" in table
    assert "sink tray, sink crate" in table
    infos = {info["name"]: info for info in json.loads(site.invoke("plugins", "--json").stdout)}
    assert infos["tray.py"]["sinks"] == ["tray", "crate"]
    assert infos["sqlite"]["journals"] == ["sqlite"]


def test_the_schema_knows_the_plugins_of_the_configured_folder(site):
    schema = json.loads(site.invoke("schema").stdout)
    assert "sink.tray" in schema["$defs"]


def test_no_escape_sequence_reaches_a_pipe(site, make_raw):
    site.write("events.jsonl", [make_raw(1), b"nonsense"])
    for args in (["check"], ["import", "events.jsonl"], ["plugins"], ["explain", "events.jsonl"]):
        assert "\x1b" not in site.invoke(*args).output
