"""Golden files: written when asked for, compared otherwise, with a difference that can be read."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bridge.testing import Golden

# other plugins of this environment take seconds to start
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
PROJECT = """
from bridge import DELIVERED, Sink, SinkConfig, hookimpl
from bridge.testing import GoldenContract, Reply


class Loud(Sink):
    name = "loud"
    config_type = SinkConfig

    def map(self, event):
        return None if event.eid == "END" else event.eid.encode()

    def send(self, batch):
        return batch.all(DELIVERED)


class TestLoud(GoldenContract):
    sink_type = Loud


def test_with_the_fixtures(bridge_golden, bridge_destination):
    bridge_golden.check("extra/port.txt", {"running": bridge_destination.port > 0})
"""


@pytest.fixture
def run(tmp_path):
    """Run the project's tests in a process of their own; (exit code, output)."""
    (tmp_path / "test_loud.py").write_text(PROJECT)

    def call(*options):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "bridge.testing.pytest_plugin", *options]
        path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            [*command, "--rootdir", tmp_path],
            cwd=tmp_path,
            env={**os.environ, **path, **ALONE},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    return call


def test_the_option_writes_and_its_absence_compares(run, tmp_path):
    code, output = run()
    assert code == 1
    assert "run pytest --update-golden" in " ".join(output.split())
    assert run("--update-golden")[0] == 0
    assert (tmp_path / "golden" / "START.txt").read_text() == "START\n"
    assert (tmp_path / "golden" / "END.txt").read_text() == "(declined)\n"
    assert (tmp_path / "golden" / "extra" / "port.txt").read_text() == '{\n  "running": true\n}\n'
    assert run()[0] == 0
    (tmp_path / "golden" / "START.txt").write_text("BEGIN\n")
    (tmp_path / "golden" / "GONE.txt").write_text("old\n")
    code, output = run()
    assert code == 1
    assert "-BEGIN" in output
    assert "+START" in output
    assert "GONE" in output


def test_pytest_finds_the_plugin_by_itself():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"sunbird_bridge": "bridge.testing.pytest_plugin"}


def test_json_is_laid_out_so_that_a_diff_can_be_read(tmp_path):
    Golden(tmp_path, update=True).check("a.json", b'{"b":1,"a":["\xc3\xa9"]}')
    assert (tmp_path / "a.json").read_text() == '{\n  "b": 1,\n  "a": [\n    "é"\n  ]\n}\n'


def test_a_difference_names_the_file_and_the_lines(tmp_path):
    Golden(tmp_path, update=True).check("a.txt", "one\ntwo\nthree\n")
    Golden(tmp_path).check("a.txt", "one\ntwo\nthree\n")
    with pytest.raises(AssertionError) as failure:
        Golden(tmp_path).check("a.txt", "one\n2\nthree\n")
    assert "a.txt differs (pytest --update-golden accepts it)" in str(failure.value)
    assert "-two\n+2" in str(failure.value)


def test_the_plugin_imports_next_to_nothing():
    program = "import sys, bridge.testing.pytest_plugin; print([m for m in sys.modules if 'bridge.t' in m])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "bridge.testing.http" not in done.stdout
    assert "bridge.testing.mapping" not in done.stdout


def test_the_kit_without_pytest_still_makes_events():
    program = (
        "import sys; sys.modules['pytest'] = None; from bridge.testing import make_event, Destination, Golden"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error():
    import bridge.testing

    with pytest.raises(AttributeError, match="Contrakt"):
        _ = bridge.testing.Contrakt
    assert all(getattr(bridge.testing, name) is not None for name in bridge.testing.__all__)
