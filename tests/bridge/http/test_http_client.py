"""What the client sends, what it returns and what it refuses to do."""

from __future__ import annotations

import socket
import threading
import zlib

import httpx
import pytest

from bridge.errors import SetupError, TransientError


def test_an_answer_has_its_status_headers_and_body(serve, client, answer):
    server = serve(reply=lambda _: answer(422, b"no", {"X-Reason": "because"}))
    got = client().request("POST", f"{server.url}/in?a=1", content=b"{}", headers={"X-A": "b"})
    assert (got.status, got.body, got.headers["x-reason"]) == (422, b"no", "because")
    assert got.peer == f"127.0.0.1 port {server.port}, no TLS"
    (request,) = server.requests
    assert (request.method, request.target, request.body) == ("POST", "/in?a=1", b"{}")
    assert request.headers["x-a"] == "b"


def test_a_large_body_arrives_unchanged(serve, client):
    body = bytes(range(256)) * 20_000
    server = serve()
    client().request("PUT", server.url, content=body)
    assert server.requests[0].body == body
    assert server.requests[0].headers["content-length"] == str(len(body))


def test_no_encoded_answer_is_asked_for(serve, client):
    server = serve()
    client().request("GET", server.url)
    assert server.requests[0].headers["accept-encoding"] == "identity"


def test_a_callers_header_replaces_the_default(serve, client):
    server = serve()
    client().request("GET", server.url, headers={"User-Agent": "mine"})
    assert server.requests[0].headers["user-agent"] == "mine"


def test_a_gzip_bomb_stays_folded(serve, client, answer):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(bytes(20_000_000)) + packer.flush()
    server = serve(reply=lambda _: answer(200, bomb, {"content-encoding": "gzip"}))
    assert client().request("GET", server.url).body == bomb


def test_an_answer_up_to_the_cap_is_read_whole(serve, client, answer):
    server = serve(reply=lambda _: answer(200, b"x" * 1000))
    assert len(client(max_answer=1000).request("GET", server.url).body) == 1000


def test_an_answer_above_the_cap_is_transient(serve, client, answer):
    server = serve(reply=lambda _: answer(200, b"x" * 1001))
    with pytest.raises(TransientError, match="longer than 1000 bytes"):
        client(max_answer=1000).request("GET", server.url)


def test_an_endless_answer_can_be_cut_instead(serve, client):
    def endless(peer):
        peer.receive()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.send(b"x" * 10_000)

    got = client(max_answer=1000, cut_long_answers=True).request("GET", serve(endless).url)
    assert got.body == b"x" * 1000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(serve, client, answer, connects, status):
    server = serve(
        reply=lambda _: answer(status, b"", {"location": "http://169.254.169.254/latest/meta-data"})
    )
    assert client().request("POST", server.url, content=b"x").status == status
    assert connects == [("127.0.0.1", server.port)]


def test_proxies_of_the_environment_are_ignored(serve, client, monkeypatch, connects):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server = serve()
    assert client().request("GET", server.url).status == 200
    assert connects == [("127.0.0.1", server.port)]


def test_cookies_are_not_kept(serve, client, answer):
    server = serve(reply=lambda _: answer(200, b"", {"set-cookie": "a=b"}))
    http = client()
    http.request("GET", server.url)
    http.request("GET", server.url)
    assert "cookie" not in server.requests[1].headers


def test_a_connection_is_used_again(serve, client):
    server = serve()
    http = client()
    for _ in range(5):
        http.request("POST", server.url, content=b"x")
    assert server.connections == 1


def test_a_connection_the_server_closed_while_idle_is_not_used_again(serve, client, answer):
    closed = threading.Event()

    def one_only(peer):
        peer.receive()
        peer.send(answer())
        peer.sock.shutdown(socket.SHUT_RDWR)
        closed.set()

    server = serve(one_only)
    http = client()
    for _ in range(3):
        closed.clear()
        assert http.request("GET", server.url).status == 200
        closed.wait(5)
    assert server.connections == 3


def test_after_five_minutes_the_name_is_resolved_again(serve, client):
    server = serve()
    asked = []

    def resolve(host, port):
        asked.append(host)
        return ["127.0.0.1"]

    now = [1000.0]
    http = client(resolver=resolve, clock=lambda: now[0])
    for moment in (1000.0, 1299.0, 1301.0, 1302.0):
        now[0] = moment
        http.request("GET", f"http://hooks.example:{server.port}/")
    assert asked == ["hooks.example"] * 2
    assert server.connections == 2
    assert server.requests[0].headers["host"] == f"hooks.example:{server.port}"


def test_the_next_address_is_tried_when_one_refuses(serve, client):
    server = serve()
    http = client(resolver=lambda *_: ["127.0.0.2", "127.0.0.1"])
    assert http.request("GET", f"http://two.example:{server.port}/").peer.startswith("127.0.0.1 ")


def test_many_threads_share_one_client(serve, client, answer):
    server = serve(reply=lambda received: answer(200, received.body))
    http = client()
    wrong = []

    def work(number):
        for turn in range(20):
            body = b"%d-%d" % (number, turn)
            if http.request("POST", server.url, content=body).body != body:
                wrong.append(body)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(server.requests) == 160


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "hooks.example/in",
        "",
        "http://",
        "http://[::1",
        "http://0177.0.0.1/",
        "file:///etc/passwd",
    ],
)
def test_an_address_that_is_no_web_address_is_a_setup_error(client, connects, url):
    with pytest.raises(SetupError):
        client().request("GET", url)
    assert connects == []


@pytest.mark.parametrize("value", ["canary\r\nx-evil: 1", "canary\x00", "canary\u20ac", "canary\nfoo"])
def test_a_header_that_http_cannot_carry_is_a_setup_error_without_its_value(serve, client, value):
    server = serve()
    with pytest.raises(SetupError) as caught:
        client().request("POST", server.url, headers={"authorization": value})
    assert "canary" not in str(caught.value)
    assert server.requests == []


def test_a_transport_can_be_given_for_tests(client):
    seen = []

    def handle(request):
        seen.append(request.headers["accept-encoding"])
        return httpx.Response(201, content=b"made")

    got = client(transport=httpx.MockTransport(handle)).request(
        "POST", "https://hooks.example/", content=b"{}"
    )
    assert (got.status, got.body, got.peer) == (201, b"made", "")
    assert seen == ["identity"]


def test_a_deadline_of_one_request_overrules_the_clients(serve, client):
    def never(peer):
        peer.receive()
        peer.hang()

    with pytest.raises(TransientError, match=r"within 0\.1 s"):
        client().request("GET", serve(never).url, deadline=0.1)
