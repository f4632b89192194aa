"""Compress bytes in one shot: the same input and versions give the same output, always.

gzip comes from ISA-L (four times faster than zlib at level 1), or from zlib where ISA-L has
no build; the two differ in their bytes. Headers carry no time and no file name.
"""

from __future__ import annotations

import io
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["compress", "compress_joined", "compress_zstd", "joined"]

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


@contextmanager
def joined(parts: Iterable[bytes]) -> Iterator[memoryview]:
    """The joined `parts`, to be read until this ends; where those of a request before were joined.

    Fresh memory for each large body costs more than the copy (page faults).
    """
    try:
        buffer = _used.pop()
    except IndexError:
        buffer = io.BytesIO()
    buffer.seek(0)
    buffer.writelines(parts)
    with buffer.getbuffer() as memory, memory[: buffer.tell()] as text:
        yield text
        keep = len(memory) <= LARGEST_KEPT and len(_used) < MOST_KEPT
    if keep:
        _used.append(buffer)


def compress_joined(parts: Iterable[bytes], level: int = 1) -> bytes:
    """Return what `compress` makes of the joined `parts`, joined where those of a request before were."""
    with joined(parts) as text:
        return compress(text, level)


def compress_zstd(data: bytes, level: int = 1) -> bytes:
    """Return `data` as one zstd frame that states its decompressed size; `level` 1 … 22."""
    # zstandard shrinks a buffer of the worst case in place, which leaves holes as large as `data` behind
    # every frame that is kept; a copy lets the buffer be used again.
    return bytes(memoryview(zstandard.ZstdCompressor(level=level).compress(data)))
