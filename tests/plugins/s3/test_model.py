"""The plan chain under every interleaving of two owners, and the proof that the checker can fail."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

PROOF = os.environ.get("BRIDGE_PROOF") == "1"


@pytest.fixture(scope="module")
def model():
    spec = importlib.util.spec_from_file_location("s3_model", Path(__file__).with_name("model.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["s3_model"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["s3_model"]


def test_every_reachable_state_of_the_plan_chain_is_without_loss_and_duplicates(model):
    worlds = model.explore(model.plan_chain, 6 if PROOF else 4)
    assert worlds > 10_000
