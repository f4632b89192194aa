"""The file and the environment become settings; precedence, defaults and overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge import settings
from bridge.errors import ConfigError
from bridge.settings import BatchSettings, RouteSettings
from bridge.sinks import BatchLimits

SINK = '[sinks.product]\ntype = "toy"\napi_key = "phc_0123456789"\n'


def test_a_sink_and_its_required_keys_are_all_a_file_needs(load, tmp_path):
    loaded = load(SINK)
    assert loaded.instance == "bridge"
    assert loaded.data_dir == tmp_path / "data"
    assert loaded.validation.level == "lenient"
    assert loaded.dead_letters.max_bytes == 1_073_741_824
    assert (loaded.ops.host, loaded.ops.port) == ("127.0.0.1", 8126)
    assert loaded.shutdown.grace == 25.0
    assert loaded.journal.type == "sqlite"
    assert loaded.journal.config.path == "events"


def test_the_host_takes_its_own_keys_and_the_plugin_gets_the_rest(load):
    sink = load(
        SINK + 'host = "ph.example"\nroute.eids = ["ASSESS", "INT*"]\nbatch.max_events = 500\n'
    ).sinks["product"]
    assert sink.id == "product"
    assert sink.type == "toy"
    assert sink.route == RouteSettings(eids=("ASSESS", "INT*"))
    assert sink.batch.max_events == 500
    assert sink.config.host == "ph.example"
    assert sink.config.api_key.reveal() == "phc_0123456789"


def test_the_defaults_of_a_sink_are_those_of_the_plan(load):
    sink = load(SINK).sinks["product"]
    assert sink.enabled
    assert sink.start == "earliest"
    assert sink.max_buffer_bytes is None
    assert sink.dedup.window == 50_000
    assert (sink.retry.min, sink.retry.max, sink.retry.probe_min, sink.retry.probe_max) == (0.1, 60, 30, 300)
    assert (sink.rejects.max_consecutive, sink.rejects.max_ratio) == (100, 0.1)


def test_limits_that_are_not_set_are_the_sinks_own(load, plugins):
    sink = load(SINK + "batch.max_age = 9.0\n").sinks["product"]
    toy = plugins.registry.sink("toy")
    assert sink.limits(toy(sink.config)) == BatchLimits(max_events=7, max_bytes=70, max_age=9.0)
    assert sink.in_flight(toy(sink.config)) == 3
    assert load(SINK + "max_in_flight = 8\n").sinks["product"].in_flight(toy(sink.config)) == 8
    assert BatchSettings().over(BatchLimits()) == BatchLimits()


def test_settings_cannot_be_changed_afterwards(load):
    loaded = load(SINK)
    with pytest.raises(ValueError, match="frozen"):
        loaded.instance = "other"
    with pytest.raises(ValueError, match="frozen"):
        loaded.sinks["product"].start = "latest"


def test_relative_paths_start_from_the_folder_of_the_file(load, tmp_path):
    assert load('data_dir = "state"\n' + SINK).data_dir == tmp_path / "state"
    assert load('data_dir = "/var/lib/bridge"\n' + SINK).data_dir == Path("/var/lib/bridge")
    assert load('data_dir = "~/state"\n' + SINK).data_dir == Path.home() / "state"
    assert load('data_dir = "~no-such-user/state"\n' + SINK).data_dir == tmp_path / "~no-such-user/state"


def test_a_secret_file_is_looked_up_beside_the_configuration(load, tmp_path):
    (tmp_path / "key").write_text("phc_from_a_file\n", encoding="utf-8")
    text = SINK.replace("phc_0123456789", "file:key")
    assert load(text).sinks["product"].config.api_key.reveal() == "phc_from_a_file"


def test_the_environment_wins_over_the_file_which_wins_over_the_default(load):
    text = SINK + 'host = "from-file"\ntimeout = 9\n[ops]\nport = 1\nhost = "0.0.0.0"\n'
    environ = {"BRIDGE_SINKS__PRODUCT__HOST": "from-environment", "BRIDGE_OPS__PORT": "2"}
    loaded = load(text, environ)
    assert loaded.sinks["product"].config.host == "from-environment"
    assert loaded.sinks["product"].config.timeout == 9
    assert loaded.sinks["product"].config.size == 10
    assert (loaded.ops.host, loaded.ops.port) == ("0.0.0.0", 2)


def test_a_key_of_digits_from_the_environment_stays_text(load):
    loaded = load(SINK, {"BRIDGE_SINKS__PRODUCT__API_KEY": "12345678"})
    assert loaded.sinks["product"].config.api_key.reveal() == "12345678"


def test_environment_names_may_be_in_any_case_and_spell_dashes_as_underscores(load):
    text = SINK.replace("product", "my-product")
    assert load(text, {"bridge_sinks__My_Product__host": "a"}).sinks["my-product"].config.host == "a"
    both = {"bridge_sinks__my_product__host": "lower", "BRIDGE_SINKS__MY_PRODUCT__HOST": "upper"}
    assert load(text, both).sinks["my-product"].config.host == "upper"


def test_lists_tables_numbers_and_switches_come_from_the_environment_too(load):
    environ = {
        "BRIDGE_SINKS__PRODUCT__ROUTE__EIDS": "ASSESS, INTERACT",
        "BRIDGE_SINKS__PRODUCT__ROUTE__EXCLUDE__CHANNELS": '["test-*", "a,b"]',
        "BRIDGE_SINKS__PRODUCT__NAMES": "one",
        "BRIDGE_SINKS__PRODUCT__KEYS": "12345678,abcdefgh",
        "BRIDGE_SINKS__PRODUCT__HEADERS": '{"X-Key": "abcdefgh"}',
        "BRIDGE_SINKS__PRODUCT__SIZE": "12",
        "BRIDGE_SINKS__PRODUCT__GZIP": "true",
        "BRIDGE_SINKS__PRODUCT__BATCH__MAX_EVENTS": "5",
        "BRIDGE_PLUGINS__LOAD": "[]",
        "BRIDGE_INSTANCE": "second",
    }
    loaded = load(SINK, environ)
    sink = loaded.sinks["product"]
    assert loaded.instance == "second"
    assert sink.route.eids == ("ASSESS", "INTERACT")
    assert sink.route.exclude.channels == ("test-*", "a,b")
    assert sink.config.names == ["one"]
    assert [key.reveal() for key in sink.config.keys] == ["12345678", "abcdefgh"]
    assert sink.config.headers["X-Key"].reveal() == "abcdefgh"
    assert (sink.config.size, sink.config.gzip, sink.batch.max_events) == (12, True, 5)


def test_a_table_of_a_plugin_can_be_filled_key_by_key(load):
    environ = {"BRIDGE_SINKS__PRODUCT__HEADERS__AUTHORIZATION": "abcdefgh"}
    assert load(SINK, environ).sinks["product"].config.headers["authorization"].reveal() == "abcdefgh"


def test_an_empty_variable_counts_as_not_set(load):
    assert load(SINK, {"BRIDGE_INSTANCE": "", "BRIDGE_SINKS__PRODUCT__API_KEY": ""}).instance == "bridge"


def test_variables_that_kubernetes_sets_for_a_service_called_bridge_are_left_alone(load):
    environ = {
        "BRIDGE_PORT": "tcp://10.0.0.1:80",
        "BRIDGE_SERVICE_HOST": "10.0.0.1",
        "BRIDGE_LOG": "x",
        "BRIDGE_CONFIG": "y",
    }
    assert load(SINK, environ).log.level == "info"


def test_the_environment_alone_is_a_configuration(load):
    environ = {"BRIDGE_SINKS__PRODUCT__TYPE": "toy", "BRIDGE_SINKS__PRODUCT__API_KEY": "phc_0123456789"}
    loaded = load(None, environ)
    assert list(loaded.sinks) == ["product"]
    assert loaded.data_dir == Path.cwd() / "data"


def test_secrets_are_looked_up_in_the_environment_that_was_given(load):
    text = SINK.replace("phc_0123456789", "env:PRODUCT_KEY")
    loaded = load(text, {"PRODUCT_KEY": "phc_from_environment"})
    assert loaded.sinks["product"].config.api_key.reveal() == "phc_from_environment"


def test_a_disabled_sink_is_kept_but_not_run_and_needs_no_secret(load):
    text = (
        SINK
        + '[sinks.later]\ntype = "toy"\nenabled = false\napi_key = "phc_abcdefgh"\nkeys = ["env:NOT_YET"]\n'
    )
    loaded = load(text)
    assert list(loaded.sinks) == ["product", "later"]
    assert list(loaded.enabled) == ["product"]


def test_only_keeps_the_sinks_that_were_named(load):
    loaded = load(SINK + SINK.replace("product", "archive"))
    assert list(settings.only(loaded, ["archive"]).sinks) == ["archive"]
    with pytest.raises(ConfigError) as caught:
        settings.only(loaded, ["produkt", "nothing-alike"])
    assert [str(problem) for problem in caught.value.problems] == [
        '--only: there is no sink "produkt" (did you mean "product"?)',
        '--only: there is no sink "nothing-alike" (configured: "product" or "archive")',
    ]


def test_the_file_is_named_by_a_variable_or_lies_in_the_working_directory():
    assert settings.find({}) == Path("config.toml")
    assert settings.find({"BRIDGE_CONFIG": "/etc/bridge.toml"}) == Path("/etc/bridge.toml")


def test_an_offline_check_takes_references_on_trust(load):
    text = SINK + 'keys = ["env:NOT_HERE"]\n'
    loaded = load(text, resolve_secrets=False)
    with pytest.raises(ValueError, match="NOT_HERE"):
        loaded.sinks["product"].config.keys[0].reveal()


def test_an_offline_check_says_which_sink_it_could_not_look_into(load):
    text = SINK.replace("phc_0123456789", "env:NOT_HERE")  # the toy's own check reveals this one
    loaded = load(text, resolve_secrets=False)
    assert loaded.sinks == {}
    assert loaded.unresolved == {
        "product": "the environment variable NOT_HERE is not set (export it or name another)"
    }


def test_an_offline_check_still_finds_everything_else(problems):
    text = SINK.replace("phc_0123456789", "env:NOT_HERE") + "size = 0\n"
    assert problems(text, resolve_secrets=False) == ["sinks.product.size: must be at least 1"]
