"""Elasticsearch, PostHog and a webhook receiver in one process: they fail as told and forget nothing.

    python destinations.py FAULTS SEED LATE SLOW      # prints the port of each, as JSON

A share FAULTS of all requests is answered badly, each way equally often: refused before anything was
taken, reset before, reset after, answered after LATE seconds, half an answer, and most of a bulk
request's items with 429. Every answer takes up to SLOW seconds.
`GET /history` answers with what was recorded, as MessagePack.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
from dataclasses import dataclass, field

import msgspec
import zstandard
from isal import isal_zlib
from xxhash import xxh3_64_intdigest

GZIP = 31
FAULTS = ("refuse", "reset", "reset_after", "late", "half_answer", "items")
AMBIGUOUS = {"reset_after", "late", "half_answer"}
CREATED = b'{"create":{"status":201}}'
BUSY = b'{"create":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"busy"}}}'
KNOWN = b'{"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"known"}}}'


class Named(msgspec.Struct):
    """What an event is recognised by."""

    mid: str = ""
    uuid: str = ""


class Action(msgspec.Struct):
    """The first line of two."""

    create: dict[str, str]


class Captured(msgspec.Struct):
    """A request of PostHog's."""

    batch: list[msgspec.Raw]


_named = msgspec.json.Decoder(Named).decode
_action = msgspec.json.Decoder(Action).decode
_captured = msgspec.json.Decoder(Captured).decode
_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass
class Destination:
    """Everything that ever came, by the destination's own id; `changed` came with other bytes later."""

    seen: dict[str, int] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    deliveries: int = 0
    requests: int = 0
    faults: int = 0
    ambiguous: int = 0

    def take(self, ident: str, data: bytes) -> None:
        """Record one event."""
        digest = xxh3_64_intdigest(data)
        self.deliveries += 1
        if self.seen.setdefault(ident, digest) != digest:
            self.changed.add(ident)

    def history(self) -> dict:
        """What was recorded."""
        return {
            "seen": self.seen, "changed": sorted(self.changed), "deliveries": self.deliveries,
            "requests": self.requests, "faults": self.faults, "ambiguous": self.ambiguous,
        }  # fmt: skip


def search(place: Destination, body: bytes, fault: str) -> bytes:
    """A bulk request: created, known before, or busy."""
    lines = body.split(b"\n")
    items = []
    for number in range(0, len(lines) - 1, 2):
        if fault == "items" and number % 4:
            items.append(BUSY)
            continue
        ident = _action(lines[number]).create["_id"]
        items.append(KNOWN if ident in place.seen else CREATED)
        place.take(ident, lines[number + 1])
    errors = b"true" if any(item is not CREATED for item in items) else b"false"
    return b'{"errors":%b,"items":[%b]}' % (errors, b",".join(items))


def product(place: Destination, body: bytes, _fault: str) -> bytes:
    """Capture V1: a verdict by uuid."""
    results = {}
    for event in _captured(body).batch:
        ident = _named(event).uuid
        place.take(ident, bytes(event))
        results[ident] = {"result": "ok"}
    return msgspec.json.encode({"results": results})


def hook(place: Destination, body: bytes, _fault: str) -> bytes:
    """An array of events."""
    for event in _array(body):
        place.take(_named(event).mid, bytes(event))
    return b"{}"


def inflated(body: bytes, encoding: str | None) -> bytes:
    """A body as it was before compression."""
    if encoding == "gzip":
        return isal_zlib.decompress(body, GZIP)
    return zstandard.ZstdDecompressor().decompress(body) if encoding == "zstd" else body


class Server:
    """One destination on a port of its own."""

    def __init__(self, answer, share: float, chance: random.Random, late: float, slow: float) -> None:
        self.place = Destination()
        self._answer, self._share, self._chance, self._late, self._slow = answer, share, chance, late, slow

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until one side has had enough."""
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in rest)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if first.startswith("GET /history"):
            return await reply(writer, 200, msgspec.msgpack.encode(self.place.history()))
        return await self._judge(writer, inflated(body, headers.get("content-encoding")))

    async def _judge(self, writer: asyncio.StreamWriter, body: bytes) -> bool:
        fault = self._chance.choice(FAULTS) if self._chance.random() < self._share else ""
        self.place.requests += 1
        self.place.faults += bool(fault)
        self.place.ambiguous += fault in AMBIGUOUS
        if fault in {"refuse", "reset"} or (fault == "items" and self._answer is not search):
            return await (reset(writer) if fault == "reset" else reply(writer, 503, b""))
        text = self._answer(self.place, body, fault)
        if self._slow:
            await asyncio.sleep(self._chance.uniform(0.0, self._slow))
        if fault == "reset_after":
            return await reset(writer)
        if fault == "half_answer":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
            await writer.drain()
            return False
        if fault == "late":
            await asyncio.sleep(self._late)
        return await reply(writer, 200, text)


async def reply(writer: asyncio.StreamWriter, status: int, text: bytes) -> bool:
    """Answer, and go on."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    writer.write(head.encode() + text)
    await writer.drain()
    return True


async def reset(writer: asyncio.StreamWriter) -> bool:
    """Break the connection off."""
    own = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


async def main(faults: float, seed: float, late: float, slow: float) -> None:
    """Serve until killed."""
    chance = random.Random(seed)
    ports = {}
    for answer in (product, search, hook):
        server = Server(answer, faults, chance, late, slow)
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**26)
        ports[answer.__name__] = listening.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)  # noqa: T201 - for the parent
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*map(float, sys.argv[1:])))
