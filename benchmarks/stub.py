"""A destination on loopback that takes everything: Elasticsearch, PostHog and webhooks. A process of its own.

python -m benchmarks.stub [--latency SECONDS]      # prints its port
"""

from __future__ import annotations

import argparse
import asyncio
import re

import zstandard
from isal import isal_zlib

GZIP = 31
OK = b'{"status":"Ok"}'
UUIDS = re.compile(rb'"uuid": ?"([0-9a-f-]{36})"')  # wherever a client puts it


def inflate(body: bytes, encoding: str) -> bytes:
    """The request's body as it was before compression."""
    if encoding == "gzip":
        return isal_zlib.decompress(body, GZIP)
    if encoding == "zstd":
        return zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True).read()
    return body


def answer(path: str, body: bytes, encoding: str) -> bytes:
    """What the real destination would say to a request it likes."""
    if path.startswith("/_bulk"):
        items = inflate(body, encoding).count(b"\n") // 2
        item = b'{"create":{"status":201}}'
        return b'{"errors":false,"items":[' + b",".join([item] * items) + b"]}"
    if path.startswith("/i/v1/analytics/events"):
        # Not decoded: the processors are shared, and a busy neighbour makes every second of ours dearer.
        verdicts = b'":{"result":"ok"},"'.join(UUIDS.findall(inflate(body, encoding)))
        return b'{"results":{"%b":{"result":"ok"}}}' % verdicts if verdicts else b'{"results":{}}'
    if path == "/":
        return b'{"version":{"number":"3.0.0","distribution":"opensearch"}}'
    return OK


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, latency: float) -> None:
    """One connection."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            first, *rest = head.decode("latin-1").split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in rest)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            text = answer(first.split(" ")[1], body, headers.get("content-encoding", ""))
            if latency:
                await asyncio.sleep(latency)
            kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
            writer.write(kind + str(len(text)).encode() + b"\r\n\r\n" + text)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.0)
    latency = parser.parse_args().latency
    server = await asyncio.start_server(lambda r, w: serve(r, w, latency), "127.0.0.1", 0, limit=2**26)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
