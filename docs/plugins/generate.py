"""Writes reference.md and surface.md from the code: `python docs/plugins/generate.py [--check]`.

With `--check` nothing is written, and the exit code is 1 if a page is not what the code says.
"""

# ruff: noqa: INP001 - a script beside the pages it writes, not a package

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import itertools
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bridge
from bridge import hookspecs, testing
from bridge.configuration.models import FileTables, JournalKeys, SinkKeys, StageKeys
from bridge.configuration.rows import rows
from bridge.configuration.shapes import is_mapping, members
from bridge.discovery import GROUP
from bridge.metrics import METRICS, OUTCOMES, STATES
from bridge.plugins import HOOKS
from bridge.registry import API_VERSION, HOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

HERE = Path(__file__).parent
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
ROOT = HERE.parents[1]
MODULES = (
    "bridge",
    "bridge.errors",
    "bridge.events",
    "bridge.sinks",
    "bridge.stages.base",
    "bridge.http",
    "bridge.secrets",
    "bridge.paths",
    "bridge.compression",
    "bridge.native",
    "bridge.together",
    "bridge.hookspecs",
    "bridge.journals.base",
    "bridge.journals.cursors",
    "bridge.testing",
)
CONTRACTS = (
    "MappingContract",
    "SinkContract",
    "HttpSinkContract",
    "GoldenContract",
    "JournalContract",
    "StageContract",
)
CLASSES = ("Sink", "ObjectSink", "SinkConfig", "Stage", "StageConfig", "Journal", "Reader", "JournalConfig")
VALUES = (
    "BatchLimits",
    "Batch",
    "Span",
    "Pack",
    "Delivered",
    "Retry",
    "Reject",
    "Page",
    "BatchReport",
    "RunInfo",
)
# the calls whose literal argument is a code that dead letters carry, and where it stands
CODES = {"EventError": 0, "Doomed": 1, "_refused": 1}
GENERATED = "Written by `python docs/plugins/generate.py`; a test holds it to the code."
REFERENCE = f"""\
# Plugin reference

{GENERATED} How these are used:
[tutorial](tutorial.md), [how the host treats your sink](host.md); what may not change: [surface](surface.md).

## Hooks

A plugin is a module with functions of these names, marked `@hookimpl`, and an entry point in the
group `{GROUP}`. Take only the arguments you need, by these names.
"""
ERRORS = """\
## Errors, and what happens next

```
{tree}
```

What the host does about each: [verdicts](host.md#verdicts).
"""
CHECKS = """\
## Checks

What a test class gets by deriving from a contract; each one includes the checks of its bases.
"""
SURFACE = f"""\
# The public surface

{GENERATED}

Semantic versioning covers what is on this page, and nothing else: until 1.0 a minor version may
change it and says so in the changelog, from 1.0 on only a major version does. Everything else,
`bridge.engine` above all, may change in any release. The built-in plugins use nothing else either.

## Plugin API

The version of the contract is **{API_VERSION}** (`bridge.API_VERSION`). A class says which one it was written
for by its `api_version`; the base classes say 1. A class of another version is not loaded:

```
{{handshake}}
```

## Entry point

Group `{GROUP}`; the name is what `type = "…"` says in the configuration.
"""
KEYS = "## Configuration keys\n\nThe host's; each plugin's own are in `config.example.toml`.\n"
CODES_INTRO = "## Dead-letter codes\n\nThe host's; each plugin adds its own.\n"
COMMANDS = """\
## Command line

The commands and options that `bridge --help` lists, and the exit codes it names.
"""


def sentence(thing: object) -> str:
    """The first sentence of a docstring, on one line."""
    first = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return re.split(r"(?<=\.) (?=[A-Z`])", first)[0]


def signature(function: object, name: str) -> str:
    """The call as its author writes it, annotations without quotes."""
    text = str(inspect.signature(function))  # type: ignore[arg-type]
    return f"{name}{text}".replace("'", "").replace("typing.", "").replace("bridge.sinks.", "")


def code_of(module: ModuleType, name: str) -> str:
    """A public name as a row of a table: its docstring, the text below its assignment, or its value."""
    thing = getattr(module, name)
    described = callable(thing) and type(thing).__module__ != "typing"
    text = sentence(thing) if described else _below(module, name)
    return f"| `{name}` | {_cell(text or ADDRESS.sub('', f'`{thing!r}`'))} |"


def _below(module: ModuleType, name: str) -> str:
    """The first sentence of the string below the assignment of this name, wherever it comes from."""
    body = ast.parse(inspect.getsource(module)).body
    for statement, text in itertools.pairwise([*body, ast.Pass()]):
        if isinstance(statement, ast.ImportFrom) and name in {alias.name for alias in statement.names}:
            return _below(importlib.import_module(statement.module or ""), name)
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        named = any(isinstance(target, ast.Name) and target.id == name for target in targets)
        if named and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            return str(text.value.value).split(". ")[0]
    return ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def hooks() -> Iterator[str]:
    """Every hook with its exact arguments."""
    for name in HOOKS:
        hook = getattr(hookspecs, name)
        yield f"### {name}\n\n```python\ndef {signature(hook, name)}\n```\n\n{sentence(hook)}\n"


def tree() -> str:
    """The tree of errors, as the module draws it."""
    lines = (importlib.import_module("bridge.errors").__doc__ or "").splitlines()
    drawn = [line[4:] for line in lines if line.startswith("    ")]
    return "\n".join(drawn)


def members_of(cls: type) -> Iterator[tuple[str, Any]]:
    """What a class defines itself and others may use, in its own order."""
    for name, thing in vars(cls).items():
        if name.startswith("_") and name not in {"__enter__", "__exit__"}:
            continue
        if inspect.isfunction(thing) or isinstance(thing, property):
            yield name, thing


def class_section(name: str) -> str:
    """A class to derive from: its attributes with defaults, and its methods."""
    cls = getattr(bridge, name)
    lines = [f"### {name}", "", inspect.getdoc(cls) or "", ""]
    attributes = [key for key in inspect.get_annotations(cls) if not key.startswith("_")]
    if attributes:
        lines += ["| class attribute | default |", "| --- | --- |"]
        lines += [f"| `{key}` | {_default(cls, key)} |" for key in attributes] + [""]
    for key, thing in members_of(cls):
        if isinstance(thing, property):
            lines.append(f"* `{key}`: {sentence(thing.fget)}")
        else:
            meaning = sentence(thing) or {
                "__enter__": "Open: sockets, files, optional packages.",
                "__exit__": "Close what `__enter__` opened.",
            }.get(key, "")
            required = " *(yours to write)*" if getattr(thing, "__isabstractmethod__", False) else ""
            lines.append(f"* `{signature(thing, key)}`{required}: {meaning}")
    return "\n".join(lines) + "\n"


def _default(cls: type, key: str) -> str:
    value = vars(cls).get(key, inspect.Parameter.empty)
    if value is inspect.Parameter.empty:
        return "*yours to set*"
    return f"`{value.__name__}`" if inspect.isclass(value) else f"`{value!r}`"


def value_section(name: str) -> str:
    """A value: its fields with their defaults."""
    cls = getattr(bridge, name)
    lines = [f"### {name}", "", inspect.getdoc(cls) or "", ""]
    lines += ["| field | type | default |", "| --- | --- | --- |"]
    for field in dataclasses.fields(cls):
        if not field.name.startswith("_"):
            default = "" if field.default is dataclasses.MISSING else f"`{field.default!r}`"
            lines.append(f"| `{field.name}` | `{_cell(str(field.type))}` | {default} |")
    return "\n".join(lines) + "\n"


def module_section(module: ModuleType) -> str:
    """Every public name of a module and what it is."""
    names = sorted(module.__all__)
    lines = [f"### {module.__name__}", "", sentence(module), "", "| name | what it is |", "| --- | --- |"]
    return "\n".join([*lines, *(code_of(module, name) for name in names)]) + "\n"


def contract_section(name: str) -> str:
    """Every check of a contract that its bases do not have, and the rule it holds a plugin to."""
    cls = getattr(testing, name)
    bases = [getattr(testing, other) for other in CONTRACTS if other != name]
    inherited = {check for base in bases if issubclass(cls, base) for check in dir(base)}
    checks = [check for check in dir(cls) if check.startswith("test_") and check not in inherited]
    lines = [f"### {name}", "", sentence(cls), "", "| check | the contract |", "| --- | --- |"]
    lines += [f"| `{check}` | {' '.join((getattr(cls, check).__doc__ or '').split())} |" for check in checks]
    return "\n".join(lines) + "\n"


def reference() -> str:
    """The page about every hook, class, value, error and check."""
    modules = [importlib.import_module(name) for name in MODULES]
    parts = [
        REFERENCE,
        *hooks(),
        "## Classes to derive from\n",
        *map(class_section, CLASSES),
        "## Values\n",
        *map(value_section, VALUES),
        ERRORS.format(tree=tree()),
        "## Modules\n",
        *map(module_section, modules),
        CHECKS,
        *map(contract_section, CONTRACTS),
    ]
    return "\n".join(parts).rstrip() + "\n"


def keys() -> list[str]:
    """Every configuration key of the host, dotted."""
    found = []
    for name, field in FileTables.model_fields.items():
        if name in {"journal", "stages", "sinks"} or not is_mapping(field.annotation):
            continue
        (model,) = members(field.annotation)
        found += [f"{name}.{row.key}" for row in rows(model)]
    found += [name for name, field in FileTables.model_fields.items() if not is_mapping(field.annotation)]
    found += [f"journal.{row.key}" for row in rows(JournalKeys)]
    found += [f"stages.<id>.{row.key}" for row in rows(StageKeys)]
    return sorted([*found, *(f"sinks.<id>.{row.key}" for row in rows(SinkKeys))])


def codes() -> list[str]:
    """The dead-letter codes of the host itself: literals of the calls in `CODES`, wherever they stand."""
    found = {"plugin_error"}  # of an exception that is none of the bridge's own, in map or send
    for path in sorted((ROOT / "bridge").rglob("*.py")):
        if "testing" not in path.parts and "scaffold" not in path.parts:
            found |= set(_codes_in(ast.parse(path.read_text(encoding="utf-8"))))
    return sorted(found)


def _codes_in(parsed: ast.Module) -> Iterator[str]:
    for node in ast.walk(parsed):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CODES:
            place = CODES[node.func.id]
            argument = node.args[place] if len(node.args) > place else None
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value


def surface() -> str:
    """The page that lists what semantic versioning covers."""
    metrics = _list(f"{metric.name} ({metric.kind})" for metric in METRICS)
    parts = [
        SURFACE.format(handshake=handshake()),
        "## Hooks\n",
        _list(signature(getattr(hookspecs, name), name) for name in HOOKS),
        *(f"## {name}\n\n{_list(sorted(importlib.import_module(name).__all__))}" for name in MODULES),
        KEYS,
        _list(keys()),
        f"## Metrics\n\n{metrics}\nOutcomes: {', '.join(OUTCOMES)}.\nStates: {', '.join(STATES)}.\n",
        CODES_INTRO,
        _list(codes()),
        COMMANDS,
    ]
    return "\n".join(parts).rstrip() + "\n"


def _list(items: Iterable[str]) -> str:
    return "".join(f"* `{item}`\n" for item in items)


def handshake() -> str:
    """The sentence that the author of an old plugin reads, as the host says it."""
    from bridge.errors import PluginError  # noqa: PLC0415 - needed for this line alone
    from bridge.registry import check_sink  # noqa: PLC0415 - as above

    old = type("OldSink", (bridge.Sink,), {"name": "old", "api_version": 0, "map": None, "send": None})
    try:
        check_sink(old, "bridge-old 0.3")
    except PluginError as error:
        return f"plugin old was not loaded: {error}"
    raise AssertionError(f"{HOST} accepts a plugin of version 0")


def main(arguments: list[str]) -> int:
    """Write both pages, or with `--check` say which one is stale."""
    stale = []
    for page, text in ((HERE / "reference.md", reference()), (HERE / "surface.md", surface())):
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            stale.append(page.name)
            if "--check" not in arguments:
                page.write_text(text, encoding="utf-8")
    sys.stdout.writelines(f"{'stale' if '--check' in arguments else 'written'}: {name}\n" for name in stale)
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
