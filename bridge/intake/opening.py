"""Open what an operator names, plain or compressed, and read it forwards, block by block."""

from __future__ import annotations

import io
import os
import stat
import sys
import zlib
from typing import TYPE_CHECKING, Protocol, Self, cast

import zstandard

from bridge.errors import BridgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

__all__ = ["STDIN", "Input"]

STDIN = "-"
BLOCK = 1024 * 1024
DAMAGE = (EOFError, OSError, ValueError, zlib.error, zstandard.ZstdError)
GZIP, ZSTD, ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
GZIP_FORMAT = 31
# A hostile archive expands 1,000 times (gzip) or 32,000 times (zstd); slices keep that to some MiB at once.
GZIP_SLICE, ZSTD_SLICE = 16 * 1024, 1024


class _Member(Protocol):
    """A decompressor of one gzip member or one zstd frame."""

    @property
    def eof(self) -> bool:
        """Whether its end was reached."""

    @property
    def unused_data(self) -> bytes:
        """What came behind its end."""

    def decompress(self, data: bytes, /) -> bytes:
        """Content of the next compressed bytes."""


class Input:
    """One file, or standard input for `-`; what it is compressed with is told by its first bytes.

    `total` is its size in bytes as it lies on disk (None: unknown), `position` how many of
    these were read.
    """

    def __init__(self, name: str) -> None:
        """Open it; `BridgeError` says why it cannot be read."""
        self.name = name
        self.position = 0
        self.total: int | None = None
        try:
            self._file = _open(name)
            self._first = self._file.read1(BLOCK)
        except OSError as error:
            raise BridgeError(f"{self}: cannot be read ({_reason(error)})") from None
        if name != STDIN and stat.S_ISREG((found := os.fstat(self._file.fileno())).st_mode):
            self.total = found.st_size

    def blocks(self) -> Iterator[bytes]:
        """The content in blocks, none empty; `BridgeError` where the file turns out damaged or cut off."""
        try:
            yield from self._contents()
        except DAMAGE as error:
            raise BridgeError(f"{self}: damaged or cut off ({_reason(error)})") from None

    def __str__(self) -> str:
        return "standard input" if self.name == STDIN else self.name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.name != STDIN:
            self._file.close()

    def _contents(self) -> Iterator[bytes]:
        if self._first.startswith(GZIP):
            return self._members(lambda: zlib.decompressobj(GZIP_FORMAT), GZIP_SLICE)
        if self._first.startswith(ZSTD):
            decompressor = zstandard.ZstdDecompressor()
            return self._members(decompressor.decompressobj, ZSTD_SLICE)
        if self._first.startswith(ZIP):
            raise ValueError("a zip archive; unpack it first")
        return self._pieces(BLOCK)

    def _pieces(self, size: int) -> Iterator[bytes]:
        block = self._first
        while block:
            for begin in range(0, len(block), size):
                piece = block[begin : begin + size]
                self.position += len(piece)
                yield piece
            block = self._file.read1(BLOCK)

    def _members(self, begin: Callable[[], _Member], size: int) -> Iterator[bytes]:
        """The content of compressed members that follow each other, perhaps with zeros between them."""
        member: _Member | None = None
        for piece in self._pieces(size):
            rest = piece
            while rest := rest if member else rest.lstrip(b"\0"):
                member = member or begin()
                if content := member.decompress(rest):
                    yield content
                rest = member.unused_data
                member = None if member.eof else member
        if member is not None:
            raise EOFError("its end is missing")


def _open(name: str) -> io.BufferedReader:
    if name == STDIN:
        return cast("io.BufferedReader", sys.stdin.buffer)
    return io.BufferedReader(io.FileIO(name), BLOCK)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
