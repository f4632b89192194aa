"""The plan chain under every interleaving of its owners, and the proof that the checker can fail.

`BRIDGE_PROOF=1` explores eight positions instead of five: minutes, and some gigabytes.
"""

from __future__ import annotations

import os

import pytest

PROOF = os.environ.get("BRIDGE_PROOF") == "1"


def test_no_reachable_state_of_the_plan_chain_has_a_loss_or_a_duplicate(model):
    content = model.Content(8 if PROOF else 5, groups=1, filtered=None)
    assert model.explore(model.plan_chain, content) > 100_000


def test_ranges_with_several_objects_and_filtered_events_keep_the_chain(model):
    assert model.explore(model.plan_chain, model.Content(5 if PROOF else 4)) > 20_000


def test_the_order_in_which_objects_are_written_means_nothing(model):
    assert model.explore(model.plan_chain_in_any_order, model.Content(4 if PROOF else 3)) > 2_000


def test_putting_the_first_plan_twice_changes_nothing(model):
    assert model.explore(model.plan_chain_unproven, model.Content(4 if PROOF else 3)) > 5_000


def test_three_owners_keep_the_chain(model):
    content = model.Content(3 if PROOF else 2, groups=1, filtered=None)
    assert model.explore(model.plan_chain, content, owners=3) > 3_000


def test_one_owner_at_a_time_keeps_the_chain_without_conditions(model):
    content = model.Content(8 if PROOF else 6)
    assert model.explore(model.plan_chain_looking, content, owners=1) > 10_000


def test_overlapping_owners_may_repeat_but_lose_nothing_without_conditions(model):
    content = model.Content(3 if PROOF else 2, groups=1, filtered=None)
    assert model.explore(model.plan_chain_looking, content, strict=False) > 5_000
    with pytest.raises(model.BrokenPromiseError, match="duplicate"):
        model.explore(model.plan_chain_looking, content)


@pytest.mark.parametrize("seed", range(20 if PROOF else 2))
def test_random_interleavings_end_with_every_event_exactly_once(model, seed):
    for run in range(1_000 if PROOF else 100):
        model.wander(model.plan_chain, model.Content(16), 3, 150, seed * 10_000 + run)


def test_the_checker_finds_the_duplicates_of_range_keys(model):
    with pytest.raises(model.BrokenPromiseError, match="duplicate"):
        model.explore(model.range_keys, model.Content(4, groups=1, filtered=None))


def test_the_checker_finds_the_loss_of_start_keys(model):
    with pytest.raises(model.BrokenPromiseError, match="loss"):
        model.explore(model.start_keys, model.Content(4, groups=1, filtered=None), strict=False)


def test_range_keys_lose_nothing_so_they_do_for_at_least_once(model):
    content = model.Content(3, groups=1, filtered=None)
    assert model.explore(model.range_keys, content, strict=False) > 1_000


@pytest.mark.parametrize(("naming", "found"), [("start_keys", "loss|duplicate"), ("range_keys", "duplicate")])
def test_random_interleavings_find_the_wrong_namings_too(model, naming, found):
    def wander_often():
        for seed in range(50):
            model.wander(getattr(model, naming), model.Content(16), 3, 150, seed)

    with pytest.raises(model.BrokenPromiseError, match=found):
        wander_often()
