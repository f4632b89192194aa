"""Open what an operator names, plain or compressed, and read it forwards, block by block."""

from __future__ import annotations

import codecs
import io
import os
import stat
import sys
import tempfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Protocol, Self, cast

import zstandard

from bridge.errors import BridgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

__all__ = ["BLOCK", "DAMAGE", "STDIN", "Input", "Kind", "expanded", "reason_of"]

Kind = Literal["text", "zip", "sqlite"]

STDIN = "-"
BLOCK = 1024 * 1024
DAMAGE = (EOFError, OSError, ValueError, zlib.error, zstandard.ZstdError)
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
SQLITE = b"SQLite format 3\0"
# gzip that was written as if it were text: each byte above 7F became the two bytes of a UTF-8 character,
# or the one mark that stands for what could not be read
GZIP_AS_UTF8, GZIP_LOST = b"\x1f\xc2\x8b", b"\x1f\xef\xbf\xbd"
GZIP_FORMAT = 31
# A hostile archive expands 1,000 times (gzip) or 32,000 times (zstd); slices keep that to some MiB at once.
GZIP_SLICE, ZSTD_SLICE = 16 * 1024, 1024
KINDS: dict[Kind, str] = {"zip": "a zip archive", "sqlite": "an SQLite file"}


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
    """One file, or standard input for `-`; what it is and is compressed with is told by its first bytes.

    `kind` is text, however compressed, or one of the mobile app's archives. `total` is its size in
    bytes as it lies on disk (None: unknown), `position` how many of these were read.
    """

    def __init__(self, name: str) -> None:
        """Open it; `BridgeError` says why it cannot be read."""
        self.name = name
        self.position = 0
        self.total: int | None = None
        self._spool: IO[bytes] | None = None
        try:
            self._file = _open(name)
            self._first = _first_block(self._file)
        except OSError as error:
            raise BridgeError(f"{self}: cannot be read ({reason_of(error)})") from None
        self.kind = _kind(self._first)
        self._regular = name != STDIN and stat.S_ISREG((found := os.fstat(self._file.fileno())).st_mode)
        if self._regular:
            self.total = found.st_size

    def blocks(self) -> Iterator[bytes]:
        """The content in blocks, none empty; `BridgeError` where the file turns out damaged or cut off."""
        if self.kind != "text":
            raise BridgeError(f"{self}: {KINDS[self.kind]}, which only `bridge import` reads")
        try:
            yield from expanded(self._read)
        except DAMAGE as error:
            raise BridgeError(f"{self}: damaged or cut off ({reason_of(error)})") from None

    def place(self, most: int) -> Path:
        """A file with the same bytes that can be read from anywhere, until this is closed.

        What came through a pipe is copied first, `most` bytes at most; `BridgeError` if it is longer.
        """
        if self._regular:
            return Path(self.name)
        if self._spool is None:
            self._spool = tempfile.NamedTemporaryFile(prefix="sunbird-")  # noqa: SIM115 - closed with us
            for block in iter(self._read, b""):
                self._spool.write(block)
                if self.position > most:
                    raise BridgeError(f"{self}: longer than {most} bytes; write it to a file and name that")
            self._spool.flush()
        return Path(self._spool.name)

    def __str__(self) -> str:
        return "standard input" if self.name == STDIN else self.name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.name != STDIN:
            self._file.close()
        if self._spool is not None:
            self._spool.close()

    def _read(self) -> bytes:
        block, self._first = self._first or self._file.read1(BLOCK), b""
        self.position += len(block)
        return block


def expanded(read: Callable[[], bytes]) -> Iterator[bytes]:
    """What `read` gives block by block until b"", without the compression that its first bytes tell.

    One of DAMAGE is raised where the compressed bytes are at fault.
    """
    first = read()
    if first.startswith(GZIP_LOST):
        raise ValueError("it was read as text on its way and is beyond repair; have it sent again as a file")
    if first.startswith(ZSTD):
        return _members(zstandard.ZstdDecompressor().decompressobj, _sliced(first, read, ZSTD_SLICE))
    if first.startswith(GZIP):
        return _members(_gzip, _sliced(first, read, GZIP_SLICE))
    if first.startswith(GZIP_AS_UTF8):
        return _members(_gzip, _restored(_sliced(first, read, GZIP_SLICE)))
    return _sliced(first, read, BLOCK)


def reason_of(error: BaseException) -> str:
    """An exception's own words, or else its name."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _gzip() -> _Member:
    return zlib.decompressobj(GZIP_FORMAT)


def _sliced(first: bytes, read: Callable[[], bytes], size: int) -> Iterator[bytes]:
    block = first
    while block:
        for begin in range(0, len(block), size):
            yield block[begin : begin + size]
        block = read()


def _restored(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes that UTF-8 characters up to U+00FF stand for."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for piece in pieces:
        yield decoder.decode(piece).encode("latin-1")
    decoder.decode(b"", final=True)


def _members(begin: Callable[[], _Member], pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The content of compressed members that follow each other, perhaps with zeros between them."""
    member: _Member | None = None
    for piece in pieces:
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


def _kind(first: bytes) -> Kind:
    if first.startswith(ZIP):
        return "zip"
    return "sqlite" if first.startswith(SQLITE) else "text"


def _first_block(file: io.BufferedReader) -> bytes:
    """At least as much as it takes to tell what it is, however slowly it comes."""
    block = file.read1(BLOCK)
    while 0 < len(block) < len(SQLITE) and (more := file.read1(BLOCK)):
        block += more
    return block
