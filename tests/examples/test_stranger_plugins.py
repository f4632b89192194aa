"""The strangers' plugins: packaged apart, installed as anybody would, found and used by the bridge."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bridge.testing import encode, samples

EXAMPLES = Path(__file__).parents[2] / "examples"
PLUGINS = {"bridge-console": "console", "bridge-postgresql": "postgresql"}
INSTALL = [sys.executable, "-m", "pip", "install", "-q", "--no-deps"]
if importlib.util.find_spec("hatchling"):  # else pip fetches it, which takes longer
    INSTALL.append("--no-build-isolation")
INSTALL += ["--disable-pip-version-check", "--root-user-action=ignore"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with both plugins installed; the bridge and its packages are those of this environment."""
    folder = tmp_path_factory.mktemp("site")
    sources = [str(EXAMPLES / name) for name in PLUGINS]
    done = subprocess.run(
        [*INSTALL, "--target", str(folder), *sources], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run(site, tmp_path):
    """Run a module of Python where the plugins are installed, in an empty folder."""

    def call(*arguments):
        # other plugins of this environment take seconds to start
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(site), *filter(None, sys.path)])
        return subprocess.run(
            [sys.executable, "-m", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return call


@pytest.mark.parametrize("name", PLUGINS)
def test_an_installed_plugin_passes_its_own_tests(name, run):
    project = EXAMPLES / name
    kit = ("-p", "bridge.testing.pytest_plugin", "-p", "no:cacheprovider")
    done = run("pytest", "-q", *kit, "-c", project / "pyproject.toml", project)
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split(" passed")[0].split()[-1]) > 50


@pytest.mark.parametrize(("name", "kind"), PLUGINS.items())
def test_the_bridge_lists_it_with_its_distribution(name, kind, run, site):
    done = run("bridge", "plugins", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = (info for info in json.loads(done.stdout) if info["name"] == kind)
    version = tomllib.loads((EXAMPLES / name / "pyproject.toml").read_text())["project"]["version"]
    assert (found["distribution"], found["version"], found["sinks"]) == (name, version, [kind])
    assert found["error"] == ""
    assert Path(found["file"]).is_relative_to(site)


def write(folder, sink, *lines):
    (folder / "events.jsonl").write_bytes(b"".join(encode(event) + b"\n" for event in samples().values()))
    config = ["[ops]", "enabled = false", "[journal]", 'type = "file"', f'path = "{folder}/events.jsonl"']
    (folder / "config.toml").write_text(
        "\n".join([*config, f"[sinks.{sink}]", f'type = "{sink}"', *lines, ""])
    )


def test_the_console_prints_what_the_journal_holds(run, tmp_path):
    write(tmp_path, "console")
    done = run("bridge", "run", "--until-idle")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("2026-01-05 09:30")]
    assert [line.split()[2] for line in lines] == list(samples())


def test_the_database_sink_explains_itself_without_its_driver_or_a_server(run, tmp_path):
    write(tmp_path, "postgresql", 'dsn = "postgresql://bridge:a-password-for-tests@127.0.0.1:9/events"')
    done = run("bridge", "explain", "events.jsonl")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2026-01-05 09:30:") == len(samples())
    assert "a-password-for-tests" not in done.stdout + done.stderr


def test_a_single_file_needs_no_packaging(run, tmp_path, site):
    """The same module under another name, beside a broken one, dropped into `[plugins] dir`."""
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    text = (EXAMPLES / "bridge-console" / "bridge_console.py").read_text()
    (folder / "lines.py").write_text(text.replace('= "console"', '= "lines"'))
    (folder / "broken.py").write_text("raise ValueError('not today')")
    write(tmp_path, "lines", "[plugins]", 'dir = "plugins.d"')
    done = run("bridge", "plugins", "--json")
    found = {info["name"]: info for info in json.loads(done.stdout)}
    assert found["lines.py"]["sinks"] == ["lines"]
    assert found["lines.py"]["version"].startswith("sha256:")
    assert "not today" in found["broken.py"]["error"]
    assert found["console"]["error"] == ""
    done = run("bridge", "run", "--until-idle")
    assert done.returncode == 0, done.stderr
    assert sum(line.startswith("2026-01-05") for line in done.stdout.splitlines()) == len(samples())


def test_two_plugins_of_one_name_are_both_named(run, tmp_path):
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    text = (EXAMPLES / "bridge-console" / "bridge_console.py").read_text()
    (folder / "again.py").write_text(text)
    write(tmp_path, "console", "[plugins]", 'dir = "plugins.d"')
    done = run("bridge", "check")
    assert done.returncode == 2
    assert "bridge-console 0.1.0" in done.stderr
    assert "again.py" in done.stderr


def test_a_plugin_ships_nothing_but_itself(site):
    for name in PLUGINS:
        files = importlib.metadata.Distribution.at(
            next(site.glob(f"{name.replace('-', '_')}*.dist-info"))
        ).files
        top = {file.parts[0] for file in files if ".dist-info" not in file.parts[0]}
        assert {part.removesuffix(".py") for part in top} - {"__pycache__"} == {name.replace("-", "_")}
