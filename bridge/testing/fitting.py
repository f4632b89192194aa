"""What the contracts have in common: a sink from the configuration an operator would write."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from bridge.configuration.sources import Tables
from bridge.configuration.validation import validate
from bridge.errors import ConfigError, EventError, PluginError
from bridge.events import decode
from bridge.hookspecs import bridge_journals, bridge_sinks, bridge_stages
from bridge.plugins import Plugins
from bridge.registry import PluginInfo, Registry
from bridge.secrets import Places, Secret
from bridge.sinks import Batch, ObjectSink, Sink, Span
from bridge.testing.events import encode, make_event, nasty, samples, unknown_samples
from bridge.testing.lessons import Breach, require

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import ModuleType

    from bridge.events import Event
    from bridge.testing.destination import Destination

__all__ = [
    "Fitting",
    "batch_of",
    "filled",
    "hooked_module",
    "offered",
    "problems_of",
    "secrets_in",
    "valid_lines",
]

NOWHERE = {"{url}": "http://127.0.0.1:9", "{host}": "127.0.0.1", "{port}": "9"}
SINK = "contract"
HOOKS = frozenset(hook.__name__ for hook in (bridge_sinks, bridge_journals, bridge_stages))
SHORTEST_SECRET = 8


class Fitting:
    """The two attributes every contract needs, and sinks made from them.

    In `config`, text may hold `{url}`, `{host}` and `{port}` of the scripted destination and
    `{folder}`, an empty folder of the test's own.
    """

    sink_type: ClassVar[type[Sink[Any, Any]]]
    config: ClassVar[Mapping[str, Any]] = {}
    plugin: ClassVar[ModuleType | None] = None

    def settings(self, folder: Path, destination: Destination | None = None) -> dict[str, Any]:
        """The plugin's keys of `[sinks.<id>]`, with the places filled in."""
        places = {**NOWHERE, "{folder}": str(folder)}
        if destination is not None:
            places |= {"{url}": destination.url, "{port}": str(destination.port)}
        found: dict[str, Any] = filled(dict(self.config), places)
        return found

    def make(self, folder: Path, destination: Destination | None = None, **changes: Any) -> Sink[Any, Any]:
        """A sink that is not entered; `changes` are keys of its configuration."""
        values = {**self.settings(folder, destination), **changes}
        return self.sink_type(self.sink_type.config_type.model_validate(values))

    def lines(self) -> list[bytes]:
        """Events as JSON, see `valid_lines`."""
        return valid_lines()

    def events(self, count: int = 4) -> list[Event]:
        """Different events that this sink maps, `count` at most."""
        sink = self.make(Path.cwd())
        for eid in samples():
            events = [decode(encode(make_event(eid, mid=f"contract-{n}"))) for n in range(count)]
            if _maps(sink, events[0]):
                return events
        raise Breach(
            "map gave no payload for any official event",
            "let map return a payload for at least one of bridge.testing.samples()",
        )


def valid_lines() -> list[bytes]:
    """Events as JSON: every official type, unknown ones, and odd ones that are valid all the same."""
    plain = [encode(event) for event in (*samples().values(), *unknown_samples().values())]
    return plain + [line for line in nasty().values() if _decodes(line)]


def filled(value: Any, places: Mapping[str, str]) -> Any:
    """The value with every place holder in its texts replaced."""
    if isinstance(value, str):
        for name, text in places.items():
            value = value.replace(name, text)
        return value
    if isinstance(value, dict):
        return {key: filled(inner, places) for key, inner in value.items()}
    return [filled(inner, places) for inner in value] if isinstance(value, list | tuple) else value


def _maps(sink: Sink[Any, Any], event: Event) -> bool:
    try:
        return sink.map(event) is not None
    except Exception:  # noqa: BLE001 - boundary: the checks of `map` itself say what it raises
        return False


def _decodes(line: bytes) -> bool:
    try:
        decode(line)
    except EventError:
        return False
    return True


def batch_of(sink: Sink[Any, Any], events: Sequence[Event], attempt: int = 1, start: int = 0) -> Batch[Any]:
    """What the host would hand to `send`: mapped, without the declined, within the sink's limit.

    `start` is where the first event stands in the journal.
    """
    pairs = [
        (event, payload)
        for event, payload in zip(events, sink.map_batch(events), strict=True)
        if payload is not None
    ]
    span = Span("contract", start, start + len(events), len(pairs))
    if isinstance(sink, ObjectSink):
        packs = sink.pack([event for event, _ in pairs], [line for _, line in pairs]) if pairs else ()
        return Batch(packs, (), SINK, attempt, (span,))
    pairs = pairs[: sink.limits.max_events]
    return Batch([payload for _, payload in pairs], [event for event, _ in pairs], SINK, attempt, (span,))


def secrets_in(value: Any) -> list[str]:
    """The text of every secret in a configuration, long enough to be recognised."""
    return [text for text in _secrets(value) if len(text) >= SHORTEST_SECRET]


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _secrets(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _secrets(inner)


def problems_of(sink_type: type[Sink[Any, Any]], config: Mapping[str, Any]) -> list[str]:
    """What `bridge check` would say of this configuration, a line each; nothing if it is right."""
    name = sink_type.name
    registry = Registry(
        sinks={name: sink_type}, journals=_quiet_journal(), origins={("sink", name): PluginInfo(name)}
    )
    tables = Tables({"sinks": {SINK: {"type": name, **config}}}, "config.toml", Path.cwd())
    try:
        validate(tables, registry, Places())
    except ConfigError as error:
        return error.lines()
    return []


def _quiet_journal() -> dict[str, Any]:
    from bridge.journals.sqlite import SqliteJournal  # noqa: PLC0415 - only this check needs a journal

    return {"sqlite": SqliteJournal}


def hooked_module(noun: type, given: ModuleType | None, hook: str = bridge_sinks.__name__) -> ModuleType:
    """The module with the plugin's hooks: the class's own, or a package around it."""
    name = noun.__module__
    while given is None:
        module = sys.modules.get(name)
        if module is not None and any(_is_hook(thing) for thing in vars(module).values()):
            return module
        name = name.rpartition(".")[0]
        require(
            name,
            f"neither {noun.__module__} nor a package around it has a function with @hookimpl",
            f"from bridge import hookimpl\n\n@hookimpl\ndef {hook}():\n    return [{noun.__name__}]",
        )
    return given


def offered(noun: type, given: ModuleType | None, hook: str) -> None:
    """Raise a `Breach` unless the plugin's module offers the class by this hook."""
    module = hooked_module(noun, given, hook)
    plugins = Plugins(lambda: ())
    try:
        plugins.register(module, "contract")
    except PluginError as error:
        raise Breach(str(error), "the hooks exactly as bridge.hookspecs has them") from None
    found: Mapping[str, type] = getattr(plugins.registry, hook.removeprefix("bridge_"))
    require(
        noun in found.values(),
        f"the hooks of {module.__name__} offer {', '.join(found) or 'nothing'}, not {noun.__name__}",
        f"@hookimpl\ndef {hook}():\n    return [{noun.__name__}]",
    )


def _is_hook(thing: object) -> bool:
    named = getattr(thing, "__name__", "") in HOOKS
    return named and callable(thing) and bool(getattr(thing, "bridge_impl", None))
