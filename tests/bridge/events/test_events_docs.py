from __future__ import annotations

import ast
import doctest
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "events.md"
MODULES = ("framing", "jsontext", "reading", "validation", "verdicts")


def test_the_examples_on_the_page_run_as_they_stand():
    example = doctest.DocTestParser().get_doctest(PAGE.read_text(), {}, PAGE.name, str(PAGE), 0)
    runner = doctest.DocTestRunner()
    report = []
    runner.run(example, out=report.append)
    assert "".join(report) == ""
    assert runner.summarize(verbose=False).attempted > 5


def test_the_page_lists_every_code_and_no_other():
    listed = re.findall(r"^\| `([a-z_0-9]+)` \| ", PAGE.read_text(), re.MULTILINE)
    codes = [code for code in listed if code not in {"strict", "envelope"}]
    assert sorted(codes) == sorted(set().union(*map(_codes, MODULES)))


def _codes(module):
    tree = ast.parse((ROOT / "bridge" / f"{module}.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    first = [call.args[0] for call in calls if getattr(call.func, "id", "") == "EventError"]
    return {code.value for code in first if isinstance(code, ast.Constant)}
