"""The names of objects and plans: pure functions of the range, safe whatever events and streams say."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

__all__ = ["PLANS", "Naming", "Stream", "plan_folder", "plan_key", "plan_start", "segment"]

LONGEST = 100
PLANS = "_chunks"
WHOLE = "whole"

_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
_PARTITION = re.compile(r"(?P<topic>.+)\[(?P<number>0|[1-9][0-9]{0,9})\]", re.DOTALL)
_PLAN = re.compile(r".*/(?P<start>[0-9]{20})\.json", re.DOTALL)


class Stream(NamedTuple):
    """A journal's stream as names are made of it: `telemetry[3]` is partition 3 of topic `telemetry`."""

    topic: str
    partition: int | None

    @classmethod
    def of(cls, stream: str) -> Stream:
        """Split a stream's name as the Kafka journal writes it; any other is a topic of its own."""
        match = _PARTITION.fullmatch(stream)
        return cls(match["topic"], int(match["number"])) if match else cls(stream, None)


def segment(text: str) -> str:
    """Any text as one path segment: percent-encoded UTF-8, at most 100 bytes, never empty.

    Letters, digits, `_` and `-` stay; a longer text ends in a digest of all of it.
    """
    raw = text.encode("utf-8", "surrogatepass")
    quoted = _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], raw).decode("ascii")
    if len(quoted) > LONGEST:
        cut = quoted[: LONGEST - 17]
        return f"{re.sub('%[0-9A-F]?$', '', cut)}~{hashlib.sha256(raw).hexdigest()[:16]}"
    return quoted or "%"


def plan_folder(stream: str) -> str:
    """The folder of a stream's plans."""
    topic, partition = Stream.of(stream)
    return f"{PLANS}/{segment(topic)}/{WHOLE if partition is None else f'{partition:05d}'}"


def plan_key(stream: str, start: int) -> str:
    """The key of the plan that starts here: names sort as positions do."""
    return f"{plan_folder(stream)}/{start:020d}.json"


def plan_start(key: str) -> int | None:
    """The start a plan's key speaks of; None for any other key."""
    match = _PLAN.fullmatch(key)
    return int(match["start"]) if match else None


class Naming(NamedTuple):
    """How data objects are called. `suffix` is `.jsonl.gz`; `ranged` puts the end into secor names too."""

    layout: str
    generation: str
    suffix: str
    ranged: bool = False

    def key(self, stream: str, group: str, start: int, end: int) -> str:
        """The key of the object that holds `group` of the range."""
        return (self._secor if self.layout == "secor" else self._hive)(Stream.of(stream), group, start, end)

    def _hive(self, stream: Stream, group: str, start: int, end: int) -> str:
        folder = f"data/topic={segment(stream.topic)}/" + (f"{group}/" if group else "")
        number = "" if stream.partition is None else f"{stream.partition:05d}-"
        return f"{folder}{self.generation}-{number}{start:020d}-{end:020d}{self.suffix}"

    def _secor(self, stream: Stream, group: str, start: int, end: int) -> str:
        number = segment(stream.topic) if stream.partition is None else str(stream.partition)
        return f"{group}-{number}-{start}" + (f"-{end}" if self.ranged else "") + self.suffix
