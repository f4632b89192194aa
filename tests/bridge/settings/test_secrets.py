"""A secret is found where it is kept and shown to nobody: not by errors, not by repr, not by the log."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
from typing import get_args

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge import settings
from bridge.configuration.shapes import leaves, members
from bridge.docs_tables import SAMPLES, built_ins
from bridge.errors import ConfigError, SetupError
from bridge.plugins import Plugins
from bridge.secrets import Places, Secret, UnresolvedSecretError, redact, remember
from bridge.sinks import SinkConfig

CANARY = "cnry_7f3a9b52d1e84c60"


class Holder(SinkConfig):
    """A model with one secret."""

    key: Secret
    spare: Secret | int | None = None


def test_an_inline_secret_is_the_text_itself():
    secret = Secret("phc_0123456789")
    assert secret.reveal() == "phc_0123456789"
    assert secret.origin == "inline"


def test_a_secret_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("PRODUCT_KEY", "from-environment")
    assert Secret("env:PRODUCT_KEY").reveal() == "from-environment"
    assert Secret("env:PRODUCT_KEY", Places({"PRODUCT_KEY": "given"})).reveal() == "given"
    assert Secret("env:PRODUCT_KEY").origin == "env:PRODUCT_KEY"


def test_a_changed_secret_file_is_noticed(tmp_path):
    path = tmp_path / "key"
    path.write_text("first-value\n", encoding="utf-8")
    secret = Secret(f"file:{path}")
    assert secret.reveal() == "first-value"
    path.write_text("second-value\r\n", encoding="utf-8")
    assert secret.reveal() == "second-value"


def test_a_systemd_credential_is_a_file_in_the_credentials_directory(tmp_path):
    (tmp_path / "product").write_text("from-systemd", encoding="utf-8")
    assert (
        Secret("systemd:product", Places({"CREDENTIALS_DIRECTORY": str(tmp_path)})).reveal() == "from-systemd"
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("env:NOT_SET", "the environment variable NOT_SET is not set"),
        ("file:nowhere/key", "cannot read the secret file nowhere/key (No such file or directory)"),
        ("file:.", "cannot read the secret file . (Is a directory)"),
        ("file:a\0b", "(not text)"),
        ("systemd:key", "CREDENTIALS_DIRECTORY is not set"),
    ],
)
def test_a_secret_that_is_not_there_is_named_by_its_place(source, said):
    with pytest.raises(UnresolvedSecretError) as caught:
        Secret(source, Places({})).reveal()
    assert said in str(caught.value)


def test_an_empty_secret_file_and_one_that_is_no_text_are_told(tmp_path):
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UnresolvedSecretError, match="is empty"):
        Secret("file:empty", Places(folder=tmp_path)).reveal()
    with pytest.raises(UnresolvedSecretError, match="not text"):
        Secret("file:binary", Places(folder=tmp_path)).reveal()


def test_a_secret_that_vanishes_at_run_time_is_a_setup_error():
    with pytest.raises(SetupError):
        Secret("env:NOT_SET", Places({})).reveal()


def test_a_secret_shows_itself_nowhere():
    model = Holder(key=CANARY)
    shown = [repr(model), str(model), f"{model.key}", repr(model.key), repr(vars(model))]
    shown += [model.model_dump_json(), str(model.model_dump()), json.dumps(Holder.model_json_schema())]
    assert not [text for text in shown if CANARY in text]
    assert "**********" in repr(model)


def test_a_secret_is_copied_as_itself_and_never_pickled():
    secret = Secret(CANARY)
    assert copy.deepcopy(secret) is secret
    assert copy.copy(secret) is secret
    assert Secret(CANARY) == secret
    assert len({Secret(CANARY), secret}) == 1
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(secret)


def test_a_secret_of_the_wrong_kind_is_one_plain_error():
    with pytest.raises(ValidationError) as caught:
        Holder(key=5, spare=[])
    assert [error["type"] for error in caught.value.errors()] == ["string_type", "string_type", "int_type"]
    assert Holder(key=Secret("12345678")).key.reveal() == "12345678"


def test_what_was_revealed_is_redacted_however_it_is_written():
    Secret('p@ss "word"/ü').reveal()
    texts = [
        'x p@ss "word"/ü y', repr('p@ss "word"/ü'), json.dumps('p@ss "word"/ü'),
        "?k=p%40ss%20%22word%22%2F%C3%BC", "k=p%40ss+%22word%22%2F%C3%BC",
    ]  # fmt: skip
    assert not [text for text in texts if "word" in redact(text)]
    assert redact(texts[0]) == "x [redacted] y"


def test_the_longer_of_two_secrets_is_taken_out_whole():
    remember("abcdefgh-one")
    remember("abcdefgh-one-and-more")
    assert redact("abcdefgh-one-and-more") == "[redacted]"


def test_short_secrets_do_not_tear_words_out_of_the_log():
    remember("batch")
    assert redact("batch sent") == "batch sent"


def _mentioned(annotation):
    found = set()
    for member in members(annotation):
        found |= {member}.union(*map(_mentioned, get_args(member)))
    return found


MISTAKES = [
    "batch.max_events = 0",
    "no_such_key = 1",
    "enabled = 'perhaps'",
    "route = 1",
    "retry = { min = 5, max = 1 }",
    "[journal]\ntype = 'none'",
    "[ops]\nport = 'x'",
    "broken",
    "x = [",
]


def _secret_keys(registry):
    return [
        (kind, ".".join(path))
        for kind, sink in sorted(registry.sinks.items())
        for path, field in leaves(sink.config_type)
        if Secret in _mentioned(field.annotation)
    ]


def _text(config_type, kind: str, key: str, value: str) -> str:
    samples = {"api_key": "phc_0123456789"} | SAMPLES.get(kind, {})
    needed = [
        name for name, field in config_type.model_fields.items() if field.is_required() or name == "url"
    ]
    lines = [f"{name} = {json.dumps(samples[name])}" for name in needed if name != key]
    return "\n".join([f'[sinks.one]\ntype = "{kind}"', *lines, f"{key} = {value}"])


VALUES = [
    json.dumps(CANARY),
    json.dumps([CANARY]),
    f"{{ x = {json.dumps(CANARY)} }}",
    '"env:CANARY_HOLDER"',
    json.dumps(f"phx_{CANARY}"),
    json.dumps(f"{CANARY}\n"),
    json.dumps(f"{CANARY}:{CANARY}"),
    json.dumps(f"https://u:{CANARY}@x y/{CANARY}"),
]


def test_no_error_of_a_built_in_shows_a_secret(tmp_path, capsys, caplog, monkeypatch):
    monkeypatch.setattr("bridge.configuration.problems.redact", str)  # nothing to hide behind
    registry = built_ins()
    plugins = Plugins()
    path = tmp_path / "config.toml"
    keys = _secret_keys(registry)
    assert len(keys) >= 10
    for (kind, key), value, mistake in itertools.product(keys, VALUES, MISTAKES):
        text = _text(registry.sinks[kind].config_type, kind, key, value)
        path.write_text(f"{text}\n{mistake}", encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            settings.load(path, {"CANARY_HOLDER": CANARY}, plugins=plugins)
        assert CANARY not in str(caught.value), (kind, key, value, mistake)
    assert CANARY not in "".join(capsys.readouterr()) + caplog.text


def test_the_environment_leaks_no_secret_either(problems):
    text = '[sinks.product]\ntype = "toy"\n'
    for name in ("API_KEY", "KEYS", "SIZE", "HEADERS__X", "AUTH__TOKEN", "NO_SUCH_KEY", "TYPE"):
        said = problems(text, {f"BRIDGE_SINKS__PRODUCT__{name}": f"phx_{CANARY}"})
        assert not [line for line in said if CANARY in line]


def test_a_plugin_that_quotes_a_secret_in_its_error_is_redacted(problems):
    said = problems(f'[sinks.product]\ntype = "toy"\napi_key = "phx_{CANARY}"\n')
    assert said == ["sinks.product.api_key: [redacted] is a personal key"]


def test_a_password_inside_an_address_is_redacted(problems):
    problems(f'[sinks.product]\ntype = "toy"\nhost = "https://user:{CANARY}x@h"\n')
    assert redact(f"{CANARY}x") == "[redacted]"


TEXT = f'[sinks.product]\ntype = "toy"\nkeys = [\n  "{CANARY}"\n]\nsize = 1\napi_key = "phx_{CANARY}"\n'
OTHERS = ['"', "'", "\n", "[", "]", "=", "#", "\\", ".", ",", "{", ""]


@given(at=st.integers(0, len(TEXT) - 1), put=st.sampled_from(OTHERS))
@hypothesis_settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_file_broken_at_any_place_leaks_no_secret(at, put, tmp_path, plugins):
    path = tmp_path / "config.toml"
    path.write_text(TEXT[:at] + put + TEXT[at + 1 :], encoding="utf-8")
    try:
        said = repr(settings.load(path, {}, plugins=plugins))
    except ConfigError as error:
        said = str(error)
    assert CANARY[5:13] not in said
