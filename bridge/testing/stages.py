"""The stage contract: pure, deterministic, and every event accounted for."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from bridge.configuration.shapes import keys
from bridge.engine.routing import Router
from bridge.engine.staging import Chain, Link
from bridge.errors import EventError, PluginError
from bridge.events import Event, decode, rewrite
from bridge.hookspecs import bridge_stages
from bridge.registry import check_stage
from bridge.settings import RouteSettings
from bridge.testing.events import encode, samples
from bridge.testing.fitting import filled, offered, secrets_in, valid_lines
from bridge.testing.lessons import Breach, check, require
from bridge.testing.replay import fingerprints, in_another_process, made
from bridge.validation import Decoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import ModuleType

    from bridge.stages.base import Stage

__all__ = ["StageContract"]

REWRITE = """\
document = event.document            # a copy of its own at each call
document["edata"].pop("query", None)
return rewrite(event, document)      # from bridge.events import rewrite"""
PURE = """\
apply is called again after a restart, on another machine: whatever it needs must come from the
event, from self.config, or from what __enter__ has read; sort what you take from a set"""


class StageContract:
    """What every stage keeps. Subclass it as `Test…`, set `stage_type` and `config`.

    In `config`, `{folder}` is an empty folder of the test's own; `prepare` puts files there.
    """

    stage_type: ClassVar[type[Stage[Any]]]
    config: ClassVar[Mapping[str, Any]] = {}
    plugin: ClassVar[ModuleType | None] = None

    def prepare(self, folder: Path) -> None:
        """Make what has to be there before the stage can be entered; nothing by default."""

    def lines(self) -> list[bytes]:
        """Events as JSON, every official type among them."""
        return valid_lines()

    def make(self, folder: Path) -> Stage[Any]:
        """A stage that is not entered."""
        return self.stage_type(self.stage_type.config_type.model_validate(self._settings(folder)))

    @contextmanager
    def entered(self, folder: Path) -> Iterator[Stage[Any]]:
        """A stage at work."""
        self.prepare(folder)
        with self.make(folder) as stage:
            yield stage

    @check
    def test_the_host_accepts_the_class(self) -> None:
        """A stage has a name of a-z, 0-9, - and _, a config_type, apply, and speaks this API version."""
        try:
            check_stage(self.stage_type, "this plugin")
        except PluginError as error:
            raise Breach(str(error), "the class attributes as docs/plugins/reference.md lists them") from None

    @check
    def test_the_plugin_offers_the_class(self) -> None:
        """The plugin's module has a function bridge_stages with @hookimpl that returns the class."""
        offered(self.stage_type, self.plugin, bridge_stages.__name__)

    @check
    def test_every_key_has_a_description(self) -> None:
        """Each key has a description: `bridge schema` and editors show it."""
        bare = [name for name, field in keys(self.stage_type.config_type).items() if not field.description]
        require(not bare, f"no description: {', '.join(bare)}", 'Field(description="…")')

    @check
    def test_nothing_shows_a_secret(self, tmp_path: Path) -> None:
        """No repr or dump holds the text of a secret."""
        stage = self.make(tmp_path)
        shown = f"{stage!r} {stage.config!r} {stage.config} {stage.config.model_dump_json()}"
        guilty = [secret for secret in secrets_in(stage.config) if secret in shown]
        require(not guilty, "the text of a secret is readable", "Secret as the type of its key")

    @check
    def test_every_event_gives_events_or_is_left_out(self, tmp_path: Path) -> None:
        """Whatever the bridge lets through gives an event, several, None, or an EventError that says why."""
        with self.entered(tmp_path) as stage:
            for event in map(decode, self.lines()):
                _apply(stage, event)

    @check
    def test_an_ordinary_event_is_not_refused(self, tmp_path: Path) -> None:
        """EventError is for broken data: every official event is changed, left alone or left out."""
        with self.entered(tmp_path) as stage:
            for event in samples().values():
                try:
                    stage.apply(decode(encode(event)))
                except EventError as error:
                    raise Breach(
                        f"apply refused an ordinary {event['eid']} event: {error}", "return event"
                    ) from None

    @check
    def test_a_changed_event_is_a_new_one(self, tmp_path: Path) -> None:
        """Events are shared with other pipelines: apply leaves its event as it is."""
        with self.entered(tmp_path) as stage:
            for line in self.lines():
                event, untouched = decode(line), decode(line)
                _apply(stage, event)
                require(
                    (event.raw, event.edata, event.identity)
                    == (untouched.raw, untouched.edata, untouched.identity),
                    f"apply changed the {event.eid} event it was given",
                    REWRITE,
                )

    @check
    def test_a_new_event_says_the_same_in_its_bytes(self, tmp_path: Path) -> None:
        """Some sinks send an event's bytes, others its fields: both say the same, on one line."""
        with self.entered(tmp_path) as stage:
            for event in map(decode, self.lines()):
                for new in _apply(stage, event):
                    if new is not event:
                        _require_whole(new)

    @check
    def test_events_made_of_one_are_told_apart(self, tmp_path: Path) -> None:
        """Several events made of one have a mid each; without, all but one count as copies."""
        with self.entered(tmp_path) as stage:
            for event in map(decode, self.lines()):
                ids = [new.identity for new in _apply(stage, event)]
                require(
                    len(ids) == len(set(ids)),
                    f"{len(ids)} events with {len(set(ids))} identities, made of one {event.eid}",
                    'document["mid"] = f"{event.mid}-{index}"',
                )

    @check
    def test_many_at_once_are_changed_as_one_by_one(self, tmp_path: Path) -> None:
        """apply_batch gives, in order, what apply gives for each event."""
        with self.entered(tmp_path) as stage:
            events = [event for event in map(decode, self.lines()) if not _refuses(stage, event)]
            many = [[new.raw for new in made(staged)] for staged in stage.apply_batch(events)]
            each = [[new.raw for new in made(stage.apply(event))] for event in events]
        require(
            many == each,
            f"{len(many)} results for {len(each)} events, or other ones",
            "an apply_batch with one item per event, None included, or none at all: the base class has one",
        )

    @check
    def test_it_may_run_in_the_host(self, tmp_path: Path) -> None:
        """In the host every event is accounted for: it goes on, is left out, or is refused."""
        with self.entered(tmp_path) as stage:
            events = list(map(decode, self.lines()))
            found = Chain([Link("contract", stage, Router(RouteSettings()))]).run(Decoded(events, None, []))
        poison = [bad.reason for bad in found.invalid if bad.code == "plugin_error"]
        require(
            not poison and found.count == len(events),
            f"{found.count} of {len(events)} events are accounted for; {', '.join(poison[:3])}",
            "return an Event, a list of events, or None",
        )

    @check
    def test_another_process_gives_the_same_events(self, tmp_path: Path) -> None:
        """A redelivery after a restart carries the same bytes: no clock, no chance, another hash seed."""
        lines = self.lines()
        with self.entered(tmp_path) as stage:
            here = fingerprints(stage, map(decode, lines))
            again = fingerprints(stage, map(decode, lines))
        there = in_another_process(self.stage_type, self._settings(tmp_path), lines, 4_242)
        require(here == again == there.prints, "the same event gave other bytes", PURE)
        require(
            not there.clocks and not there.touched,
            f"apply used {', '.join([*there.clocks, *there.touched])}",
            PURE,
        )
        require(
            not there.opening,
            f"making the stage used {', '.join(there.opening)}",
            "def __enter__(self):\n    self._table = …\n    return self",
        )

    @check
    def test_it_can_be_entered_again(self, tmp_path: Path) -> None:
        """Entering, leaving and entering again works: `bridge check` and a replay do so."""
        self.prepare(tmp_path)
        stage = self.make(tmp_path)
        for _ in range(2):
            with stage as entered:
                require(entered is stage, f"__enter__ returned {type(entered).__name__}", "return self")
                _apply(stage, decode(self.lines()[0]))

    def _settings(self, folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = filled(dict(self.config), {"{folder}": str(folder)})
        return found


def _refuses(stage: Stage[Any], event: Event) -> bool:
    try:
        stage.apply(event)
    except EventError:
        return True
    return False


def _apply(stage: Stage[Any], event: Event) -> list[Event]:
    """The events `apply` made of one; none where it was refused with a proper EventError."""
    try:
        staged = stage.apply(event)
    except EventError as error:
        require(
            re.fullmatch(r"[a-z0-9_.-]{1,64}", error.code),
            f"EventError with code {error.code!r}",
            'EventError("no_object", "one sentence", "$.object.id")   # the code is for metrics',
        )
        return []
    except Exception as error:
        raise Breach(
            f"apply raised {type(error).__name__}: {error}, for a {event.eid} event",
            "edata is free-form: it may lack keys, hold nulls, or be another type than expected.\n"
            'value = event.edata.get("pageid")\nif not isinstance(value, str):\n    return event',
        ) from error
    strange = [type(new).__name__ for new in _listed(staged) if not isinstance(new, Event)]
    require(not strange, f"apply returned {', '.join(strange)}", REWRITE)
    return made(staged)


def _listed(staged: object) -> list[object]:
    if staged is None:
        return []
    return list(staged) if isinstance(staged, list | tuple) else [staged]


def _require_whole(new: Event) -> None:
    again = rewrite(new, new.document)
    require(
        b"\n" not in new.raw
        and (again.identity, again.edata, again.context) == (new.identity, new.edata, new.context),
        f"the bytes of the new {new.eid} event say something else than its fields",
        REWRITE,
    )
