"""Every way an exchange can break: which error it is, and that none outlives the deadline."""

from __future__ import annotations

import errno
import socket
import threading

import pytest

from bridge.errors import SetupError, ThrottledError, TransientError
from bridge.http import HttpClient

BIG = b"x" * 8_000_000


def reset_at_once(peer):
    peer.reset()


def reset_in_the_request(peer):
    peer.sock.recv(10)
    peer.reset()


def reset_after_the_request(peer):
    peer.receive()
    peer.reset()


def reset_in_the_head(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-le")
    peer.reset()


def reset_in_the_body(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
    peer.reset()


def close_without_an_answer(peer):
    peer.receive()


def close_in_the_head(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-le")


def close_in_the_body(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")


def close_in_a_chunk(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\nhalf")


def close_before_the_last_chunk(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")


def half_close(peer):
    peer.receive()
    peer.sock.shutdown(socket.SHUT_WR)
    peer.hang()


def speak_something_else(peer):
    peer.receive()
    peer.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


def two_lengths(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc")


def huge_headers(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\n")
    for _ in range(20):
        peer.send(b"x-pad: " + b"p" * 1_000_000 + b"\r\n")


def endless_header_line(peer):
    peer.receive()
    while True:
        peer.send(b"p" * 100_000)


@pytest.mark.parametrize(
    "script",
    [
        reset_at_once,
        reset_in_the_request,
        reset_after_the_request,
        reset_in_the_head,
        reset_in_the_body,
        close_without_an_answer,
        close_in_the_head,
        close_in_the_body,
        close_in_a_chunk,
        close_before_the_last_chunk,
        half_close,
        speak_something_else,
        two_lengths,
        huge_headers,
        endless_header_line,
    ],
)
def test_an_exchange_that_breaks_off_is_transient(serve, client, script):
    server = serve(script)
    with pytest.raises(TransientError) as caught:
        client(deadline=5.0).request("POST", server.url, content=b"{}")
    assert not isinstance(caught.value, ThrottledError)
    assert len(str(caught.value)) <= 200


def never_answer(peer):
    peer.receive()
    peer.hang()


def drip_the_head(peer):
    peer.receive()
    peer.drip(b"HTTP/1.1 200 OK\r\nx-slow: " + b"s" * 10_000)


def drip_the_body(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n")
    peer.drip(b"s" * 10_000)


def drip_chunks(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    peer.drip(b"1\r\ns\r\n" * 2_000)


def continue_for_ever(peer):
    peer.receive()
    while not peer.server.closing.wait(0.02):
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")


def read_nothing(peer):
    peer.hang()


@pytest.mark.parametrize(
    "script", [never_answer, drip_the_head, drip_the_body, drip_chunks, continue_for_ever, read_nothing]
)
def test_the_deadline_holds_whatever_the_server_does(serve, client, script):
    server = serve(script)
    with pytest.raises(TransientError, match=r"no complete answer within 0\.3 s"):
        client(deadline=0.3).request("POST", server.url, content=BIG)


def test_the_deadline_holds_while_a_name_is_resolved(client):
    release = threading.Event()

    def slow(host, port):
        release.wait(5)
        return ["127.0.0.1"]

    with pytest.raises(TransientError, match=r"within 0\.1 s"):
        client(deadline=0.1, resolver=slow).request("GET", "http://slow.example/")
    release.set()


def test_a_connection_that_is_not_accepted_is_transient(client):
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    waiting = [socket.socket() for _ in range(3)]
    for sock in waiting:
        sock.setblocking(False)  # noqa: FBT003
        sock.connect_ex(full.getsockname())
    with pytest.raises(TransientError, match="timed out"):
        client(connect_timeout=0.1).request("GET", f"http://127.0.0.1:{full.getsockname()[1]}/")
    for sock in [*waiting, full]:
        sock.close()


def test_a_refused_connection_is_transient(client):
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    with pytest.raises(TransientError, match=f"cannot connect to 127.0.0.1:{port} .*refused"):
        client().request("GET", f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_NODATA])
def test_a_name_that_does_not_exist_is_a_setup_error(client, code):
    def unknown(host, port):
        raise socket.gaierror(code, "Name or service not known")

    with pytest.raises(SetupError, match=r"there is no host named hooks\.example"):
        client(resolver=unknown).request("GET", "https://hooks.example/")


@pytest.mark.parametrize("code", [socket.EAI_AGAIN, socket.EAI_FAIL])
def test_a_name_server_that_is_down_is_transient(client, code):
    def broken(host, port):
        raise socket.gaierror(code, "Temporary failure in name resolution")

    with pytest.raises(TransientError, match="cannot resolve"):
        client(resolver=broken).request("GET", "https://hooks.example/")


def test_a_label_that_dns_cannot_carry_is_a_setup_error(client):
    with pytest.raises(SetupError):
        client().request("GET", "https://" + "a" * 70 + ".example/")


@pytest.mark.parametrize("host", [".example", "hooks..example"])
def test_a_name_that_tls_cannot_carry_is_a_setup_error(client, connects, host):
    with pytest.raises(SetupError, match="cannot be a host name"):
        client(resolver=lambda *_: ["127.0.0.1"]).request("GET", f"https://{host}/")
    assert connects == []


def test_a_host_that_has_only_ipv6_is_reached(client):
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")

    def serve_once():
        sock, _ = listener.accept()
        with sock:
            sock.recv(65_536)
            sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    thread = threading.Thread(target=serve_once)
    thread.start()
    got = client(resolver=lambda *_: ["::1"]).request(
        "GET", f"http://six.example:{listener.getsockname()[1]}/"
    )
    thread.join()
    listener.close()
    assert (got.status, got.peer.split(" ")[0]) == (204, "::1")


def test_a_resolver_without_addresses_is_a_setup_error(client):
    with pytest.raises(SetupError, match="no address"):
        client(resolver=lambda *_: []).request("GET", "https://hooks.example/")


def test_too_many_open_files_are_transient(client, monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket.socket, "connect", full)
    with pytest.raises(TransientError, match="Too many open files"):
        client().request("GET", "http://127.0.0.1/")


def test_an_answer_that_comes_before_the_whole_request_was_sent_counts(serve, client, answer):
    def early(peer):
        peer.sock.recv(1000)
        peer.send(answer(413, b"too much"))
        peer.sock.shutdown(socket.SHUT_WR)
        while peer.sock.recv(65_536):
            pass

    assert client(deadline=5.0).request("POST", serve(early).url, content=BIG).status == 413


def test_a_100_continue_is_passed_over(serve, client, answer):
    def patient(peer):
        peer.receive()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(202, b""))

    assert client().request("POST", serve(patient).url, content=b"x").status == 202


def test_an_http_1_0_answer_ends_with_its_connection(serve, client):
    def old(peer):
        peer.receive()
        peer.send(b"HTTP/1.0 200 OK\r\n\r\nall of it")

    assert client().request("GET", serve(old).url).body == b"all of it"


def test_bytes_after_a_wrong_content_length_are_never_taken_for_the_next_answer(serve, client):
    def liar(peer):
        while peer.receive():
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 500 Smuggled\r\n\r\n")

    server = serve(liar)
    http = client()
    for _ in range(3):
        assert http.request("POST", server.url, content=b"x").body == b"ok"
        with pytest.raises(TransientError, match="answered before it was asked"):
            http.request("POST", server.url, content=b"x")


def test_a_client_recovers_on_the_same_object(serve, client, answer):
    turns = iter([reset_in_the_body, drip_the_body])

    def moody(peer):
        script = next(turns, None)
        if script:
            script(peer)
            return
        while peer.receive():
            peer.send(answer())

    server = serve(moody)
    http = client()
    for _ in range(2):
        with pytest.raises(TransientError):
            http.request("POST", server.url, content=b"x", deadline=0.3)
    assert http.request("POST", server.url, content=b"x").status == 200


def test_nothing_is_left_open_after_a_fault(serve):
    server = serve(close_in_the_body)
    with HttpClient() as http:
        for _ in range(3):
            with pytest.raises(TransientError):
                http.request("POST", server.url, content=b"x")
        assert len(http._transport._pool) == 0
