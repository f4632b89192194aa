"""What counts as personal data in a text, and which regular expressions may be added to it."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.stages.patterns import BUILT_IN, absent, masker, truncate_addresses
from bridge.stages.regexes import MOST_STEPS, check_regex, steps_of

mask = masker(tuple(BUILT_IN))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Asha <asha.rao+sb@example.co.in>, please", "Asha <[email]>, please"),
        ("o'brien@example.ie or ?mail=a_b%40example.org&x=1", "[email] or ?mail=[email]&x=1"),
        ("आशा@उदाहरण.भारत", "[email]"),
        ("user@localhost, @handle, a@b", "user@localhost, @handle, a@b"),
        ("9876543210 09876543210 919876543210", "[phone] [phone] [aadhaar]"),
        ("+91 98765 43210, +91-9876543210; 98765-43210.", "[phone], [phone]; [phone]."),
        ("(987) 654 3210 / 987-654-3210 / 9876 543 210", "(987) 654 3210 / [phone] / [phone]"),
        ("+44 20 7946 0958, +1 (415) 555-2671", "[phone], [phone]"),
        ("2345 6789 0123, 2345-6789-0123, 234567890123", "[aadhaar], [aadhaar], [aadhaar]"),
        ("from 10.1.2.3:443, 192.168.100.200.", "from [ipv4]:443, [ipv4]."),
        ("2001:db8::1, ip:2001:db8::7: fe80::1%eth0 ::ffff:1.2.3.4", "[ipv6], ip:[ipv6]: [ipv6]%eth0 [ipv6]"),
    ],
)
def test_personal_data_is_masked(text, masked):
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "do_31278794857559654411554",
        "0126684405014528002",
        "1573123456789",
        "12:58:02.630",
        "2019-12-25T12:58:02.630Z",
        "sunbird v1.2.3.4",
        "4.10.3",
        "00:1a:2b:3c:4d:5e",
        "std::map",
        "7d0c5a1e-3b52-4a7e-9f0a-52c1b7e4d9a6",
        "0.9876543210",
        "1234567890",
    ],
)
def test_ids_times_and_versions_stay(text):
    assert mask(text) == text


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("203.0.113.77, 10.0.0.9", "203.0.113.0, 10.0.0.0"),
        ("2001:db8:aaaa:bbbb::1", "2001:db8:aaaa::"),
        ("::ffff:203.0.113.77", "::ffff:203.0.113.0"),
        ("[2001:db8:aaaa:bbbb::1]:443", "[2001:db8:aaaa::]:443"),
        ("12:58:02", "12:58:02"),
        ("no address", "no address"),
    ],
)
def test_addresses_are_cut_to_their_network(text, shorter):
    assert truncate_addresses(text) == shorter


@given(st.text("09:.@%+-[]ab \u0966é", max_size=40))
def test_a_glance_and_a_search_agree(text):
    """What the glance calls absent, masking leaves alone, wherever the text stands in a document."""
    if absent(tuple(BUILT_IN), f'{{"key":"{text}"}}'):
        assert mask(text) == text
    assert mask(mask(text)) == mask(text)


def test_the_built_in_patterns_take_their_time_in_proportion():
    """Each of these texts would take hours if one of the patterns tried all ways to match it."""
    for text in (
        "a" * 100_000,
        "a." * 50_000 + "@",
        "9" * 100_000,
        "1:" * 50_000,
        "+1 " * 40_000,
        "%40a" * 30_000,
    ):
        mask(text)
        truncate_addresses(text)


@pytest.mark.parametrize(
    ("pattern", "steps"),
    [
        ("EMP", 3),
        (r"EMP\d{4,8}", 12),
        (r"[A-Z]{5}\d{4}[A-Z]", 12),
        ("a?b", 4),
        ("a{1,3}", 4),
        ("a{1,3}+b", 5),
        ("(?:ab|cd){2}", 28),
        ("(?P<x>a|b)(?=c)", 4),
        (r"(?i)roll no\.? \d{1,6}", 25),
        (r"[]\]x]{3}", 4),
    ],
)
def test_an_expression_of_few_steps_is_taken(pattern, steps):
    assert steps_of(pattern) == steps
    assert check_regex(pattern) == pattern


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(a+)+$", "too long on some texts"),
        ("(a|a){1,50}b", "too long on some texts"),
        ("(?:a{1,30}){1,30}b", "too long on some texts"),
        (r"\d+", "too long on some texts"),
        (r"\d*?x", "too long on some texts"),
        (r"x.{3,}y", "too long on some texts"),
        (r"(\w)\1", "write out what repeats"),
        ("(?#note)a", "of the groups with"),
        ("(?P<a>x)(?P=a)", "of the groups with"),
        ("a{0,3}", "matches the empty text"),
        ("(?=a)|", "matches the empty text"),
        ("(a", "not a regular expression"),
        ("a{3,1}", "not a regular expression"),
        ("x" * 501, "at most 500"),
    ],
)
def test_an_expression_that_could_be_slow_is_refused(pattern, said):
    with pytest.raises(ValueError, match=said):
        check_regex(pattern)


def reference(tree):
    """Ways and steps of a pattern as CPython's own parser reads it."""
    ways, steps = 1, 0
    for operator, argument in tree:
        part_ways, part_steps = reference_part(str(operator), argument)
        steps += ways * part_steps
        ways *= part_ways
    return ways, steps


def reference_part(operator, argument):
    if operator in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        low, high, body = argument
        ways, steps = reference(body)
        tries = [ways**count for count in range(min(high, 1000) + 1)]
        return (1 if operator == "POSSESSIVE_REPEAT" else sum(tries[low:])), sum(tries) * steps
    if operator == "BRANCH":
        parts = [reference(part) for part in argument[1]]
        return sum(part[0] for part in parts), sum(part[1] for part in parts)
    if operator == "SUBPATTERN":
        return reference(argument[-1])
    if operator in {"ASSERT", "ASSERT_NOT"}:
        return 1, reference(argument[1])[1]
    if operator == "ATOMIC_GROUP":
        return 1, reference(argument)[1]
    return 1, 1


parts = st.sampled_from(["a", "[bc]", r"\d", ".", "[^]x]", "(?:a|bc)", "(a)", "(?>a|b)", "(?=c)", "^"])
repeats = st.sampled_from(["", "", "?", "{2}", "{1,3}", "{,2}", "{1,3}?", "{1,4}+", "*", "+"])
expressions = st.lists(st.tuples(parts, repeats), min_size=1, max_size=4).map(
    lambda pairs: "".join(part + ("" if part in {"^", "(?=c)"} else repeat) for part, repeat in pairs)
)


@given(expressions)
def test_steps_are_never_fewer_than_the_parser_of_python_sees(pattern):
    re.compile(pattern)
    seen = reference(import_module("re._parser").parse(pattern))[1]
    assert steps_of(pattern) >= min(seen, MOST_STEPS + 1)


@given(expressions.filter(lambda pattern: steps_of(pattern) <= MOST_STEPS), st.text("abcx1", max_size=200))
def test_what_is_accepted_only_ever_takes_text_away(pattern, text):
    masked = masker((), (pattern,))(text)
    assert masked.replace("[masked]", "").strip() in text or "[masked]" in masked
