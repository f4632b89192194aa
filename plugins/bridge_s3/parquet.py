"""Parquet objects: a fixed schema, whatever events hold, so that tables over the archive never break.

Importing this module needs pyarrow (extra `parquet`).
"""

from __future__ import annotations

import json
import logging
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from bridge.events import Object
from bridge.sinks import Pack
from bridge_s3.formats import Format
from bridge_s3.mapping import LAST, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bridge.events import Event

__all__ = ["Rows"]

# pyarrow ships no types; importing it by name keeps it `Any` whether it is installed or not.
arrow: Any = import_module("pyarrow")
parquet: Any = import_module("pyarrow.parquet")

_log = logging.getLogger("bridge.sinks.s3")

PROGRESS = "parquet: %d of %d packs written, %d events, %d bytes"
ROW_GROUP = 128 * 1024
LEVELS: Mapping[str, int] = {"zstd": 3}

TEXT = arrow.string()
TEXTS = arrow.list_(TEXT)
TIME = arrow.timestamp("ms", tz="UTC")
CORRELATION = arrow.struct([("type", TEXT), ("id", TEXT)])
LEVEL_NAMES = ("l1", "l2", "l3", "l4")
EDATA_NAMES = ("type", "subtype", "id", "pageid")


class _Rollup(msgspec.Struct):
    """`context.rollup`: the places in the tenant's hierarchy."""

    l1: Any = None
    l2: Any = None
    l3: Any = None
    l4: Any = None


class _Context(msgspec.Struct):
    """The part of the context that an event's typed head leaves out."""

    rollup: _Rollup | None = None


class _Inner(msgspec.Struct):
    """The parts of an event that its typed head leaves out."""

    edata: msgspec.Raw = msgspec.Raw(b"{}")
    context: _Context | None = None


class _Loose(msgspec.Struct):
    """The same of an event whose context is not what it should be."""

    edata: msgspec.Raw = msgspec.Raw(b"{}")


class _Edata(msgspec.Struct):
    """The keys of `edata` that have columns of their own."""

    type: Any = None
    subtype: Any = None
    id: Any = None
    pageid: Any = None


class _Row(NamedTuple):
    """One event, taken apart once for all columns."""

    event: Event
    edata: bytes
    keys: _Edata
    object: Object
    object_rollup: Mapping[str, Any]
    rollup: _Rollup


_inner = msgspec.json.Decoder(_Inner).decode
_loose = msgspec.json.Decoder(_Loose).decode
_keys = msgspec.json.Decoder(_Edata).decode
NOTHING = Object()

Column = tuple[str, Any, "Callable[[_Row], Any]"]


def _columns() -> list[Column]:
    columns: list[Column] = [
        ("mid", TEXT, attrgetter("event.mid")),
        ("eid", TEXT, attrgetter("event.eid")),
        ("ets", TIME, lambda row: _time(row.event.ets)),
        ("syncts", TIME, lambda row: _time(moment(row.event.syncts))),
        ("record_time", TIME, lambda row: _time(row.event.record_time())),
        ("ver", TEXT, attrgetter("event.ver")),
        ("actor_id", TEXT, attrgetter("event.actor.id")),
        ("actor_type", TEXT, attrgetter("event.actor.type")),
        ("channel", TEXT, attrgetter("event.context.channel")),
        ("pdata_id", TEXT, attrgetter("event.context.pdata.id")),
        ("pdata_pid", TEXT, attrgetter("event.context.pdata.pid")),
        ("pdata_ver", TEXT, attrgetter("event.context.pdata.ver")),
        ("env", TEXT, attrgetter("event.context.env")),
        ("sid", TEXT, attrgetter("event.context.sid")),
        ("did", TEXT, attrgetter("event.context.did")),
        ("object_id", TEXT, attrgetter("object.id")),
        ("object_type", TEXT, attrgetter("object.type")),
        ("object_ver", TEXT, attrgetter("object.ver")),
    ]
    columns += [(f"object_rollup_{name}", TEXT, _object_level(name)) for name in LEVEL_NAMES]
    columns += [(f"rollup_{name}", TEXT, _text(f"rollup.{name}")) for name in LEVEL_NAMES]
    columns += [("cdata", arrow.list_(CORRELATION), _correlations), ("tags", TEXTS, attrgetter("event.tags"))]
    columns += [(f"edata_{name}", TEXT, _text(f"keys.{name}")) for name in EDATA_NAMES]
    return [*columns, ("edata", TEXT, attrgetter("edata"))]


def _object_level(name: str) -> Callable[[_Row], Any]:
    return lambda row: row.object_rollup.get(name)


def _text(path: str) -> Callable[[_Row], str | None]:
    """The value at `path` where it is text: nothing has checked these keys."""
    value_of = attrgetter(path)

    def text(row: _Row) -> str | None:
        value = value_of(row)
        return value if type(value) is str else None

    return text


def _correlations(row: _Row) -> list[tuple[str, str]] | None:
    found = row.event.context.cdata
    return None if found is None else [(item.type, item.id) for item in found]


def _time(value: float | None) -> int | None:
    return int(value) if value is not None and 0 <= value <= LAST else None


COLUMNS = _columns()
SCHEMA = arrow.schema([(name, kind) for name, kind, _ in COLUMNS])


class Rows(Format):
    """Parquet with one row an event. Packs are Arrow streams, compressed to keep memory small."""

    suffix = ".parquet"

    def __init__(self, codec: str) -> None:
        self._codec = codec

    def pack(self, group: str, events: Sequence[Event], lines: Sequence[bytes]) -> Pack:
        """See `Format.pack`."""
        rows = [_row(event, line) for event, line in zip(events, lines, strict=True)]
        columns = [arrow.array([value(row) for row in rows], kind) for _, kind, value in COLUMNS]
        sink = arrow.BufferOutputStream()
        options = arrow.ipc.IpcWriteOptions(compression="zstd")
        with arrow.ipc.new_stream(sink, SCHEMA, options=options) as writer:
            writer.write_batch(arrow.record_batch(columns, schema=SCHEMA))
        return Pack(group, len(rows), sink.getvalue().to_pybytes())

    def body(self, parts: Sequence[bytes]) -> Sequence[bytes]:
        """One Parquet file; row groups of 131,072 rows are built, and told in the log, one by one."""
        sink = arrow.BufferOutputStream()
        held: list[Any] = []
        rows = 0
        with parquet.ParquetWriter(
            sink, SCHEMA, compression=self._codec, compression_level=LEVELS.get(self._codec)
        ) as writer:
            for number, part in enumerate(parts, 1):
                held += arrow.ipc.open_stream(part).read_all().to_batches()
                if sum(batch.num_rows for batch in held) >= ROW_GROUP or (held and number == len(parts)):
                    rows += _write(writer, held)
                    held = []
                    if rows >= ROW_GROUP:  # smaller ones are done before anybody asks
                        _log.info(PROGRESS, number, len(parts), rows, sink.tell())
        return [sink.getvalue().to_pybytes()]

    def show(self, parts: Sequence[bytes]) -> str:
        """See `Format.show`."""
        table = parquet.read_table(arrow.BufferReader(b"".join(parts)))
        return "".join(f"{json.dumps(row, default=str, ensure_ascii=False)}\n" for row in table.to_pylist())

    def count(self, pieces: Iterable[bytes]) -> int:
        """See `Format.count`."""
        try:
            return int(parquet.ParquetFile(arrow.BufferReader(b"".join(pieces))).metadata.num_rows)
        except (arrow.ArrowException, OSError):
            raise ValueError("damaged Parquet") from None


def _write(writer: Any, held: Sequence[Any]) -> int:
    table = arrow.Table.from_batches(held, SCHEMA)
    writer.write_table(table, row_group_size=ROW_GROUP)
    return int(table.num_rows)


def _row(event: Event, line: bytes) -> _Row:
    try:
        inner = _inner(line)
        rollup = inner.context and inner.context.rollup
        edata = bytes(inner.edata)
    except msgspec.ValidationError:
        rollup, edata = None, bytes(_loose(line).edata)
    thing = event.object or NOTHING
    return _Row(event, edata, _named(edata), thing, thing.rollup or {}, rollup or _Rollup())


def _named(edata: bytes) -> _Edata:
    try:
        return _keys(edata)
    except msgspec.ValidationError:
        return _Edata()
