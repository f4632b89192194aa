"""Where plugins are found: entry points of installed distributions, and single files in a folder."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import sys
from typing import TYPE_CHECKING

from bridge.errors import PluginError
from bridge.registry import HOST, PluginInfo

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import Distribution, EntryPoint
    from pathlib import Path

__all__ = ["GROUP", "by_name", "describe", "files", "import_file", "nouns", "of_this_python", "place", "why"]

GROUP = "bridge"
BUILT_IN = {"bridge.journals.": "journal", "bridge.stages.": "stage"}


def why(info: PluginInfo, error: BaseException) -> str:
    """Why a plugin failed, in one sentence; an import error names the extra that would mend it."""
    text = " ".join(str(error).split())
    if isinstance(error, PluginError):
        return text
    foreign = (
        isinstance(error, ImportError) and (error.name or "").partition(".")[0] != info.file.partition(".")[0]
    )
    extra = foreign and info.name in _extras(info.distribution)
    hint = f" (pip install '{info.distribution}[{info.name}]')" if extra else ""
    return f"{type(error).__name__}: {text}{hint}" if text else type(error).__name__


def _extras(distribution: str) -> list[str]:
    if not distribution:
        return []
    return importlib.metadata.metadata(distribution).get_all("Provides-Extra") or []


def of_this_python() -> Iterable[EntryPoint]:
    """Every entry point of the group `bridge`; the same distribution on two paths counts once."""
    return importlib.metadata.entry_points(group=GROUP)


def by_name(entry_points: Iterable[EntryPoint]) -> dict[str, tuple[EntryPoint, ...]]:
    """The entry points sorted by name; more than one of a name is a clash."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in sorted(entry_points, key=lambda point: point.name):
        found[point.name] = (*found.get(point.name, ()), point)
    return found


def nouns(point: EntryPoint) -> frozenset[str]:
    """What an entry point may offer, as far as that can be told without importing it."""
    for prefix, noun in BUILT_IN.items():
        if point.value.startswith(prefix):
            return frozenset({noun})
    return frozenset({"sink"} if describe(point).distribution == HOST else {"sink", "journal", "stage"})


def describe(point: EntryPoint) -> PluginInfo:
    """What is known of an entry point before it is imported."""
    distribution: Distribution | None = point.dist
    if distribution is None:
        return PluginInfo(point.name, file=point.value)
    return PluginInfo(point.name, distribution.name, distribution.version, point.value)


def files(folder: Path | None) -> list[Path]:
    """The single-file plugins of a folder: its `*.py`, but for names that begin with `_` or a dot."""
    if folder is None or not folder.is_dir():
        return []
    return sorted(
        path for path in folder.glob("*.py") if path.is_file() and not path.name.startswith(("_", "."))
    )


def import_file(path: Path) -> object:
    """Import one file under a name of its own; neither `sys.path` nor another module is touched."""
    name = f"bridge_single_file_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError("Python cannot import this file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pydantic look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    if not hasattr(module, "__version__"):
        vars(module)["__version__"] = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    return module


def place(info: PluginInfo) -> str:
    """Where to find a plugin, for who has to remove it."""
    return info.source if info.distribution else info.file or info.name
