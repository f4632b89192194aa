"""What an operator may write, and what is refused with a sentence that says what to do."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bridge_posthog.config import PostHogConfig

KEY = "phc_" + "t" * 43


def _refusal(**options):
    with pytest.raises(ValidationError) as caught:
        PostHogConfig(**{"api_key": KEY, **options})
    return "; ".join(error["msg"] for error in caught.value.errors())


def test_a_key_is_all_that_is_needed():
    config = PostHogConfig(api_key=KEY)
    assert config.host == "https://us.i.posthog.com"
    assert config.capture_mode == "auto"
    assert KEY not in repr(config)


def test_a_personal_key_is_refused_with_what_to_write_instead():
    message = _refusal(api_key="phx_" + "s" * 40)
    assert "personal API key" in message
    assert "phc_" in message
    assert "s" * 40 not in message


@pytest.mark.parametrize("key", ["p" * 65, "phc_ä", "phc_a b", "phc_a\nb", "phc_a\x00"])
def test_what_capture_would_refuse_as_a_key_is_refused_at_once(key):
    message = _refusal(api_key=key)
    assert "printable ASCII" in message
    assert key not in message


def test_a_key_can_be_kept_in_the_environment(monkeypatch):
    monkeypatch.setenv("POSTHOG_KEY", "phx_personal")
    assert "personal API key" in _refusal(api_key="env:POSTHOG_KEY")
    monkeypatch.setenv("POSTHOG_KEY", KEY)
    assert PostHogConfig(api_key="env:POSTHOG_KEY").api_key.reveal() == KEY


@pytest.mark.parametrize("host", ["eu.i.posthog.com", "ftp://x", "https://x/?a=1", "https://", "https://x#y"])
def test_an_address_that_is_none_is_refused(host):
    assert "https://eu.i.posthog.com" in _refusal(host=host)


def test_credentials_do_not_belong_into_the_address():
    message = _refusal(host="https://user:secret@posthog.example.org")
    assert "project key is enough" in message
    assert "secret@" not in message


def test_a_slash_at_the_end_of_the_address_plays_no_part():
    assert PostHogConfig(api_key=KEY, host="https://x.example/ph/").host == "https://x.example/ph"


def test_six_group_types_are_refused_at_the_start():
    groups = {f"type_{n}": "channel" for n in range(6)}
    assert "at most 5 group types" in _refusal(groups=groups)
    assert len(PostHogConfig(api_key=KEY, groups=dict(list(groups.items())[:5])).groups) == 5


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"Channel": "channel"}, "no group type"),
        ({"$group": "channel"}, "no group type"),
        ({"channel": "context.channel"}, "no source of groups"),
        ({"channel": "cdata:"}, "no source of groups"),
    ],
)
def test_groups_that_make_no_sense_are_refused(groups, words):
    assert words in _refusal(groups=groups)


def test_zstd_needs_v1():
    assert "needs capture v1" in _refusal(capture_mode="v0", compression="zstd")


def test_pseudonyms_do_not_go_with_raw_events():
    assert "names its actor" in _refusal(properties="raw", pseudonym_key="k")


def test_a_broken_pattern_is_explained():
    assert "not a regular expression" in _refusal(app_producers="(")


def test_unknown_keys_are_refused():
    assert _refusal(hots="https://x")


def test_every_key_has_a_description():
    fields = PostHogConfig.model_fields
    assert all(field.description for field in fields.values())
    assert {"api_key", "host", "capture_mode", "groups", "exclude_eids"} <= set(fields)
