"""The pages about plugins are true: generated ones are fresh, the tutorial is followed word by word."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.cli.new import command as new

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "plugins"
TUTORIAL = (PAGES / "tutorial.md").read_text(encoding="utf-8")
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
INSTALLING = {"python3", ".", "pip"}


@pytest.fixture(scope="module")
def generator():
    """The script that writes reference.md and surface.md."""
    spec = importlib.util.spec_from_file_location("plugin_pages", PAGES / "generate.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["plugin_pages"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["plugin_pages"]


@pytest.mark.parametrize("page", ["reference", "surface"])
def test_a_generated_page_is_what_the_code_says(page, generator):
    fresh = getattr(generator, page)()
    message = "run python docs/plugins/generate.py; if surface.md changes, so does what we promise"
    assert (PAGES / f"{page}.md").read_text(encoding="utf-8") == fresh, message


def test_every_hook_is_there_with_its_exact_arguments(generator):
    text = (PAGES / "reference.md").read_text(encoding="utf-8")
    for name in generator.HOOKS:
        hook = getattr(generator.hookspecs, name)
        arguments = ", ".join(
            f"{argument}: {kind}" for argument, kind in hook.__annotations__.items() if argument != "return"
        )
        assert f"def {name}({arguments}) -> {hook.__annotations__['return']}" in text


def test_every_public_name_is_explained(generator):
    text = (PAGES / "reference.md").read_text(encoding="utf-8")
    for name in generator.MODULES:
        for public in importlib.import_module(name).__all__:
            row = re.search(rf"^\| `{public}` \| (.+) \|$", text, re.MULTILINE)
            assert row, f"{name}.{public}"
            assert row[1].strip() not in {"", "``"}


def test_the_check_of_the_pages_says_what_is_stale(generator, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generator, "HERE", tmp_path)
    assert generator.main(["--check"]) == 1
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0
    assert capsys.readouterr().out.count("stale: ") == 2


@pytest.mark.parametrize("page", ["host.md", "tutorial.md", "reference.md", "surface.md"])
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", (PAGES / page).read_text(encoding="utf-8")):
        assert target.startswith("https://") or (PAGES / target).exists(), target


def test_the_tutorial_arrives_at_the_example():
    modules = [text for _, title, text in BLOCK.findall(TUTORIAL) if title == "bridge_console.py"]
    assert modules[-1] == (ROOT / "examples" / "bridge-console" / "bridge_console.py").read_text(
        encoding="utf-8"
    )


class Reader:
    """Follows the tutorial in an empty folder; installing is what the test has done already."""

    def __init__(self, folder):
        self.folder = folder
        self.site = folder / "site"
        self.project = folder / "bridge-console"
        self.installed = False

    def follow(self, language, title, text):
        if title:
            (self.project / title).write_text(text, encoding="utf-8")
        elif language == "console":
            for step in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                line, _, expected = step.partition("\n")
                self.run(line, expected)

    def run(self, line, expected):
        program, *arguments = shlex.split(line)
        if line == "bridge new sink console":
            done = CliRunner().invoke(new, [*arguments[1:], "--dir", str(self.folder)])
            found, code = done.output.replace(f"{self.folder}/", ""), done.exit_code
        elif line.startswith("pip uninstall"):
            shutil.rmtree(self.site)
            return
        elif program == "pip" and "--editable" in arguments:
            install(self.project, self.site)
            return
        elif program in INSTALLING or program == "cd":
            return
        elif program in {"mkdir", "cp"}:
            subprocess.run([program, *arguments], cwd=self.project, check=True)
            return
        else:
            found, code = self.call(program, arguments)
        assert alike(expected, found), f"$ {line}\n{found}"
        assert code in {0, 1, 2}

    def call(self, program, arguments):
        path = [str(self.project), str(self.site)] if self.site.is_dir() else []
        # other plugins of this environment take seconds to start
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([*path, *filter(None, sys.path)])
        module = [sys.executable, "-m", program]
        if program == "pytest":
            module += ["-p", "bridge.testing.pytest_plugin"]
        done = subprocess.run(
            [*module, *arguments],
            cwd=self.project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr, done.returncode


def install(project, site):
    """Install a project without its dependencies, which are there."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps"]
    if importlib.util.find_spec("hatchling"):  # else pip fetches it, which takes longer
        command.append("--no-build-isolation")
    command += [
        "--disable-pip-version-check",
        "--root-user-action=ignore",
        "--target",
        str(site),
        str(project),
    ]
    subprocess.run(command, check=True, capture_output=True)
    for module in site.glob("bridge_*.py"):
        module.unlink()  # the reader goes on editing the one in the project


def alike(expected, found):
    """Whether the lines expected are found in this order; `…` stands for anything, times do not matter."""
    pattern = ""
    for line in expected.splitlines():
        if line == "…":
            pattern += r"(?:.*\n)*?"
            continue
        words = re.sub(r"in \d+\.\d+s", "in TIME", line.rstrip())
        pattern += r"\s+".join(map(re.escape, words.split())).replace("…", r"\S*") + r"[ ]*\n"
    flat = re.sub(r"in \d+\.\d+s(?: \(.*\))?", "in TIME", found)
    flat = "\n".join(line.strip() for line in flat.splitlines()) + "\n"
    return not pattern or re.fullmatch(pattern, flat) is not None


@pytest.mark.parametrize(
    ("expected", "found", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n…\n", "a\nb\nc\n", True),
        ("…\nc\n", "a\nb\nc\n", True),
        ("…\nb\n", "a\nb\nc\n", False),
        ("a\n…\nd\n…\n", "a\nb\nc\n", False),
        ("5 passed in 1.20s\n", "5 passed in 0.31s\n", True),
        ("5 passed in 1.20s\n", "6 passed in 1.20s\n", False),
        ("x sha256:…  y\n", "x    sha256:abc y\n", True),
    ],
)
def test_what_the_tutorial_shows_is_compared_line_by_line(expected, found, same):
    assert alike(expected, found) is same


def test_the_tutorial_can_be_followed_word_by_word(tmp_path):
    reader = Reader(tmp_path)
    for block in BLOCK.findall(TUTORIAL):
        reader.follow(*block)
