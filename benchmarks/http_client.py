"""What the careful HTTP client costs beside plain httpx: CPU time of a POST to loopback.

    python benchmarks/http_client.py

The receiver runs in a process of its own; figures are the best of five rounds, process time of
the client's side. Both use one kept connection.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import httpx

from bridge.http import HttpClient

ROUNDS = 5
SIZES = {1_000: 300, 100_000: 300, 1_000_000: 200, 4_000_000: 50}
HEADERS = {"content-type": "application/json"}
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def receive(connection):
    """Answer requests of one connection until it is closed."""
    buffer = b""
    while data := connection.recv(1 << 20):
        buffer += data
        head, mark, body = buffer.partition(b"\r\n\r\n")
        if not mark:
            continue
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        missing = length - len(body)
        while missing > 0:
            missing -= len(connection.recv(1 << 20))
        connection.sendall(ANSWER)
        buffer = b""


def serve():
    """Print the port, then answer one connection after another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                receive(connection)


def cost(post, times):
    """Microseconds of CPU a call, best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(times):
            post()
        best = min(best, time.process_time() - start)
    return best / times * 1e6


def main():
    receiver = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{int(receiver.stdout.readline())}/"
        print(f"{'body bytes':>12} {'httpx us':>10} {'ours us':>10}")
        for size, times in SIZES.items():
            body = b"x" * size
            with httpx.Client(trust_env=False) as plain:
                theirs = cost(lambda c=plain, b=body: c.post(url, content=b, headers=HEADERS), times)
            with HttpClient() as client:
                ours = cost(
                    lambda c=client, b=body: c.request("POST", url, content=b, headers=HEADERS), times
                )
            print(f"{size:>12,} {theirs:>10.0f} {ours:>10.0f}")
    finally:
        receiver.terminate()
        receiver.wait()


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
