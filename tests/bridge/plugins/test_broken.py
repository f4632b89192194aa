"""A broken plugin is recorded with its reason, and everything else goes on."""

from __future__ import annotations

import pytest

from bridge import settings
from bridge.errors import ConfigError, PluginError

HEAD = (
    "from bridge.hookspecs import hookimpl\nfrom bridge.sinks import *\nfrom bridge.journals.base import *\n"
)
CLASS = "class X(Sink):\n  name = 'bad'\n  def map(self, event): ...\n  def send(self, batch): ...\n"
HOOK = "@hookimpl\ndef bridge_sinks(): return [X]\n"

BROKEN = {
    "an import error": (
        "import no_such_module_at_all",
        "ModuleNotFoundError: No module named 'no_such_module_at_all'",
    ),
    "a syntax error": ("def broken(:\n", "SyntaxError: invalid syntax (bad_plugin.py, line 1)"),
    "an exception on import": ("1 / 0", "ZeroDivisionError: division by zero"),
    "an exit on import": ("raise SystemExit(3)", "SystemExit: 3"),
    "no hook": ("x = 1", "it has no hook; decorate a function such as bridge_sinks with @hookimpl"),
    "a hook that raises": (
        HEAD + "@hookimpl\ndef bridge_sinks(): raise ValueError('no\\nluck')\n",
        "ValueError: no luck",
    ),
    "a misspelt hook": (
        HEAD + "@hookimpl\ndef bridge_snks(): return []\n",
        'there is no hook "bridge_snks" (did you mean "bridge_sinks"?)',
    ),
    "a hook like no other": (
        HEAD + "@hookimpl\ndef zzz(): return []\n",
        'there is no hook "zzz" (known: bridge_',
    ),
    "a wrong argument": (
        HEAD + "@hookimpl\ndef bridge_sinks(registry): return []\n",
        "hookimpl definition: bridge_sinks(registry). Argument(s) {'registry'} are declared in the hookimpl",
    ),
    "an async hook": (
        HEAD + "@hookimpl\nasync def bridge_sinks(): return []\n",
        "bridge_sinks is async, and hooks are plain functions",
    ),
    "a wrapper": (
        HEAD + "@hookimpl(wrapper=True)\ndef bridge_sinks(): return (yield)\n",
        "bridge_sinks is a wrapper, which the bridge does not offer",
    ),
    "a class instead of a list": (
        HEAD + CLASS + "@hookimpl\ndef bridge_sinks(): return X\n",
        "bridge_sinks must return a list of classes, for example [MySink]",
    ),
    "a number instead of a list": (
        HEAD + "@hookimpl\ndef bridge_sinks(): return 5\n",
        "bridge_sinks must return a list of classes, for example [MySink]",
    ),
    "an instance instead of a class": (
        HEAD + "@hookimpl\ndef bridge_sinks(): return [5]\n",
        "bridge_sinks returned one int, not a subclass of Sink",
    ),
    "a class that is no sink": (
        HEAD + "class Y: ...\n@hookimpl\ndef bridge_sinks(): return [Y]\n",
        "bridge_sinks returned the class Y, not a subclass of Sink",
    ),
    "a journal that is none": (
        HEAD + CLASS + "@hookimpl\ndef bridge_journals(): return [X]\n",
        "bridge_journals returned the class X, not a subclass of Journal",
    ),
    "a stage that is none": (
        HEAD + CLASS + "@hookimpl\ndef bridge_stages(): return [X]\n",
        "bridge_stages returned the class X, not a subclass of Stage",
    ),
    "an abstract stage": (
        HEAD
        + "from bridge.stages.base import *\nclass X(Stage):\n  name = 'bad'\n"
        + "@hookimpl\ndef bridge_stages(): return [X]\n",
        "X does not define apply",
    ),
    "a stage with a key of the host": (
        HEAD
        + "from bridge.stages.base import *\nclass C(StageConfig):\n  sinks: int = 1\n"
        + "class X(Stage):\n  name = 'bad'\n  config_type = C\n  def apply(self, event): ...\n"
        + "@hookimpl\ndef bridge_stages(): return [X]\n",
        "C has the key sinks, which is the host's own (choose another name)",
    ),
    "an abstract sink": (
        HEAD + "class X(Sink):\n  name = 'bad'\n  def map(self, event): ...\n" + HOOK,
        "X does not define send",
    ),
    "no name": (
        HEAD + CLASS.replace("name = 'bad'", "pass") + HOOK,
        'X needs a class attribute such as name = "archive"',
    ),
    "a name that is none": (
        HEAD + CLASS.replace("'bad'", "'Bad One'") + HOOK,
        'X needs a class attribute such as name = "archive"',
    ),
    "another name than its entry point": (
        HEAD + CLASS.replace("'bad'", "'other'") + HOOK,
        'its entry point is called "bad", its classes are called other',
    ),
    "an old API": (
        HEAD + CLASS + "  api_version = 0\n" + HOOK,
        "X was written for plugin API 0, this bridge speaks 1 (install a newer bridge-bad 1.0)",
    ),
    "a new API": (
        HEAD + CLASS + "  api_version = 2\n" + HOOK,
        "X was written for plugin API 2, this bridge speaks 1 (install a newer sunbird-bridge)",
    ),
    "a configuration that is none": (
        HEAD + CLASS + "  config_type = dict\n" + HOOK,
        "X.config_type must be a subclass of SinkConfig",
    ),
    "a key of the host": (
        HEAD
        + "class C(SinkConfig):\n  batch: int = 1\n  retry: int = 1\n"
        + CLASS
        + "  config_type = C\n"
        + HOOK,
        "C has the key batch, retry, which is the host's own (choose another name)",
    ),
    "an alias that is a key of the host": (
        HEAD
        + "from pydantic import Field\nclass C(SinkConfig):\n  x: int = Field(1, alias='route')\n"
        + CLASS
        + "  config_type = C\n"
        + HOOK,
        "C has the key route, which is the host's own (choose another name)",
    ),
    "limits that are none": (HEAD + CLASS + "  limits = 5\n" + HOOK, "X.limits must be a BatchLimits"),
    "nothing in flight": (
        HEAD + CLASS + "  max_in_flight = 0\n" + HOOK,
        "X.max_in_flight must be a whole number of at least 1",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_plugin_with(kind, install, plugins, sink_source):
    source, said = BROKEN[kind]
    install("bridge-bad", "1.0", {"bad": "bad_plugin"}, {"bad_plugin": source})
    install("bridge-good", "1.0", {"good": "good_plugin"}, {"good_plugin": sink_source()})
    manager = plugins()
    registry = manager.load(["bad", "good"])
    assert registry.faults["bad"].startswith(said)
    assert registry.sink("good")
    bad, good = manager.loaded()
    assert (bad.name, bad.distribution, bad.version, bad.loaded) == ("bad", "bridge-bad", "1.0", False)
    assert bad.error == registry.faults["bad"]
    assert (good.error, good.loaded) == ("", True)
    with pytest.raises(PluginError, match="this plugin cannot be used"):
        registry.sink("bad")


@pytest.mark.parametrize("kind", [kind for kind in BROKEN if kind != "another name than its entry point"])
def test_a_single_file_with(kind, plugins, drop, sink_source):
    folder = drop("bad_plugin.py", BROKEN[kind][0])
    drop("good.py", sink_source())
    registry = plugins().load([], folder)
    assert set(registry.faults) == {"bad_plugin.py"}
    assert registry.sink("good")


def test_two_distributions_with_the_same_entry_point_are_both_named(install, plugins, sink_source):
    install(
        "bridge-one",
        "1.0",
        {"good": "mod_one", "other": "mod_other"},
        {"mod_one": sink_source(), "mod_other": sink_source("other")},
    )
    install("bridge-two", "2.0", {"good": "mod_two"}, {"mod_two": sink_source()})
    registry = plugins().load(["good", "other"])
    clash = 'bridge-one 1.0 and bridge-two 2.0 both install a plugin called "good" (uninstall one of them)'
    assert registry.faults == {"good": clash}
    assert registry.sink("other")


def test_two_classes_of_the_same_type_are_both_named_and_neither_wins(install, plugins, drop, sink_source):
    install("bridge-one", "1.0", {"good": "mod_one"}, {"mod_one": sink_source()})
    folder = drop("mine.py", sink_source())
    manager = plugins()
    registry = manager.load(["good"], folder)
    said = f'{folder}/mine.py and bridge-one 1.0 both offer a sink "good" (remove one of them)'
    assert registry.faults == {"good": said}
    assert [info.error for info in manager.loaded()] == [said, said]
    with pytest.raises(PluginError, match="both offer"):
        registry.sink("good")


def test_a_missing_extra_is_named(install, plugins):
    install(
        "bridge-bad",
        "1.0",
        {"bad": "bad_plugin"},
        {"bad_plugin": "import no_such_module_at_all"},
        extras=["bad", "all"],
    )
    assert plugins().load(["bad"]).faults["bad"] == (
        "ModuleNotFoundError: No module named 'no_such_module_at_all' (pip install 'bridge-bad[bad]')"
    )


def test_a_module_of_its_own_that_is_missing_is_no_missing_extra(install, plugins):
    install("bridge-bad", "1.0", {"bad": "bad_plugin.sink"}, {"bad_plugin": ""}, extras=["bad"])
    assert "pip install" not in plugins().load(["bad"]).faults["bad"]


def test_every_broken_plugin_is_a_line_of_the_configurations_problems(
    install, plugins, sink_source, drop, tmp_path
):
    install("bridge-bad", "1.0", {"bad": "bad_plugin"}, {"bad_plugin": "1 / 0"})
    install("bridge-good", "1.0", {"good": "good_plugin"}, {"good_plugin": sink_source()})
    drop("worse.py", "raise ValueError('\\x1b[2J' * 2)")
    path = tmp_path / "config.toml"
    path.write_text(
        '[plugins]\ndir = "plugins.d"\nload = ["bad", "gone"]\n'
        '[sinks.a]\ntype = "bad"\n[sinks.b]\ntype = "good"\nbatch.max_events = 0\n'
        '[sinks.c]\ntype = "unheard"\n',
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        settings.load(path, {}, plugins=plugins())
    unknown = (
        r"no plugin has this name (known: bad, good); worse.py was not loaded: ValueError: \x1b[2J\x1b[2J"
    )
    assert [str(problem) for problem in caught.value.problems] == [
        "plugins.load.0: ZeroDivisionError: division by zero",
        "plugins.load.1: no installed plugin has this name (known: bad, good)",
        f"journal.type: {unknown}",
        "sinks.a.type: this plugin cannot be used: ZeroDivisionError: division by zero",
        "sinks.b.batch.max_events: must be at least 1",
        f"sinks.c.type: {unknown}",
    ]


def test_a_broken_file_that_nobody_needs_stops_nothing(install, plugins, drop, sink_source, tmp_path):
    drop("broken.py", "1 / 0")
    journal = """
        from bridge.hookspecs import hookimpl
        from bridge.journals.base import Journal

        class Memory(Journal):
            name = "sqlite"
            def reader(self, pipeline, start, wake): ...

        @hookimpl
        def bridge_journals():
            yield Memory
    """
    install(
        "bridge-good",
        "1.0",
        {"good": "good_plugin", "sqlite": "memory"},
        {"good_plugin": sink_source(), "memory": journal},
    )
    path = tmp_path / "config.toml"
    path.write_text('[plugins]\ndir = "plugins.d"\n[sinks.a]\ntype = "good"\n', encoding="utf-8")
    manager = plugins()
    assert list(settings.load(path, {}, plugins=manager).sinks) == ["a"]
    assert [info.error for info in manager.loaded()] == ["ZeroDivisionError: division by zero", "", ""]
