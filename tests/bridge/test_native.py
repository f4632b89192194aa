"""Whether the compiled part is used, and what is said of it."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from bridge.configuration.sources import read
from bridge.native import API, find


def loaded(module):
    return lambda name: module


def failing(error):
    def load(name):
        raise error

    return load


def test_a_module_of_the_expected_number_is_used():
    module = SimpleNamespace(API=API)
    found = find({}, loaded(module))
    assert found.module is module
    assert found.text.startswith("compiled (bridge_native ")
    assert not found.flawed


@pytest.mark.parametrize(
    "module", [SimpleNamespace(API=API + 1), SimpleNamespace(API=API - 1), SimpleNamespace()]
)
def test_a_module_of_another_number_is_left_alone_and_the_remedy_is_named(module):
    found = find({}, loaded(module))
    assert found.module is None
    assert found.flawed
    number = getattr(module, "API", None)
    assert (
        found.text == f"pure Python (bridge_native has API {number} where {API} is wanted: run `make native`)"
    )


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ModuleNotFoundError(name="bridge_native"), "pure Python"),
        (
            ModuleNotFoundError(name="bridge_native.bridge_native"),
            "pure Python (bridge_native is not whole: run `make native`)",
        ),
        (
            ImportError("undefined symbol"),
            "pure Python (bridge_native was built for another Python or system: run `make native`)",
        ),
    ],
)
def test_a_module_that_cannot_be_loaded_is_done_without(error, text):
    found = find({}, failing(error))
    assert (found.module, found.text, found.flawed) == (None, text, text != "pure Python")


def test_the_environment_can_leave_it_out():
    assert find({"BRIDGE_PURE": "1"}, loaded(SimpleNamespace(API=API))).module is None
    assert find({"BRIDGE_PURE": "0"}, loaded(SimpleNamespace(API=API))).module is not None


def test_leaving_it_out_is_no_setting_of_the_configuration():
    assert read(None, {"BRIDGE_PURE": "1"}) == read(None, {})


@pytest.mark.parametrize("pure", ["0", "1"])
def test_the_decoder_takes_the_reader_that_was_found(pure):
    code = (
        "from bridge import native, reading\n"
        "reader = reading.reader(reading.Level.STRICT, 9)\n"
        "assert isinstance(reader, reading.TypedReader) == (native.FOUND.module is None)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=os.environ | {"BRIDGE_PURE": pure}, timeout=30
    )


def test_what_is_installed_is_what_this_checkout_wants():
    module = pytest.importorskip("bridge_native", exc_type=ImportError)
    assert module.API == API, "run `make native`"
