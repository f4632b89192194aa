"""The window knows recent identities and stays bounded; the compiled one knows the same ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.engine.dedup import PlainWindow, window
from bridge.native import compiled

WINDOWS = [
    PlainWindow,
    pytest.param(window, marks=pytest.mark.skipif(compiled() is None, reason="there is no compiled part")),
]


def keys_of(numbers):
    return [n.to_bytes(16) for n in numbers]


def verdicts(made, page):
    return made.fresh(keys_of(page)) or [True] * len(page)


@pytest.mark.parametrize("make", WINDOWS)
def test_a_page_of_new_identities_costs_no_verdict_per_event(make):
    assert make(10).fresh(keys_of([1, 2])) is None


@pytest.mark.parametrize("make", WINDOWS)
def test_a_copy_in_the_same_page_and_in_a_later_one_is_known(make):
    made = make(10)
    assert made.fresh(keys_of([1, 2, 1])) == [True, True, False]
    assert made.fresh(keys_of([3, 2])) == [True, False]


@given(pages=st.lists(st.lists(st.integers(0, 60), max_size=20), max_size=40), size=st.integers(1, 30))
def test_a_copy_within_the_window_is_never_let_through(pages, size):
    window = PlainWindow(size)
    seen: list[int] = []
    for page in pages:
        kept = []
        for n, fresh in zip(page, verdicts(window, page), strict=True):
            recent = kept + list(reversed(seen[::-1][: max(0, size - len(kept))]))
            if n in recent[-size:]:
                assert not fresh
            if fresh:
                kept.append(n)
        seen += kept
        assert len(window._young) + len(window._old) <= 2 * (size + 20)


@given(pages=st.lists(st.lists(st.integers(0, 500), max_size=20, unique=True), max_size=20))
def test_what_was_never_seen_is_always_let_through(pages):
    window = PlainWindow(50)
    seen: set[int] = set()
    for page in pages:
        for n, fresh in zip(page, verdicts(window, page), strict=True):
            assert fresh or n in seen
        seen |= set(page)


@pytest.mark.skipif(compiled() is None, reason="there is no compiled part")
@given(
    pages=st.lists(
        st.lists(st.integers(0, 60) | st.sampled_from([2**64, 2**128 - 1]), max_size=20), max_size=60
    ),
    size=st.integers(1, 30),
)
def test_the_compiled_window_gives_the_same_verdicts_for_ever(pages, size):
    plain, fast = PlainWindow(size), window(size)
    assert fast.size == size
    for page in pages:
        assert fast.fresh(keys_of(page)) == plain.fresh(keys_of(page))


@pytest.mark.skipif(compiled() is None, reason="there is no compiled part")
def test_the_compiled_window_refuses_what_is_no_identity_and_remembers_nothing_of_it():
    fast = window(10)
    with pytest.raises(ValueError, match="16 bytes"):
        fast.fresh([*keys_of([1]), b"short"])
    assert fast.fresh(keys_of([1])) is None
