"""`bridge new`: a project that passes its own tests, whatever its name is."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib

import pytest
from click.testing import CliRunner

from bridge.cli.new import command
from bridge.errors import BridgeError
from bridge.scaffold import create
from bridge.scaffold.project import Names


def run_tests(folder):
    """Run a project's own tests as its author would, with the project importable."""
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    # other plugins of this environment take seconds to start
    environment = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "bridge.testing.pytest_plugin"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("kind", "least"), [("sink", 100), ("stage", 14), ("journal", 14)])
def test_a_new_project_passes_its_own_tests_at_once(kind, least, tmp_path):
    done = run_tests(create(kind, "click-house", tmp_path))
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split(" passed")[0].split()[-1]) >= least


def test_no_placeholder_is_left_over(tmp_path):
    for kind in ("sink", "stage", "journal"):
        for path in create(kind, f"one-{kind}", tmp_path).rglob("*"):
            assert "@@" not in path.name
            assert path.is_dir() or b"@@" not in path.read_bytes()


def test_a_project_has_everything_a_plugin_needs(tmp_path):
    folder = create("sink", "click-house", tmp_path)
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found >= {
        ".github/workflows/test.yml",
        ".gitignore",
        "README.md",
        "bridge_click_house.py",
        "config.toml",
        "events.jsonl",
        "pyproject.toml",
        "tests/golden/INTERACT.txt",
        "tests/test_bridge_click_house.py",
    }
    assert not [path for path in found if "pycache" in path]


@pytest.mark.parametrize(
    ("name", "module", "class_name"),
    [
        ("console", "bridge_console", "Console"),
        ("click-house", "bridge_click_house", "ClickHouse"),
        ("my_db2", "bridge_my_db2", "MyDb2"),
        ("class", "bridge_class", "Class"),
        ("x-1-2", "bridge_x_1_2", "X12"),
    ],
)
def test_a_name_is_spelled_right_everywhere(name, module, class_name, tmp_path):
    folder = create("sink", name, tmp_path)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert folder.name == project["name"] == module.replace("_", "-")
    assert project["entry-points"]["bridge"] == {name: module}
    source = (folder / f"{module}.py").read_text()
    assert f'name: ClassVar[str] = "{name}"' in source
    assert f"class {class_name}Sink(" in source
    compile(source, "module", "exec")
    config = tomllib.loads((folder / "config.toml").read_text())
    assert config["sinks"][name]["type"] == name


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("ClickHouse", '"click-house"'),
        ("Click House", '"click-house"'),
        ("2fast", '"fast"'),
        ("-x", '"x"'),
        ("a--b", '"a-b"'),
        ("a-", '"a"'),
        ("x" * 41, '"' + "x" * 40 + '"'),
        ("../etc", '"etc"'),
        ("é", ""),
        ("", ""),
    ],
)
def test_a_bad_name_is_refused_with_a_better_one(name, suggestion, tmp_path):
    with pytest.raises(BridgeError, match="cannot be the name of a sink") as refused:
        create("sink", name, tmp_path)
    assert suggestion in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_installed_is_refused():
    with pytest.raises(BridgeError, match=r'called "s3" already \(sunbird-bridge\)'):
        Names.of("sink", "s3")


def test_nothing_is_overwritten(tmp_path):
    folder = create("sink", "mine", tmp_path)
    (folder / "bridge_mine.py").write_text("precious")
    with pytest.raises(BridgeError, match="exists already"):
        create("sink", "mine", tmp_path)
    assert (folder / "bridge_mine.py").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["bridge-mine"]


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("bridge.scaffold.project._write_golden", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        create("sink", "mine", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_comes_next(tmp_path):
    done = CliRunner().invoke(command, ["sink", "mine", "--dir", str(tmp_path)])
    assert done.exit_code == 0
    assert f"wrote {tmp_path / 'bridge-mine'}" in done.output
    assert "pip install --editable '.[test]'" in done.output


def test_the_command_knows_its_kinds():
    done = CliRunner().invoke(command, ["source", "mine"])
    assert done.exit_code == 2
    assert "'sink', 'stage', 'journal'" in done.output


def test_a_project_can_be_begun_without_pytest(tmp_path):
    program = "import sys; sys.modules['pytest'] = None; from bridge.scaffold import create; import pathlib; "
    program += "create('sink', 'mine', pathlib.Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
