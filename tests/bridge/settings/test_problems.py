"""Everything wrong with a configuration is said at once, in words, each on one line."""

from __future__ import annotations

import pytest

from bridge import settings
from bridge.errors import ConfigError
from bridge.plugins import Plugins

SINK = '[sinks.product]\ntype = "toy"\napi_key = "phc_0123456789"\n'


def test_all_problems_of_all_tables_are_found_at_once(problems):
    text = """
instance = "no blanks"
[validation]
level = "lenent"
[ops]
port = "many"
[journal]
pth = "x"
[sinks.product]
type = "toy"
hots = "ph.example"
batch.max_events = 0
[sinks.archive]
type = "toi"
route.eid = ["A"]
[shutdwn]
grace = 1
"""
    assert problems(text) == [
        "instance: must match ^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        'validation.level: must be "strict", "lenient" or "envelope" (did you mean "lenient"?)',
        "ops.port: must be a whole number, for example 5",
        'shutdwn: unknown key (did you mean "shutdown"?)',
        'journal.pth: unknown key (did you mean "path"?)',
        "sinks.product.batch.max_events: must be at least 1",
        "sinks.product.api_key: is required: The project's key.",
        'sinks.product.hots: unknown key (did you mean "host"?)',
        'sinks.archive.route.eid: unknown key (did you mean "eids"?)',
        'sinks.archive.type: no plugin has this name (did you mean "toy"?)',
    ]


def test_each_line_begins_with_the_file(load, tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(SINK + "hots = 1\n")
    assert (
        str(caught.value) == f'{tmp_path}/config.toml: sinks.product.hots: unknown key (did you mean "host"?)'
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("size = 'x'", "size: must be a whole number, for example 5"),
        ("size = 1.5", "size: must be a whole number, for example 5"),
        ("timeout = 'x'", "timeout: must be a number, for example 5"),
        ("timeout = 0", "timeout: must be more than 0"),
        ("timeout = 61", "timeout: must be at most 60"),
        ("gzip = 'perhaps'", "gzip: must be true or false"),
        ("host = 5", 'host: must be text in quotes, for example "text"'),
        ("names = 'a'", 'names: must be a list, for example ["a", "b"]'),
        ("names = [1]", 'names.0: must be text in quotes, for example "text"'),
        ("mode = 'fats'", 'mode: must be "fast" or "safe" (did you mean "fast"?)'),
        ("mode = 5", 'mode: must be "fast" or "safe"'),
        ("headers = 'a'", "headers: must be a table of keys"),
        ("headers = { a = 1 }", 'headers.a: must be text in quotes, for example "text"'),
        ("keys = ['']", "keys.0: must have at least 1 character(s)"),
        ("ports = 'a'", 'ports: must be a whole number, for example 5, or a list, for example ["a", "b"]'),
        ("auth = { kind = 'basic' }", "auth.user: is required"),
        ("auth = { kind = 'bearer', token = '' }", "auth.token: must have at least 1 character(s)"),
        ("auth = { kind = 'other' }", "auth: its 'kind' must be one of 'basic', 'bearer'"),
        ("auth = {}", "auth: needs the key 'kind', which says what kind it is"),
        ("auth = { kind = 'basic', user = 'u', usr = 1 }", 'auth.usr: unknown key (did you mean "user"?)'),
        ("max_events = 5", 'max_events: unknown key (did you mean "batch.max_events"?)'),
        ("start = 'first'", 'start: must be "earliest" or "latest"'),
        ("enabled = 2", "enabled: must be true or false"),
        ("max_in_flight = 0", "max_in_flight: must be at least 1"),
        ("rejects.max_ratio = 2", "rejects.max_ratio: must be at most 1"),
        ("retry = { min = 5, max = 1 }", "retry: min must not be above max"),
        ("retry.probe_min = 900", "retry: probe_min must not be above probe_max"),
        ("retry.min = inf", "retry.min: must be a finite number"),
        ("route = 5", "route: must be a table of keys"),
        ("route.eids = ['']", "route.eids.0: must have at least 1 character(s)"),
    ],
)
def test_a_wrong_value_is_answered_with_what_to_write(problems, line, said):
    assert problems(SINK + line + "\n") == [f"sinks.product.{said}"]


def test_an_unknown_key_like_no_other_is_answered_with_the_known_ones(problems):
    assert problems(SINK + "[log]\nzzz = 1\n") == ["log.zzz: unknown key (known: level, format)"]
    assert problems(SINK + "zzz = 1\n") == ["sinks.product.zzz: unknown key (bridge schema lists them)"]


def test_a_file_without_sinks_says_so(problems):
    said = ["no sink is configured; write at least one table, for example [sinks.archive]"]
    assert problems("") == said
    assert problems("[sinks]\n") == said


def test_a_file_whose_sinks_are_all_disabled_says_so(problems):
    said = "sinks: every sink is disabled; remove enabled = false from one of them"
    assert problems(SINK + "enabled = false\n") == [said]
    assert problems(SINK, {"BRIDGE_SINKS__PRODUCT__ENABLED": "false"}) == [said]


@pytest.mark.parametrize(
    "key", ["model_config", "model_post_init", "_env_file", "__init__", "self", "type", "a b"]
)
def test_a_key_that_pydantic_might_take_for_its_own_is_just_unknown(problems, key):
    (said,) = problems(f'"{key}" = 1\n{SINK}')
    assert "unknown key" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sinks = 5\n", "sinks: must hold one table a sink, written [sinks.archive]"),
        ('[[sinks]]\ntype = "toy"\n', "sinks: must hold one table a sink, written [sinks.archive]"),
        ("[sinks]\nproduct = 5\n", "sinks.product: must be a table, written [sinks.product]"),
        ("journal = 5\n" + SINK, "journal: must be a table, written [journal]"),
        ("ops = 5\n" + SINK, "ops: must be a table of keys"),
        ("[journal]\ntype = 5\n" + SINK, 'journal.type: must be text in quotes, for example "text"'),
        ("[sinks.product]\ntype = 5\n", 'sinks.product.type: must be text in quotes, for example "text"'),
        (
            '[sinks.product]\nhost = "x"\n',
            "sinks.product.type: is required: Which plugin delivers; `bridge plugins` lists them.",
        ),
        ("[journal]\ntype = 'toy'\n" + SINK, "journal.type: this plugin offers no journal (known: sqlite)"),
        ("[sinks.product]\ntype = 'sqlite'\n", "sinks.product.type: this plugin offers no sink (known: toy)"),
        ("[plugins]\ndir = 'nowhere'\n" + SINK, "plugins.dir: there is no such folder"),
    ],
)
def test_a_table_of_the_wrong_shape_is_named(problems, text, said):
    assert problems(text) == [said]


@pytest.mark.parametrize("name", ["Product", "1st", "-a", "a.b", "ä", "a" * 64, "a__b", "a b", ""])
def test_an_id_that_is_no_name_is_refused(problems, name):
    (said,) = problems(SINK.replace("product", f'"{name}"'))
    assert said.endswith(
        "an id is 1 to 63 of a-z 0-9 - _, begins with a letter and has no two underscores in a row"
    )


def test_the_bridges_own_pipeline_is_no_sink(problems):
    assert problems(SINK.replace("product", "rejects")) == [
        "sinks.rejects: this id is the bridge's own; choose another one"
    ]


def test_two_ids_that_the_environment_cannot_tell_apart_are_refused(problems):
    assert problems(SINK.replace("product", "my-sink") + SINK.replace("product", "my_sink")) == [
        'sinks.my_sink: the environment cannot tell this id from "my-sink"; choose another one'
    ]


def test_a_problem_from_the_environment_names_the_variable(problems):
    assert problems(SINK, {"BRIDGE_SINKS__PRODUCT__TIMEOUT": "soon"}) == [
        "sinks.product.timeout: must be a number, for example 5 (set by BRIDGE_SINKS__PRODUCT__TIMEOUT)"
    ]
    assert problems(SINK, {"BRIDGE_SINKS__PRODUCT__ROUTE__EIDS": "[broken"}) == [
        (
            'sinks.product.route.eids: must be a list, for example ["a", "b"]'
            " (set by BRIDGE_SINKS__PRODUCT__ROUTE__EIDS)"
        )
    ]


def test_a_misspelt_variable_is_found(problems):
    assert problems(SINK, {"BRIDGE_SINK__PRODUCT__HOST": "x"}) == [
        'sink: unknown key (did you mean "sinks"?) (set by BRIDGE_SINK__PRODUCT__HOST)'
    ]
    assert problems(SINK, {"BRIDGE_SINKS__PRODUKT__HOST": "x"}) == [
        (
            'sinks.produkt: only "BRIDGE_SINKS__PRODUKT__HOST" speaks of this sink, and it has no type'
            ' (did you mean "product"?)'
        )
    ]
    assert problems(SINK, {"BRIDGE_SINKS__PRODUCT__HOTS": "x"}) == [
        'sinks.product.hots: unknown key (did you mean "host"?) (set by BRIDGE_SINKS__PRODUCT__HOTS)'
    ]


def test_a_missing_file_is_a_problem_although_pydantic_settings_would_skip_it(tmp_path, plugins):
    with pytest.raises(ConfigError) as caught:
        settings.load(tmp_path / "none.toml", {}, plugins=plugins)
    assert caught.value.lines() == [
        f"{tmp_path}/none.toml: no such file (copy config.example.toml, or name another one with --config)"
    ]
    with pytest.raises(ConfigError, match="no such file"):
        settings.load(tmp_path, {}, plugins=plugins)


def test_an_unreadable_file_is_a_problem(tmp_path, plugins, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_text(SINK, encoding="utf-8")
    monkeypatch.setattr(
        type(path), "open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    with pytest.raises(ConfigError, match=r"cannot be read \(Permission denied\)"):
        settings.load(path, {}, plugins=plugins)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sinks.product\n", "line 1, column 15: not TOML: expected ']' at the end of a table declaration"),
        ("a = 1\nb =\n", "line 2, column 4: not TOML: invalid value"),
        ("a = 1\na = 2\n", "line 2, column 6: not TOML: cannot overwrite a value"),
        ("a = 'x", "end of document: not TOML: expected"),
        ("a = ", "end of document: not TOML: invalid value"),
        (f"a = {'9' * 5000}", "not TOML: exceeds the limit"),
        (f"a = {'[' * 100_000}", "nested too deeply to be a configuration"),
    ],
)
def test_a_syntax_error_is_one_line_with_its_place(problems, text, said):
    (line,) = problems(text)
    assert line.startswith(said)


def test_a_file_in_another_encoding_is_told_with_its_line(load, tmp_path, plugins):
    path = tmp_path / "config.toml"
    path.write_bytes(b"# ok\ninstance = 'caf\xe9'\n")
    with pytest.raises(ConfigError) as caught:
        settings.load(path, {}, plugins=plugins)
    assert caught.value.lines() == [f"{path}: line 2: not UTF-8 text (save the file as UTF-8)"]


def test_control_characters_in_a_key_are_escaped(problems):
    (line,) = problems(SINK + '"\\u001b[31m\\nfake" = 1\n')
    assert "\x1b" not in line
    assert "\n" not in line
    assert line.startswith("sinks.product.")


def test_with_nothing_installed_the_message_says_what_to_install(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(SINK, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        settings.load(path, {}, plugins=Plugins(entry_points=list))
    assert [str(problem) for problem in caught.value.problems] == [
        "journal.type: no plugin has this name (no plugin is installed; pip install sunbird-bridge)",
        "sinks.product.type: no plugin has this name (no plugin is installed; pip install sunbird-bridge)",
    ]
