"""The suite once more, against the installed wheel instead of the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[3]
FOLDERS = (
    "bridge/engine",
    "bridge/events",
    "bridge/journals",
    "bridge/settings",
    "bridge/ops",
    "plugins/webhook",
)


def test_the_suite_passes_against_the_installed_wheel(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel]
    subprocess.run(install, check=True, capture_output=True)
    away = tmp_path / "away"
    shutil.copytree(ROOT / "tests", away / "tests", ignore=shutil.ignore_patterns("real", "__pycache__"))
    for name in ("pyproject.toml", "config.example.toml", "docs", "examples"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, away / name)
    shared = os.environ.get("SUNBIRD_SHARED", str(ROOT.parent / "shared"))
    environ = {**os.environ, "PYTHONPATH": str(site), "SUNBIRD_SHARED": shared}
    where = [
        sys.executable,
        "-c",
        "import bridge, bridge_webhook; print(bridge.__file__, bridge_webhook.__file__)",
    ]
    found = subprocess.run(where, check=True, capture_output=True, text=True, cwd=away, env=environ).stdout
    assert all(path.startswith(str(site)) for path in found.split())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not real"]
    folders = [f"tests/{folder}" for folder in FOLDERS]
    # The freshness of generated files is about the checkout, not the wheel.
    chosen = ["--ignore", "tests/bridge/settings/test_example.py", "--ignore", "tests/bridge/journals/kafka"]
    chosen += ["--ignore", "tests/bridge/events/test_events_docs.py"]
    run = subprocess.run(
        [*command, *chosen, *folders], capture_output=True, text=True, cwd=away, env=environ, check=False
    )
    assert run.returncode == 0, run.stdout[-3_000:]
