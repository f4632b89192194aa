"""Read HTTP/1.1 requests from bytes, one at a time, within limits. Does no I/O.

The head is parsed by llhttp, which Node.js uses: it refuses a length beside chunks, bare line
feeds, folded fields and whatever else two servers in a row could read differently. A body of
known length is cut off here, so that nothing is parsed ahead of the request that is answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

import httptools

from bridge.intake.http_answers import Refused

if TYPE_CHECKING:
    from bridge.configuration.intake import HttpLimits

__all__ = ["END", "End", "Reader", "Request"]

BAD_REQUEST, HEAD_TOO_LONG, NO_SUCH_VERSION, TOO_LONG = 400, 431, 505, 413
HEAD_END = b"\r\n\r\n"
# A second one of these would let a proxy and us see different requests.
SINGLE = frozenset({"authorization", "content-encoding", "content-type", "host", "origin", "x-api-key"})
CHUNK_OVERHEAD = 4  # bytes on the wire for each byte of a body; sensible chunks need little more than one


class End(Enum):
    """A request's last byte."""

    END = "end"


END: Final = End.END


@dataclass(slots=True)
class Request:
    """The head of a request: upper-case `method`, `path` without query, lower-case `headers`.

    `length` is the body's, None where it comes in chunks. `persistent` says whether the client
    wants to go on afterwards.
    """

    method: str
    path: str
    version: str
    headers: dict[str, str]
    length: int | None
    persistent: bool
    peer: str = ""
    id: str = ""
    sender: str = ""
    channels: frozenset[str] = field(default=frozenset())


class Reader:
    """Takes bytes, gives a `Request`, then its body in pieces, then `END`; then the next one.

    `spoiled` says that bytes behind a request were lost, so that no other can be read.
    """

    def __init__(self, limits: HttpLimits) -> None:
        self.spoiled = False
        self._limits = limits
        self._reset()

    @property
    def begun(self) -> bool:
        """Whether a request is under way."""
        return self._head_bytes > 0

    def read(self, data: bytes) -> tuple[Request | bytes | End | None, bytes]:
        """What comes next (None: more is needed), and what is behind it; `Refused` if it is no HTTP."""
        if self._chunks is not None:
            return self._chunked(data)
        if self._left is None:
            return self._head(data)
        if not self._left:
            self._reset()
            return END, data
        if not data:
            return None, data
        piece, rest = data[: self._left], data[self._left :]
        self._left -= len(piece)
        return piece, rest

    def _reset(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._headed = self._complete = self._upgrade = self._persistent = False
        self._head_bytes = 0
        self._tail = b""
        self._left: int | None = None
        self._chunks: list[bytes] | None = None
        self._wire = 0

    def _head(self, data: bytes) -> tuple[Request | None, bytes]:
        while data and not self._headed:
            seen = len(self._tail)
            found = (self._tail + data).find(HEAD_END)
            end = len(data) if found < 0 else found + len(HEAD_END) - seen
            piece, data = data[:end], data[end:]
            self._tail = (self._tail + piece)[-3:] if found < 0 else b""
            self._head_bytes += len(piece)
            if self._head_bytes > self._limits.header_bytes:
                raise Refused(
                    HEAD_TOO_LONG, f"send at most {self._limits.header_bytes} bytes of header fields"
                )
            self._feed(piece)
            if len(self._fields) > self._limits.headers:
                raise Refused(HEAD_TOO_LONG, f"send at most {self._limits.headers} header fields")
        return (self._request() if self._headed else None), data

    def _chunked(self, data: bytes) -> tuple[bytes | End | None, bytes]:
        if self._complete:
            self._reset()
            return END, data
        if not data:
            return None, data
        self._wire += len(data)
        if self._wire > CHUNK_OVERHEAD * self._limits.body_bytes:
            raise Refused(TOO_LONG, "the chunks are too many for what they hold")
        self._chunks = []
        self._feed(data)
        return b"".join(self._chunks), b""

    def _feed(self, piece: bytes) -> None:
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            if not self._headed:
                raise Refused(BAD_REQUEST, "this is no request that can be answered here") from None
        except httptools.HttpParserCallbackError:
            self.spoiled = True  # the next request began in the chunks' last piece; see on_message_begin
        except httptools.HttpParserError as error:
            raise Refused(BAD_REQUEST, f"this is not HTTP/1.1: {error}") from None

    def _request(self) -> Request:
        version = self._parser.get_http_version()
        if version not in {"1.0", "1.1"}:
            raise Refused(NO_SUCH_VERSION, "HTTP/1.1 is spoken here")
        headers = _joined(self._fields)
        if version == "1.1" and "host" not in headers:
            raise Refused(BAD_REQUEST, "send one field Host")
        length: int | None = int(headers.get("content-length", 0))
        if "transfer-encoding" in headers:
            if version == "1.0" or headers["transfer-encoding"].lower() != "chunked":
                raise Refused(BAD_REQUEST, "the only Transfer-Encoding is chunked, and only in HTTP/1.1")
            length, self._chunks = None, []
            if self._upgrade:
                raise Refused(BAD_REQUEST, "an upgrade cannot come in chunks")
        self._left = length
        method = self._parser.get_method().decode("ascii")
        return Request(method, _path(self._target), version, headers, length, self._persistent)

    def on_message_begin(self) -> None:
        """As httptools calls it, also for a request that follows chunks in the same piece."""
        if self._complete:
            raise ValueError

    def on_url(self, piece: bytes) -> None:
        """As httptools calls it."""
        self._target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """As httptools calls it, for trailers too."""
        if not self._headed:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """As httptools calls it."""
        self._headed = True
        self._upgrade = self._parser.should_upgrade()
        self._persistent = self._parser.should_keep_alive() or self._upgrade

    def on_body(self, piece: bytes) -> None:
        """As httptools calls it."""
        if self._chunks is not None:
            self._chunks.append(piece)

    def on_message_complete(self) -> None:
        """As httptools calls it."""
        self._complete = True


def _joined(fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        if name in headers:
            if name in SINGLE:
                raise Refused(BAD_REQUEST, f"send the field {name} once")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def _path(target: bytes) -> str:
    """The path of `/path?query` or `http://host/path?query`, without a slash at its end."""
    text = target.decode("latin-1").partition("?")[0]
    if not text.startswith("/"):
        text = "/" + text.partition("://")[2].partition("/")[2]
    return text.rstrip("/") or "/"
