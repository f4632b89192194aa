"""The checks of the stage contract find what is wrong with a stage, and say what to write."""

# ruff: noqa: RUF012 - what a contract reads of its subclass is never changed

from __future__ import annotations

import os
import sys
import time

import pytest
from pydantic import Field

from bridge.errors import EventError
from bridge.events import decode, rewrite
from bridge.hookspecs import hookimpl
from bridge.stages.base import Stage, StageConfig
from bridge.testing import StageContract

Failed = pytest.fail.Exception


class LabelConfig(StageConfig):
    tag: str = Field(default="seen", description="the tag")


class Label(Stage[LabelConfig]):
    name = "label"
    config_type = LabelConfig

    def apply(self, event):
        return rewrite(event, {**event.document, "tags": [self.config.tag]})


@hookimpl
def bridge_stages():
    return [Label]


class TestLabel(StageContract):
    stage_type = Label
    config = {"tag": "x"}
    plugin = sys.modules[__name__]


class Raising(Label):
    def apply(self, event):
        return event.edata["pageid"].lower() and event


class Refusing(Label):
    def apply(self, event):
        raise EventError("no", "it is not liked")


class Shouting(Label):
    def apply(self, event):
        raise EventError("No Way!", "it is not liked")


class Changing(Label):
    def apply(self, event):
        event.eid = "OTHER"
        return event


class Blunt(Label):
    def apply(self, event):
        event = decode(event.raw) if event.eid == "INTERACT" else event
        if event.eid == "INTERACT":
            event.eid = "CLICK"
        return event


class Copying(Label):
    def apply(self, event):
        return [event, rewrite(event, event.document)]


class Untidy(Label):
    def apply_batch(self, events):
        return [None for _ in events]


class Strange(Label):
    def apply(self, event):
        return [event.document]


class Clocked(Label):
    def apply(self, event):
        return rewrite(event, {**event.document, "tags": [str(time.time())]})


class Prying(Label):
    def apply(self, event):
        with open(os.devnull, "rb"):  # noqa: PTH123 - it is the point
            return event


class Fleeting(Label):
    left = False

    def __enter__(self):
        if self.left:
            raise RuntimeError("once is enough")
        return self

    def __exit__(self, *exc_info):
        self.left = True


class Elsewhere(Label):
    def __enter__(self):
        return "something else"


class Bare(Stage[LabelConfig]):
    name = "Bare Name"
    config_type = LabelConfig

    def apply(self, event):
        return event


class SilentConfig(StageConfig):
    key: str = ""


class Silent(Label):
    config_type = SilentConfig


@pytest.mark.parametrize(
    ("stage_type", "check", "lesson"),
    [
        (Raising, "every_event_gives_events_or_is_left_out", "raised KeyError"),
        (Strange, "every_event_gives_events_or_is_left_out", "returned dict"),
        (Shouting, "every_event_gives_events_or_is_left_out", "code 'No Way!'"),
        (Refusing, "an_ordinary_event_is_not_refused", "refused an ordinary"),
        (Changing, "a_changed_event_is_a_new_one", "changed the"),
        (Blunt, "a_new_event_says_the_same_in_its_bytes", "say something else than its fields"),
        (Copying, "events_made_of_one_are_told_apart", "2 events with 1 identities"),
        (Untidy, "many_at_once_are_changed_as_one_by_one", "or other ones"),
        (Raising, "it_may_run_in_the_host", "are accounted for"),
        (Clocked, "another_process_gives_the_same_events", "other bytes"),
        (Prying, "another_process_gives_the_same_events", "apply used open"),
        (Fleeting, "it_can_be_entered_again", "once is enough"),
        (Elsewhere, "it_can_be_entered_again", "__enter__ returned str"),
        (Bare, "the_host_accepts_the_class", "needs a class attribute"),
        (Changing, "the_plugin_offers_the_class", "offer label, not Changing"),
        (Silent, "every_key_has_a_description", "no description: key"),
    ],
)
def test_what_is_wrong_is_found_and_taught(stage_type, check, lesson, tmp_path):
    kind = type("Check", (StageContract,), {"stage_type": stage_type, "plugin": sys.modules[__name__]})
    method = getattr(kind(), f"test_{check}")
    wanted = {"tmp_path": tmp_path} if "tmp_path" in method.__wrapped__.__annotations__ else {}
    with pytest.raises((Failed, RuntimeError), match=lesson):
        method(**wanted)
