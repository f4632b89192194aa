"""config.example.toml and the tables in the documentation say all that the models say, and no more."""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import TypeAdapter

from bridge import settings
from bridge.configuration.models import HostTables, JournalKeys, SinkKeys, StageKeys
from bridge.configuration.shapes import leaves
from bridge.docs_tables import BEGIN, END, EXAMPLE, PAGE, built_ins, example, key_tables, main
from bridge.plugins import Plugins
from bridge.secrets import Places

ROOT = Path(__file__).parents[3]
KEY = re.compile(r"^#?(?P<key>[a-z][a-z0-9_.]*) = (?P<value>.+)$", re.MULTILINE)
HEADER = re.compile(r"^#?\[(?P<name>[a-z0-9_.]+)\]$", re.MULTILINE)


class Anything(dict):
    """An environment in which every variable is set."""

    def get(self, name, default=None):
        return f"value-of-{name}"


@pytest.fixture(scope="module")
def registry():
    return built_ins()


@pytest.fixture(scope="module")
def blocks(registry):
    """The text of each table, commented out or not, by its header and type: `("journal", "file")`."""
    text = example(registry)
    parts = HEADER.split(text)
    found = {("", ""): parts[0]}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        kind = re.search(r'^#?type = "(\w+)"', body, re.MULTILINE)
        found[name, kind[1] if kind else ""] = body
    return found


def _keys(body: str) -> dict[str, str]:
    return {found["key"]: found["value"] for found in KEY.finditer(body)}


def _declared(*models) -> list[str]:
    return [".".join(path) for model in models for path, _ in leaves(model)]


def test_the_example_in_the_project_is_the_one_the_models_make(registry):
    assert (ROOT / EXAMPLE).read_text(encoding="utf-8") == example(registry), (
        "run python -m bridge.docs_tables"
    )


def test_the_tables_in_the_documentation_are_the_ones_the_models_make(registry):
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    generated = page.partition(BEGIN)[2].partition(END)[0]
    assert generated.strip() == key_tables(registry), "run python -m bridge.docs_tables"


def test_the_example_as_it_stands_is_a_valid_configuration(registry, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(example(registry), encoding="utf-8")
    loaded = settings.load(path, {}, plugins=Plugins())
    assert list(loaded.sinks) == ["archive"]


def test_every_key_of_the_host_is_in_it(blocks):
    top = [key for key in _declared(HostTables) if "." not in key]
    assert list(_keys(blocks["", ""])) == top
    tables = {
        name: HostTables.model_fields[name].annotation for name in HostTables.model_fields if name not in top
    }
    for name, model in tables.items():
        assert list(_keys(blocks[name, ""])) == _declared(model)


def test_every_key_of_every_built_in_is_in_it(blocks, registry):
    by_type = {kind: _keys(body) for (name, kind), body in blocks.items() if name.startswith("sinks.")}
    assert set(by_type) == set(registry.sinks)
    for kind, sink in registry.sinks.items():
        assert set(_declared(sink.config_type)) <= set(by_type[kind])
    assert set(_declared(SinkKeys)) <= set(by_type["s3"])
    staged = {kind: _keys(body) for (name, kind), body in blocks.items() if name.startswith("stages.")}
    assert set(staged) == set(registry.stages)
    for kind, stage in registry.stages.items():
        assert set(_declared(StageKeys, stage.config_type)) <= set(staged[kind])
    for kind, journal in registry.journals.items():
        assert set(_keys(blocks["journal", kind])) == set(_declared(JournalKeys, journal.config_type))


def test_every_value_in_it_is_one_its_key_takes(blocks, registry):
    models = {
        ("journal", kind): [JournalKeys, journal.config_type] for kind, journal in registry.journals.items()
    }
    for (name, kind), body in blocks.items():
        if name.startswith("sinks."):
            known = [SinkKeys, registry.sinks[kind].config_type]
        elif name.startswith("stages."):
            known = [StageKeys, registry.stages[kind].config_type]
        else:
            known = models.get((name, kind)) or [
                HostTables.model_fields[name].annotation if name else HostTables
            ]
        fields = {".".join(path): field for model in known for path, field in leaves(model)}
        for key, value in _keys(body).items():
            parsed = tomllib.loads(f"value = {value}")["value"]
            annotation = functools.reduce(
                lambda kind, rule: Annotated[kind, rule], fields[key].metadata, fields[key].annotation
            )
            TypeAdapter(annotation).validate_python(parsed, context={"places": Places(Anything())})


def test_every_default_in_it_is_the_default(blocks):
    for name, model in ((name, field.annotation) for name, field in HostTables.model_fields.items()):
        if (name, "") in blocks:
            text = "\n".join(
                f"{key} = {value}" for key, value in _keys(blocks[name, ""]).items() if name != "plugins"
            )
            assert model(**tomllib.loads(text)) == model()


def test_every_key_has_its_comment_above_it(registry):
    lines = example(registry).splitlines()
    for line, above in zip(lines[1:], lines, strict=False):
        if KEY.match(line):
            assert above.startswith("# "), line


def test_uncommented_a_built_in_works_with_its_required_keys(blocks, registry, tmp_path):
    path = tmp_path / "config.toml"
    for (name, kind), body in blocks.items():
        if not name.startswith("sinks."):
            continue
        fields = registry.sinks[kind].config_type.model_fields
        required = [key for key in fields if fields[key].is_required() or key == "url"]
        keys = _keys(body)
        text = "\n".join([f"[{name}]", f'type = "{kind}"', *(f"{key} = {keys[key]}" for key in required)])
        path.write_text(text, encoding="utf-8")
        settings.load(path, {}, plugins=Plugins(), resolve_secrets=False)


def test_every_key_of_every_built_in_is_described(registry):
    models = [HostTables, SinkKeys, JournalKeys]
    models += [noun.config_type for noun in (*registry.sinks.values(), *registry.journals.values())]
    undescribed = [
        f"{model.__name__}.{'.'.join(path)}"
        for model in models
        for path, field in leaves(model)
        if not field.description
    ]
    assert undescribed == []


def test_a_stale_file_is_named_and_written_anew(tmp_path, capsys):
    (tmp_path / "docs").mkdir()
    (tmp_path / PAGE).write_text(f"# Page\n\n{BEGIN}\nold\n{END}\n\nafter\n", encoding="utf-8")
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"stale: {tmp_path}/{EXAMPLE}\nstale: {tmp_path}/{PAGE}\n"
    assert not (tmp_path / EXAMPLE).exists()
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0
    page = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert page.startswith("# Page\n\n<!--")
    assert page.endswith("after\n")
