"""What is shipped: the wheel's names, its entry points and its data."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = target.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_ships_the_bridge_and_its_plugins_and_no_other_name(wheel):
    names = {name.split("/")[0] for name in wheel.namelist()}
    plugins = {"bridge_elasticsearch", "bridge_posthog", "bridge_s3", "bridge_webhook"}
    assert {name for name in names if not name.endswith(".dist-info")} == {"bridge", *plugins}


def test_the_wheel_carries_what_is_not_python(wheel):
    names = wheel.namelist()
    assert "bridge/py.typed" in names
    assert "bridge/ops/status.html" in names
    assert any(name.startswith("bridge_elasticsearch/") and name.endswith(".json") for name in names)
    assert any(name.startswith("bridge/scaffold/") and not name.endswith(".py") for name in names)


def test_every_entry_point_names_a_module_that_is_shipped(wheel):
    (path,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    group = None
    modules = {}
    for line in wheel.read(path).decode().splitlines():
        if line.startswith("["):
            group = line.strip("[]")
        elif "=" in line:
            name, module = (part.strip() for part in line.split("=", 1))
            modules[group, name] = module
    shipped = set(wheel.namelist())
    for module in modules.values():
        file = module.partition(":")[0].replace(".", "/")
        assert {f"{file}.py", f"{file}/__init__.py"} & shipped, module
    built_in = {name for found, name in modules if found == "bridge"}
    journals, stages = {"file", "kafka", "sqlite"}, {"enrich", "flatten", "redact"}
    assert built_in == {"elasticsearch", "posthog", "s3", "webhook"} | journals | stages
