"""A broad `except` stands only where CONTRIBUTING.md says so, and for the reason given there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
BROAD = {"Exception", "BaseException"}
ROW = re.compile(r"^\| `([^`]+\.py)` \| `([^`]+)` \| (.+) \|$", re.MULTILINE)
SOURCES = [path for path in (ROOT / "bridge").rglob("*.py") if "testing" not in path.parts]
SOURCES += (ROOT / "plugins").rglob("*.py")
SOURCES += [path for path in (ROOT / "examples").rglob("*.py") if "tests" not in path.parts]


def is_broad(handler):
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id in BROAD for kind in kinds)


def lets_go(handler):
    """Whether the handler only tidies up: it ends by raising what it caught."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def boundaries(node, where=""):
    """The functions of a module that catch everything and keep it."""
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        place = f"{where}.{child.name}".lstrip(".") if named else where
        if isinstance(child, ast.ExceptHandler) and is_broad(child) and not lets_go(child):
            yield place
        yield from boundaries(child, place)


def test_everything_is_caught_only_at_the_boundaries_that_are_written_down():
    listed = ROW.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    found = {
        (str(path.relative_to(ROOT)), place)
        for path in SOURCES
        for place in boundaries(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert {(path, place) for path, place, _ in listed} == found


def test_nothing_is_suppressed_broadly():
    for path in SOURCES:
        assert not re.search(r"suppress\((Base)?Exception", path.read_text(encoding="utf-8")), path
