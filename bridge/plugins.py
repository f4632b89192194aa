"""Loading plugins, each one apart from the others, and calling their observers.

    entry point "s3" ─┐
    plugins.d/*.py  ──┴─► import ─► hooks checked ─► classes checked ─► Registry
                            └────────────┴──────────────────┴─► the reason is kept, the next one goes on

A plugin is imported when the configuration names it, because importing is executing. What is
wrong with one plugin is raised to nobody but who asks the registry for it.
"""

from __future__ import annotations

import inspect
import logging
import threading
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pluggy

from bridge import discovery, hookspecs
from bridge.configuration.problems import nearest, shown
from bridge.discovery import GROUP
from bridge.errors import PluginError
from bridge.registry import API_VERSION, PluginInfo, Registry, check_journal, check_sink, check_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from bridge.journals.base import Journal
    from bridge.sinks import Sink
    from bridge.stages.base import Stage

__all__ = ["API_VERSION", "GROUP", "PluginInfo", "Plugins", "Registry"]

HOOKS = tuple(name for name in hookspecs.__all__ if name.startswith("bridge_"))
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Offer:
    """What one plugin's hooks returned, checked."""

    sinks: tuple[type[Sink[Any, Any]], ...]
    journals: tuple[type[Journal], ...]
    stages: tuple[type[Stage[Any]], ...]

    def names(self) -> set[str]:
        nouns: tuple[Any, ...] = (*self.sinks, *self.journals, *self.stages)
        return {noun.name for noun in nouns}


class Plugins:
    """The plugins of one process. `load` may be called again; what is loaded stays loaded."""

    def __init__(self, entry_points: Callable[[], Iterable[EntryPoint]] | None = None) -> None:
        """`entry_points` lists what is installed; by default the group `bridge` of this Python."""
        self._entry_points = discovery.by_name((entry_points or discovery.of_this_python)())
        self._manager = _manager()
        self._infos: dict[str, PluginInfo] = {}
        self._complained: set[tuple[str, str, type[Exception]]] = set()
        self._lock = threading.Lock()
        self.registry = Registry(
            installed={name: discovery.nouns(points[0]) for name, points in self._entry_points.items()}
        )

    def load(self, names: Iterable[str], folder: Path | None = None) -> Registry:
        """Load these installed plugins and every `*.py` in `folder`; failures are kept as reasons."""
        for path in discovery.files(folder):
            if path.name not in self._infos:
                self._attempt(PluginInfo(path.name, file=str(path)), partial(discovery.import_file, path))
        for name in names:
            points = self._entry_points.get(name, ())
            if points and name not in self._infos:
                self._load_installed(name, points)
        return self.registry

    def load_installed(self) -> Registry:
        """Load everything that is installed, for `bridge schema` and `bridge plugins` without a file."""
        return self.load(self._entry_points)

    def register(self, plugin: object, name: str) -> None:
        """Take part with an object that has hook implementations, as tests do; `PluginError` if it cannot."""
        self._attempt(PluginInfo(name, file=getattr(plugin, "__file__", "")), lambda: plugin)
        if fault := self.registry.faults.get(name):
            raise PluginError(fault)

    def loaded(self) -> list[PluginInfo]:
        """Every plugin that loading was tried for, in that order, failed ones with their `error`."""
        return list(self._infos.values())

    def installed(self) -> list[PluginInfo]:
        """As `loaded`, and after them every installed plugin that nothing has asked for yet."""
        waiting = [
            discovery.describe(point)
            for name, points in self._entry_points.items()
            if name not in self._infos
            for point in points
        ]
        return [*self._infos.values(), *waiting]

    def announce(self) -> None:
        """Log what was loaded from where, and what was not and why; for when logging is set up."""
        for info in self._infos.values():
            if info.error:
                log.warning("plugin %s was not loaded: %s", info.name, info.error)
            else:
                log.info("plugin %s was loaded from %s", info.name, info.source, extra={"file": info.file})

    def notify(self, hook: str, **facts: object) -> None:
        """Call an observer hook of every plugin; what one raises is logged once and ignored."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            try:
                implementation.function(*[facts[name] for name in implementation.argnames])
            except Exception as error:  # noqa: BLE001 - boundary: an observer must not stop a pipeline
                self._complain(implementation.plugin_name, hook, error)

    def _load_installed(self, name: str, points: tuple[EntryPoint, ...]) -> None:
        info = discovery.describe(points[0])
        if len(points) > 1:
            sources = " and ".join(sorted(discovery.describe(point).source for point in points))
            self._fail(
                info, PluginError(f'{sources} both install a plugin called "{name}" (uninstall one of them)')
            )
        else:
            self._attempt(info, points[0].load, must_offer=name)

    def _attempt(self, info: PluginInfo, load: Callable[[], object], must_offer: str = "") -> None:
        """Load one plugin and keep it, or the reason why it cannot be used."""
        try:
            plugin = load()
            offer = _offer(plugin, info.source, must_offer)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - boundary: a plugin must not stop the others
            self._fail(info, error)
        else:
            self._keep(info, plugin, offer)

    def _keep(self, info: PluginInfo, plugin: object, offer: _Offer) -> None:
        if not self._manager.is_registered(plugin):  # one module may stand behind several entry points
            self._manager.register(plugin, info.name)
        self._infos[info.name] = info = replace(
            info,
            file=getattr(plugin, "__file__", None) or info.file,
            version=info.version or str(getattr(plugin, "__version__", "")),
            sinks=tuple(sink.name for sink in offer.sinks),
            journals=tuple(journal.name for journal in offer.journals),
            stages=tuple(stage.name for stage in offer.stages),
            loaded=True,
        )
        for sink in offer.sinks:
            self._take("sink", self.registry.sinks, sink, info)
        for journal in offer.journals:
            self._take("journal", self.registry.journals, journal, info)
        for stage in offer.stages:
            self._take("stage", self.registry.stages, stage, info)

    def _take(self, noun: str, offered: dict[str, Any], cls: Any, info: PluginInfo) -> None:
        """Add a class; two of one name are a fault of that name, because none may win by chance."""
        other = self.registry.origins.setdefault((noun, cls.name), info)
        if offered.setdefault(cls.name, cls) is not cls:
            sources = " and ".join(sorted({discovery.place(other), discovery.place(info)}))
            fault = f'{sources} both offer a {noun} "{cls.name}" (remove one of them)'
            self.registry.faults[cls.name] = fault
            for clashing in (other.name, info.name):
                self._infos[clashing] = replace(self._infos[clashing], error=fault)

    def _fail(self, info: PluginInfo, error: BaseException) -> None:
        reason = shown(discovery.why(info, error))
        log.debug("where plugin %s failed", info.name, exc_info=error)
        self._infos[info.name] = replace(info, error=reason)
        self.registry.faults[info.name] = reason

    def _complain(self, plugin: str, hook: str, error: Exception) -> None:
        with self._lock:
            key = (plugin, hook, type(error))
            if key in self._complained:
                return
            self._complained.add(key)
        log.warning("plugin %s failed in %s and goes on being called", plugin, hook, exc_info=error)


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


def _offer(plugin: object, source: str, must_offer: str) -> _Offer:
    """Try a plugin in a manager of its own, so that a bad one leaves no trace in the real one.

    A plugin with classes has one called `must_offer`, the name of its entry point.
    """
    trial = _manager()
    _check_hooks(trial, plugin)
    sinks = [check_sink(sink, source) for sink in _returned(trial, "bridge_sinks")]
    journals = [check_journal(journal, source) for journal in _returned(trial, "bridge_journals")]
    stages = [check_stage(stage, source) for stage in _returned(trial, "bridge_stages")]
    offer = _Offer(tuple(sinks), tuple(journals), tuple(stages))
    if must_offer and offer.names() and must_offer not in offer.names():
        classes = ", ".join(sorted(offer.names()))
        raise PluginError(f'its entry point is called "{must_offer}", its classes are called {classes}')
    return offer


def _check_hooks(trial: pluggy.PluginManager, plugin: object) -> None:
    try:
        trial.register(plugin, "plugin")
    except pluggy.PluginValidationError as error:
        raise PluginError(". ".join(str(error).splitlines()[1:])) from None  # the first line names the trial
    callers = trial.get_hookcallers(plugin) or []
    if not callers:
        raise PluginError("it has no hook; decorate a function such as bridge_sinks with @hookimpl")
    for caller in callers:
        if not caller.has_spec():
            near = nearest(caller.name, HOOKS)
            hint = f'did you mean "{near}"?' if near else f"known: {', '.join(HOOKS)}"
            raise PluginError(f'there is no hook "{caller.name}" ({hint})')
        for implementation in caller.get_hookimpls():
            _check_plain(caller.name, implementation)
    trial.check_pending()


def _check_plain(hook: str, implementation: pluggy.HookImpl) -> None:
    if inspect.iscoroutinefunction(implementation.function):
        raise PluginError(f"{hook} is async, and hooks are plain functions (nobody would await it)")
    if implementation.wrapper or implementation.hookwrapper:
        raise PluginError(f"{hook} is a wrapper, which the bridge does not offer")


def _returned(trial: pluggy.PluginManager, hook: str) -> Iterator[object]:
    for returned in getattr(trial.hook, hook)():
        if isinstance(returned, type | str) or not hasattr(returned, "__iter__"):
            raise PluginError(f"{hook} must return a list of classes, for example [MySink]")
        yield from returned
