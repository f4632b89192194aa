"""The wall: what is public, who may import what, and which modules know no clock and no I/O."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import bridge
from bridge.errors import PluginError
from bridge.hookspecs import hookimpl
from bridge.journals.base import Journal
from bridge.plugins import Plugins
from bridge.registry import API_VERSION, check_journal, check_sink
from bridge.sinks import Sink, SinkConfig

ROOT = Path(__file__).parents[2]
SURFACE = (ROOT / "docs" / "plugins" / "surface.md").read_text(encoding="utf-8")
MODULES = re.findall(r"^## (bridge[\w.]*)$", SURFACE, re.MULTILINE)
BUILT_INS = sorted((ROOT / "plugins").rglob("*.py"))
EXAMPLES = sorted((ROOT / "examples").glob("bridge-*/**/*.py"))
STRANGERS = [path for path in EXAMPLES if "tests" not in path.parts]
STRANGERS_TESTS = [path for path in EXAMPLES if "tests" in path.parts]

# packages that a sink imports when it is opened, so that it loads, maps and explains without them
HEAVY = {"posthog", "obstore", "pyarrow", "confluent_kafka", "cryptography", "psycopg", "boto3"}

# whatever says in its docstring that it is pure is held to it, and these whether they say so or not
HOST = (
    "errors events framing jsontext levels model reading reports schemas sinks text typed "
    "validation verdicts "
    "engine/batching engine/loads engine/outbox engine/progress engine/retry engine/routing engine/verdicts"
)
SINKS = ("elasticsearch", "posthog", "s3", "webhook")
PURE = {
    *(f"bridge/{name}.py" for name in HOST.split()),
    *(f"plugins/bridge_{name}/{part}.py" for name in SINKS for part in ("mapping", "wire")),
    "examples/bridge-postgresql/bridge_postgresql/rows.py",
    "examples/bridge-postgresql/bridge_postgresql/verdicts.py",
}
TELLING_OR_TOUCHING = """
    asyncio concurrent fcntl ftplib glob http.client http.server httpcore httpx io logging multiprocessing os
    queue random requests secrets select selectors shutil signal smtplib socket sqlite3 ssl subprocess
    tempfile threading time urllib.request
"""
IMPURE = set(TELLING_OR_TOUCHING.split())
IMPURE_CALLS = re.compile(r"\b(open|input|print)\(|\.(now|utcnow|today)\(|\buuid[14]\(|\burandom\(")
CLIENTS = {"HttpClient"}


def imports(path, *, at_runtime=False, top_level=False):
    """Every (module, name) a file imports; `at_runtime` leaves out what is for type checkers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = set()
    for node in ast.walk(tree):
        if at_runtime and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= {id(inner) for inner in ast.walk(node)}
        if top_level and isinstance(node, ast.FunctionDef):
            skipped |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def test_the_public_names_are_exactly_those_of_the_package():
    names = {name for name in vars(bridge) if not name.startswith("_")}
    assert sorted(bridge.__all__) == sorted(
        name for name in names if not inspect.ismodule(vars(bridge)[name])
    )


def test_the_public_names_are_sorted():
    assert sorted(bridge.__all__, key=lambda name: (not name.isupper(), name)) == bridge.__all__


@pytest.mark.parametrize("name", MODULES)
def test_every_public_module_has_what_it_lists(name):
    module = importlib.import_module(name)
    listed = SURFACE.split(f"## {name}\n")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^\* `([^`]+)`$", listed, re.MULTILINE)) == sorted(module.__all__)
    assert all(hasattr(module, public) for public in module.__all__)


@pytest.mark.parametrize("path", [*BUILT_INS, *STRANGERS], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_plugin_imports_only_the_public_surface(path):
    allowed = set(MODULES) - {"bridge.testing"}
    for module, name in imports(path):
        if module.split(".")[0] == "bridge":
            assert module in allowed, f"{module} is not public"
            assert name in importlib.import_module(module).__all__, f"{module}.{name} is not public"


@pytest.mark.parametrize("path", STRANGERS_TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_strangers_tests_import_only_the_public_surface(path):
    for module, _ in imports(path):
        assert module.split(".")[0] != "bridge" or module in MODULES


@pytest.mark.parametrize("path", [*BUILT_INS, *STRANGERS], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_plugin_imports_heavy_packages_only_where_it_is_opened(path):
    found = {module.split(".")[0] for module, _ in imports(path, at_runtime=True, top_level=True)}
    assert found & HEAVY == set() or path.name in {"sdk.py", "parquet.py", "remote.py"}


def test_a_plugin_never_imports_another_one():
    for path in BUILT_INS:
        own = path.relative_to(ROOT / "plugins").parts[0]
        for module, _ in imports(path):
            assert not module.startswith("bridge_") or module.split(".")[0] == own


def declared_pure():
    """The modules whose docstring says so in its first paragraph."""
    for path in [*sorted((ROOT / "bridge").rglob("*.py")), *BUILT_INS, *STRANGERS]:
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if re.search(r"\bPure\b", docstring.split("\n\n")[0]):
            yield str(path.relative_to(ROOT))


@pytest.mark.parametrize("name", sorted({*declared_pure(), *PURE}))
def test_a_pure_module_knows_no_clock_and_no_io(name):
    path = ROOT / name
    for module, imported in imports(path, at_runtime=True):
        assert not {module, module.split(".")[0]} & IMPURE, f"{module} does I/O or tells the time"
        assert imported not in CLIENTS
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        code = line.partition("#")[0]
        assert not IMPURE_CALLS.search(re.sub(r'"[^"]*"', '""', code)), f"line {number}: {line.strip()}"


@pytest.mark.parametrize(
    ("version", "upgrade"), [(API_VERSION - 1, "bridge-old 0.3"), (API_VERSION + 1, "sunbird-bridge")]
)
def test_a_plugin_of_another_api_version_is_told_what_to_upgrade(version, upgrade):
    members = {"name": "old", "api_version": version, "map": None, "send": None, "reader": None}
    for check, base in ((check_sink, Sink), (check_journal, Journal)):
        with pytest.raises(PluginError) as refused:
            check(type("Old", (base,), members), "bridge-old 0.3")
        assert str(refused.value) == (
            f"Old was written for plugin API {version}, this bridge speaks {API_VERSION}"
            f" (install a newer {upgrade})"
        )


def test_an_old_plugin_does_not_stop_the_others():
    class Old(Sink):
        name = "old"
        config_type = SinkConfig
        api_version = 0
        map = send = None

    class OldPlugin:
        @hookimpl
        def bridge_sinks(self):
            return [Old]

    plugins = Plugins(lambda: ())
    with pytest.raises(PluginError, match="plugin API 0"):
        plugins.register(OldPlugin(), "old")
    (info,) = plugins.loaded()
    assert "plugin API 0" in info.error
    assert plugins.registry.sinks == {}


def test_the_surface_page_says_the_api_version():
    assert f"The version of the contract is **{API_VERSION}**" in SURFACE


def test_every_hook_is_tried_somewhere():
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "bridge").rglob("*.py"))
    for hook in re.findall(r"^\* `(bridge_\w+)\(", SURFACE, re.MULTILINE):
        assert hook in tests
