"""The window knows recent identities and stays bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.engine.dedup import Window


def test_a_page_of_new_identities_costs_no_verdict_per_event():
    assert Window(10).fresh([b"a", b"b"]) is None


def test_a_copy_in_the_same_page_and_in_a_later_one_is_known():
    window = Window(10)
    assert window.fresh([b"a", b"b", b"a"]) == [True, True, False]
    assert window.fresh([b"c", b"b"]) == [True, False]


@given(pages=st.lists(st.lists(st.integers(0, 60), max_size=20), max_size=40), size=st.integers(1, 30))
def test_a_copy_within_the_window_is_never_let_through(pages, size):
    window = Window(size)
    seen: list[int] = []
    for page in pages:
        keys = [n.to_bytes(2) for n in page]
        verdict = window.fresh(keys) or [True] * len(keys)
        kept = []
        for n, fresh in zip(page, verdict, strict=True):
            recent = kept + list(reversed(seen[::-1][: max(0, size - len(kept))]))
            if n in recent[-size:]:
                assert not fresh
            if fresh:
                kept.append(n)
        seen += kept
        assert len(window._young) + len(window._old) <= 2 * (size + 20)


@given(pages=st.lists(st.lists(st.integers(0, 500), max_size=20, unique=True), max_size=20))
def test_what_was_never_seen_is_always_let_through(pages):
    window = Window(50)
    seen: set[int] = set()
    for page in pages:
        keys = [n.to_bytes(2) for n in page]
        verdict = window.fresh(keys) or [True] * len(keys)
        for n, fresh in zip(page, verdict, strict=True):
            assert fresh or n in seen
        seen |= set(page)
