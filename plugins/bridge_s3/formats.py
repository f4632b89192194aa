"""How a run of events becomes bytes, and the runs of a group one object. Pure."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import zstandard

from bridge.compression import compress, compress_zstd
from bridge.errors import PluginError
from bridge.sinks import Pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from bridge.events import Event
    from bridge_s3.config import S3Config

__all__ = ["Format", "Lines", "format_of"]

ENCODERS: Mapping[str, Callable[[bytes], bytes]] = {"gzip": compress, "zstd": compress_zstd, "none": bytes}
ENDINGS: Mapping[str, str] = {"gzip": ".gz", "zstd": ".zst", "none": ""}
GZIP_FORMAT = 31


class Format(ABC):
    """One way to store events. `suffix` ends the object's name."""

    suffix: str

    @abstractmethod
    def pack(self, group: str, events: Sequence[Event], lines: Sequence[bytes]) -> Pack:
        """A run of events of one group, compressed."""

    @abstractmethod
    def body(self, parts: Sequence[bytes]) -> Sequence[bytes]:
        """The object that these packs make, in parts."""

    @abstractmethod
    def show(self, parts: Sequence[bytes]) -> str:
        """An object's content for people, one event a line."""

    @abstractmethod
    def count(self, pieces: Iterable[bytes]) -> int:
        """The events in an object that comes in pieces; `ValueError` if it is damaged."""


class Lines(Format):
    """JSON Lines: each event's own bytes, untouched. Packs are gzip members or zstd frames, or plain."""

    def __init__(self, codec: str, stem: str = ".jsonl") -> None:
        self._codec = codec
        self.suffix = stem + ENDINGS[codec]

    def pack(self, group: str, events: Sequence[Event], lines: Sequence[bytes]) -> Pack:  # noqa: ARG002 - bytes are all
        """See `Format.pack`."""
        return Pack(group, len(lines), ENCODERS[self._codec](b"\n".join([*lines, b""])))

    def body(self, parts: Sequence[bytes]) -> Sequence[bytes]:
        """Members and frames are made to be joined."""
        return parts

    def show(self, parts: Sequence[bytes]) -> str:
        """See `Format.show`."""
        return b"".join(self._plain(parts)).decode("utf-8", "replace")

    def count(self, pieces: Iterable[bytes]) -> int:
        """See `Format.count`."""
        return sum(piece.count(b"\n") for piece in self._plain(pieces))

    def _plain(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        try:
            yield from DECODERS[self._codec](pieces)
        except (zlib.error, zstandard.ZstdError) as error:
            raise ValueError(f"damaged {self._codec} data: {error}") from None


def _gunzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(GZIP_FORMAT)
    for piece in pieces:
        rest = piece
        while rest:
            if member.eof:
                member = zlib.decompressobj(GZIP_FORMAT)
            yield member.decompress(rest)
            rest = member.unused_data
    if not member.eof:
        raise zlib.error("it ends too early")


def _unzstd(pieces: Iterable[bytes]) -> Iterator[bytes]:
    frame = zstandard.ZstdDecompressor().decompressobj()
    for piece in pieces:
        rest = piece
        while rest:
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(rest)
            rest = frame.unused_data
    if not frame.eof:
        raise zstandard.ZstdError("it ends too early")


DECODERS: Mapping[str, Callable[[Iterable[bytes]], Iterator[bytes]]] = {
    "gzip": _gunzip,
    "zstd": _unzstd,
    "none": iter,
}


def format_of(config: S3Config) -> Format:
    """The format a configuration asks for; `PluginError` if pyarrow is not installed for Parquet."""
    if config.format == "jsonl":
        return Lines(config.codec, ".json" if config.layout == "secor" else ".jsonl")
    try:
        from bridge_s3.parquet import Rows  # noqa: PLC0415 - 170 MB that only Parquet needs
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise PluginError(
            "format = \"parquet\" needs pyarrow: pip install 'sunbird-bridge[parquet]'"
        ) from None
    return Rows(config.codec)
