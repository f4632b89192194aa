"""The scripted destination does what it is told, and nothing of it is left afterwards."""

from __future__ import annotations

import gzip
import threading

import pytest
import zstandard

from bridge.errors import TransientError
from bridge.http import HttpClient
from bridge.testing import Destination, Fault, Reply, Request


@pytest.fixture
def destination():
    with Destination() as destination:
        yield destination


@pytest.fixture
def client():
    with HttpClient(deadline=0.3) as client:
        yield client


def test_a_reply_arrives_as_it_was_written(destination, client):
    destination.answer = lambda request: Reply(418, b"short and stout", {"x-kind": request.method})
    answer = client.request("POST", destination.url + "/tea", content=b"water")
    assert (answer.status, answer.body, answer.headers["x-kind"]) == (418, b"short and stout", "POST")
    (request,) = destination.requests
    assert (request.path, request.body) == ("/tea", b"water")


def test_queued_replies_come_first_and_once(destination, client):
    destination.queue(Reply(503), Reply(429))
    assert [client.request("GET", destination.url).status for _ in range(3)] == [503, 429, 200]


@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_is_one(destination, client, fault):
    destination.answer = lambda request: fault
    with pytest.raises(TransientError):
        client.request("GET", destination.url)


def test_an_answer_without_a_body_has_no_length(destination, client):
    destination.answer = lambda request: Reply(204)
    assert "content-length" not in client.request("GET", destination.url).headers


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress), ("identity", bytes)],
)
def test_the_content_of_a_request_is_unpacked(encoding, encode):
    request = Request("POST", "/", {"content-encoding": encoding}, encode(b'{"a": 1}'))
    assert request.json() == {"a": 1}


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_that_is_not_what_its_header_says_is_found(encoding):
    with pytest.raises(ValueError, match=f"the body is not {encoding}"):
        _ = Request("POST", "/", {"content-encoding": encoding}, b"{}").content


def test_a_chunked_request_is_put_together(destination):
    import socket

    with socket.create_connection(("127.0.0.1", destination.port)) as sock:
        sock.sendall(
            b"POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
        )
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
    assert destination.requests[0].body == b"abcde"


def test_no_thread_and_no_port_is_left(client):
    before = threading.active_count()
    with Destination() as destination:
        client.request("GET", destination.url)
        destination.answer = lambda request: Fault.HANG
        with pytest.raises(TransientError):
            client.request("GET", destination.url)
    assert threading.active_count() == before
    with pytest.raises(TransientError):
        client.request("GET", destination.url)
