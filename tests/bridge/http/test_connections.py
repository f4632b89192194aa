"""Kept connections: which one is used next, which are closed, and in how many packets a request leaves."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from bridge import connections
from bridge.errors import TransientError
from bridge.tls import Tls

AT_ONCE = 4


@pytest.fixture
def crowd(serve, client, answer):
    """A client whose threads have opened `AT_ONCE` connections, and the number of requests on each."""
    everybody = threading.Barrier(AT_ONCE)
    served = []

    def script(peer):
        mine = len(served)
        served.append(0)
        while peer.receive():
            if mine < AT_ONCE and served[mine] == 0:
                everybody.wait(5)
            served[mine] += 1
            peer.send(answer())

    server, http = serve(script), client()

    def ask(_=None):
        return http.request("POST", server.url, content=b"x").status

    with ThreadPoolExecutor(AT_ONCE) as threads:
        assert list(threads.map(ask, range(AT_ONCE))) == [200] * AT_ONCE
    return http, ask, served


def test_the_connection_used_last_is_used_next(crowd):
    _, ask, served = crowd
    for _ in range(5):
        ask()
    assert sorted(served) == [1] * (AT_ONCE - 1) + [6]


def test_all_of_them_wait_for_more(crowd):
    http, _, _ = crowd
    assert len(http._transport._pool) == AT_ONCE


def test_a_request_asks_the_system_about_one_connection_only(crowd, monkeypatch):
    asked = []
    whole = connections._Connection.stale.fget
    monkeypatch.setattr(
        connections._Connection, "stale", property(lambda self: asked.append(self) or whole(self))
    )
    crowd[1]()
    assert len(asked) == 1


def test_connections_that_nobody_used_for_long_are_closed(crowd):
    http, ask, _ = crowd
    pool = http._transport._pool
    now = pool._clock()
    pool._clock = lambda: now + connections.IDLE_SECONDS + 1
    ask()
    assert len(pool) == 1


def test_connections_that_are_too_many_are_closed(crowd):
    http, ask, _ = crowd
    http._transport._pool._most = 2
    ask()
    assert len(http._transport._pool) == 2


def test_nothing_is_kept_once_the_client_is_closed(crowd):
    http, ask, _ = crowd
    http.close()
    assert len(http._transport._pool) == 0
    assert ask() == 200  # a sender that was late
    assert len(http._transport._pool) == 0


def test_two_servers_have_connections_of_their_own(serve, client):
    first, second, http = serve(), serve(), client()
    for _ in range(3):
        for server in (first, second):
            assert http.request("POST", server.url, content=b"x").status == 200
    assert (first.connections, second.connections) == (1, 1)


def test_a_connection_is_not_shared_while_its_answer_is_read(serve, client, answer):
    half, rest = threading.Event(), threading.Event()

    def script(peer):
        while received := peer.receive():
            whole = answer()
            if received.body == b"slow":
                peer.send(whole[:-1])
                half.set()
                rest.wait(5)
                whole = whole[-1:]
            peer.send(whole)

    server, http = serve(script), client()
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(http.request, "POST", server.url, content=b"slow")
        assert half.wait(5)
        assert http.request("POST", server.url, content=b"quick").body == b"ok"
        rest.set()
        assert slow.result().body == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize("size", [0, 1, 100_000, 5_000_000])
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_body_of_any_size_arrives_whole(serve, client, authority, size, encrypted):
    tls = authority.context(authority.issue("127.0.0.1")) if encrypted else None
    server, http = serve(tls=tls), client(tls=Tls(ca_file=authority.ca_file))
    for _ in range(2):
        body = bytes(range(256)) * (size // 256 + 1)
        assert http.request("POST", server.url, content=body[:size]).status == 200
        assert server.requests[-1].body == body[:size]
    assert server.connections == 1


@pytest.mark.parametrize("encrypted", [False, True])
def test_an_answer_of_many_records_is_read_whole(serve, client, authority, answer, encrypted):
    tls = authority.context(authority.issue("127.0.0.1")) if encrypted else None
    body = bytes(range(256)) * 4_000
    server = serve(tls=tls, reply=lambda _: answer(body=body))
    http = client(tls=Tls(ca_file=authority.ca_file), max_answer=2_000_000)
    assert http.request("GET", server.url).body == body


def test_head_and_body_leave_together(serve, client, answer):
    packets = []

    def script(peer):
        while data := peer.sock.recv(1 << 20):
            packets.append(data)
            peer.send(answer())

    http, server = client(), serve(script)
    http.request("POST", server.url, content=b"x" * 1_000)
    http.request("GET", server.url)
    assert [data.partition(b"\r\n\r\n")[2] for data in packets] == [b"x" * 1_000, b""]


def test_a_connection_is_not_used_again_when_not_all_was_sent(serve, client, answer):
    def script(peer):
        peer.sock.recv(1)
        peer.send(answer(413))
        peer.reset()

    server, http = serve(script), client()
    for _ in range(2):
        with suppress(TransientError):  # the reset may take the answer with it
            assert http.request("POST", server.url, content=bytes(20_000_000)).status == 413
        assert len(http._transport._pool) == 0
    assert server.connections == 2


def test_a_long_quiet_connection_is_replaced(serve, client):
    server, http = serve(), client()
    http.request("GET", server.url)
    pool = http._transport._pool
    now = pool._clock()
    pool._clock = lambda: now + connections.IDLE_SECONDS
    http.request("GET", server.url)
    assert server.connections == 2


def test_a_receiver_that_does_not_read_cannot_hold_a_request_beyond_its_deadline(serve, client):
    server = serve(lambda peer: peer.hang())
    with pytest.raises(TransientError, match="no complete answer within"):
        client().request("POST", server.url, content=bytes(50_000_000), deadline=0.2)
