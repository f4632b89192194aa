"""Plugins are loaded when they are named, each apart from the others, from packages and from files."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.errors import PluginError
from bridge.hookspecs import hookimpl
from bridge.plugins import API_VERSION, Plugins
from bridge.sinks import Sink


def test_a_named_plugin_is_loaded_and_known_by_its_type(install, plugins, sink_source, site):
    install("bridge-good", "1.2", {"good": "good_plugin"}, {"good_plugin": sink_source()})
    manager = plugins()
    registry = manager.load(["good"])
    assert issubclass(registry.sink("good"), Sink)
    (info,) = manager.loaded()
    assert (info.name, info.distribution, info.version) == ("good", "bridge-good", "1.2")
    assert (info.sinks, info.journals, info.error, info.loaded) == (("good",), (), "", True)
    assert info.file == str(site / "good_plugin.py")
    assert registry.source("sink", "good") == "bridge-good 1.2"
    assert registry.source("sink", "other") == ""


def test_what_nobody_named_is_not_imported(install, plugins, sink_source):
    install("bridge-good", "1.0", {"good": "good_plugin"}, {"good_plugin": sink_source()})
    install("bridge-idle", "2.0", {"idle": "idle_plugin"}, {"idle_plugin": "raise SystemExit('imported')"})
    manager = plugins()
    manager.load(["good"])
    assert "idle_plugin" not in sys.modules
    assert [(info.name, info.loaded) for info in manager.installed()] == [("good", True), ("idle", False)]


def test_loading_again_loads_only_what_is_new(install, plugins, sink_source):
    install(
        "bridge-two",
        "1.0",
        {"a": "mod_a", "b": "mod_b"},
        {"mod_a": sink_source("a", "A"), "mod_b": sink_source("b", "B")},
    )
    manager = plugins()
    first = manager.load(["a"]).sink("a")
    assert manager.load(["a", "b"]).sink("a") is first
    assert [info.name for info in manager.loaded()] == ["a", "b"]


def test_one_package_may_offer_several_types(install, plugins):
    module = """
        from bridge.hookspecs import hookimpl
        from bridge.sinks import Sink, SinkConfig

        class First(Sink):
            name = "first"
            def map(self, event): ...
            def send(self, batch): ...

        class Second(First):
            name = "second"

        @hookimpl
        def bridge_sinks():
            return [First, Second]
    """
    install("bridge-both", "1.0", {"first": "both", "second": "both"}, {"both": module})
    manager = plugins()
    registry = manager.load(["first", "second"])
    assert set(registry.sinks) == {"first", "second"}
    assert not registry.faults


def test_a_single_file_works_without_packaging(plugins, drop, sink_source):
    folder = drop("my_sink.py", sink_source("mine", "Mine"))
    before = list(sys.path)
    manager = plugins()
    registry = manager.load([], folder)
    assert registry.sink("mine").__name__ == "Mine"
    assert sys.path == before
    assert "my_sink" not in sys.modules
    (info,) = manager.loaded()
    assert (info.name, info.distribution, info.file) == ("my_sink.py", "", str(folder / "my_sink.py"))
    assert info.version.startswith("sha256:")
    assert registry.source("sink", "mine") == f"my_sink.py {info.version}"


def test_a_single_file_may_state_its_version(plugins, drop, sink_source):
    manager = plugins()
    manager.load([], drop("my_sink.py", sink_source() + "\n__version__ = '3.1'\n"))
    assert manager.loaded()[0].version == "3.1"


def test_files_that_are_no_plugins_are_passed_by(plugins, drop, sink_source):
    for name in ("_helper.py", ".hidden.py", "readme.txt"):
        folder = drop(name, "raise SystemExit(1)")
    drop("my-sink.py", sink_source())
    (folder / "folder.py").mkdir()
    manager = plugins()
    manager.load([], folder)
    assert [info.name for info in manager.loaded()] == ["my-sink.py"]
    assert plugins().load([], folder / "nowhere").faults == {}


def test_a_file_may_use_dataclasses_and_pydantic(plugins, drop):
    folder = drop(
        "rich.py",
        """
        from __future__ import annotations
        from dataclasses import dataclass
        from bridge.hookspecs import hookimpl
        from bridge.sinks import Sink, SinkConfig

        @dataclass
        class Thing:
            name: str

        class Config(SinkConfig):
            place: Place = None

        Place = str | None
        Config.model_rebuild()

        class Rich(Sink[Config, bytes]):
            name = "rich"
            config_type = Config
            def map(self, event): ...
            def send(self, batch): ...

        @hookimpl
        def bridge_sinks():
            return [Rich]
        """,
    )
    assert plugins().load([], folder).sink("rich").config_type(place="x").place == "x"


def test_the_built_ins_load_like_anybody_elses():
    manager = Plugins()
    registry = manager.load_installed()
    assert {"elasticsearch", "posthog", "s3", "webhook"} <= set(registry.sinks)
    assert {"file", "sqlite"} <= set(registry.journals)
    assert not [
        info.error for info in manager.loaded() if info.distribution == "sunbird-bridge" and info.error
    ]


def test_an_object_can_take_part_in_a_test():
    class Observer:
        @hookimpl
        def bridge_started(self, info):
            """Observe."""

    manager = Plugins(list)
    manager.register(Observer(), "observer")
    with pytest.raises(PluginError, match="it has no hook"):
        manager.register(object(), "nothing")


def test_what_was_loaded_and_what_was_not_is_logged_when_asked(install, plugins, sink_source, caplog):
    install("bridge-good", "1.2", {"good": "good_plugin"}, {"good_plugin": sink_source()})
    install("bridge-bad", "1.0", {"bad": "bad_plugin"}, {"bad_plugin": "1 / 0"})
    manager = plugins()
    with caplog.at_level(logging.INFO):
        manager.load(["good", "bad"])
        assert caplog.messages == []
        manager.announce()
    assert caplog.messages == [
        "plugin good was loaded from bridge-good 1.2",
        "plugin bad was not loaded: ZeroDivisionError: division by zero",
    ]


def test_pluggy_is_known_to_two_files_only():
    root = Path(__file__).parents[3]
    using = {
        path.name
        for path in (root / "bridge").rglob("*.py")
        if "import pluggy" in path.read_text(encoding="utf-8")
    }
    assert using == {"plugins.py", "hookspecs.py"}


def test_the_bridge_and_its_settings_import_no_plugin():
    code = (
        "import sys, bridge.settings, bridge.plugins;"
        "names = {name.split('.')[0] for name in sys.modules if name.startswith('bridge_')};"
        "print(sorted(names - {'bridge_native'}))"
    )
    environ = os.environ | {"PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ
    )
    assert done.stdout.strip() == "[]"
    assert API_VERSION == 1
