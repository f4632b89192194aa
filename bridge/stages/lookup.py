"""Rows of a local file by their key: CSV, JSON or JSON Lines, read whole and kept as JSON bytes."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Literal

import msgspec

from bridge.errors import SetupError
from bridge.stages.jsonvalues import Fields, text_of, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

__all__ = ["Format", "Source", "load"]

Format = Literal["csv", "json", "jsonl"]
Row = tuple[str, Fields]  # where it stands in the file, and what it holds

SUFFIXES: dict[str, Format] = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_MANY = 12

_read_object = msgspec.json.Decoder(Fields).decode
_read_json = msgspec.json.Decoder(list[Fields] | dict[str, Fields]).decode


@dataclass(frozen=True, slots=True)
class Source:
    """What to read: the file, which column names a row, and which ones to keep (none named = the others)."""

    path: Path
    format: Format | None
    column: str
    columns: tuple[str, ...]
    max_bytes: int
    max_rows: int


def load(source: Source) -> dict[str, msgspec.Raw]:
    """Each row as a JSON object by its key; where two rows have one key, the later one counts.

    Raises:
        SetupError: the file cannot be read, is too large, is not what its format says, or lacks a column.
    """
    reader = READERS[source.format or _format_of(source.path)]
    table: dict[str, msgspec.Raw] = {}
    seen: set[str] = set()
    for place, row in reader(_read(source), source):
        seen.update(row)
        key = text_of(row[source.column]) if source.column in row else None
        if key is None:
            raise _wrong(source, f"{place} has no {source.column}{_columns(row)}")
        names = source.columns or [name for name in row if name != source.column]
        table[key] = write({name: row[name] for name in names if name in row})
        if len(table) > source.max_rows:
            raise _wrong(source, f"it has more than {source.max_rows} rows (raise max_rows if memory allows)")
    if not table:
        raise _wrong(source, "there are no rows in it")
    if missing := [name for name in source.columns if name not in seen]:
        raise _wrong(source, f"no row has {missing[0]}{_columns(seen)}")
    return table


def _format_of(path: Path) -> Format:
    try:
        return SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise SetupError(f'{path}: say what it is, with format = "csv", "json" or "jsonl"') from None


def _read(source: Source) -> str:
    try:
        with source.path.open("rb") as file:
            data = file.read(source.max_bytes + 1)
    except OSError as error:
        raise SetupError(f"{source.path}: cannot be read ({error.strerror})") from None
    if len(data) > source.max_bytes:
        raise _wrong(source, f"it is longer than {source.max_bytes} bytes (raise max_bytes if memory allows)")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _wrong(source, "write it in UTF-8") from None


def _csv_rows(text: str, source: Source) -> Iterator[Row]:
    rows = csv.DictReader(StringIO(text, newline=""), strict=True)
    try:
        for row in rows:
            if None in row:
                raise _wrong(source, f"line {rows.line_num} has more values than there are columns")
            # an empty cell says nothing, so no key either
            yield f"line {rows.line_num}", {name: write(value) for name, value in row.items() if value}
    except csv.Error as error:
        raise _wrong(source, f"line {rows.line_num} is not CSV ({error})") from None


def _jsonl_rows(text: str, source: Source) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield f"line {number}", _read_object(line)
            except msgspec.DecodeError:
                raise _wrong(source, f"line {number} is not a JSON object") from None


def _json_rows(text: str, source: Source) -> Iterator[Row]:
    try:
        rows = _read_json(text)
    except (msgspec.DecodeError, RecursionError):
        raise _wrong(source, "write a list of objects, or an object of objects by their keys") from None
    if isinstance(rows, dict):
        for key, row in rows.items():
            yield f"the row {key}", {source.column: write(key), **row}
    else:
        yield from ((f"row {number}", row) for number, row in enumerate(rows, 1))


READERS: dict[Format, Callable[[str, Source], Iterable[Row]]] = {
    "csv": _csv_rows,
    "json": _json_rows,
    "jsonl": _jsonl_rows,
}


def _columns(names: Iterable[str]) -> str:
    known = sorted(names)
    return f" (it has {', '.join(known[:_MANY])}{', …' if len(known) > _MANY else ''})" if known else ""


def _wrong(source: Source, what: str) -> SetupError:
    return SetupError(f"{source.path}: {what}")
