"""Compress bytes in one shot: the same input and versions give the same output, always.

gzip comes from ISA-L (four times faster than zlib at level 1), or from zlib where ISA-L has
no build; the two differ in their bytes. Headers carry no time and no file name.
"""

from __future__ import annotations

import io
import zlib
from contextlib import contextmanager
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import zstandard

from bridge import native

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["Rows", "compress", "compress_joined", "compress_zstd", "joined"]

GZIP_FORMAT = 31
FASTEST_ZLIB_ONLY = 4  # ISA-L has levels 0 to 3


LARGEST_KEPT, MOST_KEPT = 8 * 1024 * 1024, 2

_used: list[io.BytesIO] = []


def _isal() -> Callable[[bytes | memoryview, int, int], bytes] | None:
    try:
        from isal import isal_zlib  # noqa: PLC0415 - there is no build of it for every platform
    except ImportError:
        return None
    return isal_zlib.compress


_fast = _isal()


def compress(data: bytes | memoryview, level: int = 1) -> bytes:
    """Return `data` as one gzip member; `level` 0 … 3 uses ISA-L, 4 … 9 zlib."""
    if _fast is not None and level < FASTEST_ZLIB_ONLY:
        return _fast(data, level, GZIP_FORMAT)
    return zlib.compress(data, level, GZIP_FORMAT)


class Rows:
    """The pieces of a text row by row: of each column one for every row, or the one that all rows share."""

    def __init__(self, *columns: Sequence[bytes] | bytes) -> None:
        """One column at least has a piece for every row, and those that do have the same length."""
        self.columns = [one if isinstance(one, bytes | list) else list(one) for one in columns]

    def __iter__(self) -> Iterator[bytes]:
        rows = next(len(one) for one in self.columns if isinstance(one, list))
        columns = (repeat(one, rows) if isinstance(one, bytes) else one for one in self.columns)
        return chain.from_iterable(zip(*columns, strict=True))


@contextmanager
def joined(parts: Iterable[bytes]) -> Iterator[memoryview]:
    """The joined `parts`, to be read until this ends; where those of a request before were joined.

    Fresh memory for each large body costs more than the copy (page faults).
    """
    try:
        buffer = _used.pop()
    except IndexError:
        buffer = io.BytesIO()
    size = _write(buffer, parts)
    with buffer.getbuffer() as memory, memory[:size] as text:
        yield text
        keep = len(memory) <= LARGEST_KEPT and len(_used) < MOST_KEPT
    if keep:
        _used.append(buffer)


def _write(buffer: io.BytesIO, parts: Iterable[bytes], module: Any = native.FOUND.module) -> int:
    """Write the joined parts to the beginning of a buffer and say how many bytes they are."""
    if module is None:
        buffer.seek(0)
        buffer.writelines(parts)
        return buffer.tell()
    columns = parts.columns if isinstance(parts, Rows) else [list(parts)]
    with buffer.getbuffer() as memory:
        size: int = module.join(memory, columns)
        if size <= len(memory):
            return size
    buffer.seek(size - 1)
    buffer.write(b"\0")
    with buffer.getbuffer() as memory:
        module.join(memory, columns)
    return size


def compress_joined(parts: Iterable[bytes], level: int = 1) -> bytes:
    """Return what `compress` makes of the joined `parts`, joined where those of a request before were."""
    with joined(parts) as text:
        return compress(text, level)


def compress_zstd(data: bytes, level: int = 1) -> bytes:
    """Return `data` as one zstd frame that states its decompressed size; `level` 1 … 22."""
    # zstandard shrinks a buffer of the worst case in place, which leaves holes as large as `data` behind
    # every frame that is kept; a copy lets the buffer be used again.
    return bytes(memoryview(zstandard.ZstdCompressor(level=level).compress(data)))
