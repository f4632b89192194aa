"""Real distributions and single files, written to a folder of the test's own."""

from __future__ import annotations

import importlib.metadata
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from bridge.plugins import Plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

SINK = """
    from bridge.hookspecs import hookimpl
    from bridge.sinks import Sink, SinkConfig

    class {cls}(Sink[SinkConfig, bytes]):
        name = "{name}"
        config_type = SinkConfig
        {extra}

        def map(self, event):
            return event.raw

        def send(self, batch):
            return batch.all(None)

    @hookimpl
    def bridge_sinks():
        return [{cls}]
"""


@pytest.fixture
def sink_source() -> Callable[..., str]:
    """The source of a plugin with one sink; `extra` is one more line of its class."""

    def source(name: str = "good", cls: str = "GoodSink", extra: str = "") -> str:
        return dedent(SINK).format(name=name, cls=cls, extra=extra)

    return source


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on `sys.path`, forgotten afterwards with everything imported from it."""
    folder = tmp_path / "site"
    folder.mkdir()
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def install(site: Path) -> Callable[..., None]:
    """Install a distribution of one module, as pip would lay it out."""

    def run(
        distribution: str,
        version: str,
        entry_points: dict[str, str],
        modules: dict[str, str],
        extras: Iterable[str] = (),
    ) -> None:
        for name, source in modules.items():
            (site / f"{name}.py").write_text(dedent(source), encoding="utf-8")
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        metadata = [
            f"Name: {distribution}",
            f"Version: {version}",
            *(f"Provides-Extra: {extra}" for extra in extras),
        ]
        (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *metadata, ""]), encoding="utf-8")
        lines = ["[bridge]", *(f"{name} = {value}" for name, value in entry_points.items()), ""]
        (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")

    return run


@pytest.fixture
def plugins(site: Path) -> Callable[[], Plugins]:
    """Make a manager that knows what is installed in `site` and nothing else."""

    def make() -> Plugins:
        def points() -> list[importlib.metadata.EntryPoint]:
            found = importlib.metadata.distributions(path=[str(site)])
            return [
                point for distribution in found for point in distribution.entry_points.select(group="bridge")
            ]

        return Plugins(points)

    return make


@pytest.fixture
def drop(tmp_path: Path) -> Callable[[str, str], Path]:
    """Put a single-file plugin into the plugins' folder and return the folder."""
    folder = tmp_path / "plugins.d"
    folder.mkdir()

    def run(name: str, source: str) -> Path:
        (folder / name).write_text(dedent(source), encoding="utf-8")
        return folder

    return run
