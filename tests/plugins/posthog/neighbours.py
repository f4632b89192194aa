"""Events that differ in what neighbours share, or not: who, when, where, on what, in which relations."""

from __future__ import annotations

from hypothesis import strategies as st

from bridge.testing import encode, make_event

MIDNIGHT = 1_767_571_200_000
SESSION = "0199a2b0-0000-7000-8000-000000000001"  # a UUIDv7 of 2025: too old for the events below
FITTING = f"{MIDNIGHT:012x}"
OWN_SESSION = f"{FITTING[:8]}-{FITTING[8:]}-7000-8000-000000000001"
CHOICES = {
    "eid": ["INTERACT", "START", "END", "IMPRESSION", "SEARCH", "XAPI_THING"],
    "ets": [MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 61_000, MIDNIGHT + 400 * 86_400_000],
    "ver": ["3.0", "3.1"],
    "syncts": [None, MIDNIGHT + 5_000],
    "tags": [[], ["a"], ["a", "b"]],
    "actor.id": ["7d0c5a1e-3b52-4a7e-9f0a-52c1b7e4d9a6", "anonymous"],
    "context.sid": ["b0f6c1de-7c14-4a51-8a6b-0d9e3f2a1c77", SESSION, OWN_SESSION, ""],
    "context.did": ["5f1c0b9ad8e7", ""],
    "context.channel": ["in.one", "in.two"],
    "context.cdata": [[], [{"type": "CourseBatch", "id": "b-1"}], [{"type": "CourseBatch", "id": "b-2"}]],
    "context.rollup": [{}, {"l1": "in.one"}],
    "object": [
        None,
        {"id": "do_1", "type": "Content"},
        {"id": "do_2", "type": "Content", "rollup": {"l1": "c"}},
    ],
}
variants = st.lists(st.fixed_dictionaries({key: st.sampled_from(found) for key, found in CHOICES.items()}))


def lines_of(changes):
    """An event for each of some changes, with a `mid` of its own."""
    made = [make_event("START" if one["eid"] == "START" else "INTERACT", one) for one in changes]
    return [encode({**one, "mid": f"m-{number}"}) for number, one in enumerate(made)]
