"""The outcome table, row by row, against a real socket."""

from __future__ import annotations

import datetime as dt
import gzip
import socket

import pytest

from bridge.errors import RejectedError, SetupError, ThrottledError, TransientError
from bridge.sinks import DELIVERED, DUPLICATE


@pytest.fixture
def attempt(serve, connect, answer, send):
    """Send three events to a receiver that answers like this; what it means, or the error."""

    def run(status, body=b"", headers=None, **config):
        sink = connect(serve(reply=lambda _: answer(status, body, headers)), **config)
        return send(sink, 3)

    return run


@pytest.mark.parametrize("status", [200, 201, 202, 204, 207, 299])
def test_2xx_is_delivered(attempt, status):
    assert attempt(status) == [DELIVERED] * 3


def test_a_page_of_html_is_still_a_yes(attempt):
    assert attempt(200, b"<html>" + b"x" * 1000, {"content-type": "text/html"}) == [DELIVERED] * 3


def test_a_yes_with_an_endless_body_is_a_yes(serve, connect, send):
    def talkative(peer):
        peer.receive()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.send(b"x" * 65_536)

    sink = connect(serve(talkative))
    assert send(sink, 2) == [DELIVERED] * 2


def test_a_yes_packed_as_a_bomb_is_a_yes(attempt):
    bomb = gzip.compress(bytes(5_000_000))
    assert attempt(200, bomb, {"content-encoding": "gzip"}) == [DELIVERED] * 3


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_a_setup_error_and_is_not_followed(attempt, connects, status):
    with pytest.raises(SetupError, match=f"HTTP {status}"):
        attempt(status, b"", {"location": "http://169.254.169.254/latest/meta-data/"})
    assert {host for host, _port in connects} == {"127.0.0.1"}


@pytest.mark.parametrize("status", [400, 404, 405, 411, 415, 422])
def test_refused_data_is_rejected_with_the_receivers_words(attempt, status):
    with pytest.raises(RejectedError, match=f"HTTP {status}: no such field: x") as caught:
        attempt(status, b"no such field:\n  x")
    assert caught.value.code == f"http_{status}"


def test_too_large_a_request_is_rejected_so_that_the_host_halves_it(attempt):
    with pytest.raises(RejectedError) as caught:
        attempt(413)
    assert (caught.value.code, str(caught.value)) == ("too_large", "HTTP 413: no reason given")


@pytest.mark.parametrize("status", [401, 403, 407])
def test_being_kept_out_is_a_setup_error(attempt, status):
    with pytest.raises(SetupError, match="credentials"):
        attempt(status)


def test_a_conflict_is_a_duplicate(attempt):
    assert attempt(409) == [DUPLICATE] * 3


def test_a_conflict_can_be_a_refusal(attempt):
    with pytest.raises(RejectedError) as caught:
        attempt(409, b"taken", on_conflict="reject")
    assert (caught.value.code, str(caught.value)) == ("http_409", "HTTP 409: taken")


def test_a_conflict_can_be_something_that_passes(attempt):
    with pytest.raises(TransientError, match="409"):
        attempt(409, on_conflict="retry")


@pytest.mark.parametrize("status", [408, 425, 500, 501, 502, 504, 507, 599])
def test_server_faults_are_tried_again(attempt, status):
    with pytest.raises(TransientError) as caught:
        attempt(status)
    assert not isinstance(caught.value, ThrottledError)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("3", 3.0),
        ("0", 1.0),
        ("1000000000000", 3600.0),
        ("Mon, 05 Jan 2026 09:31:02 GMT", pytest.approx(59.75)),
        ("Mon, 05 Jan 2026 09:00:00 GMT", 1.0),
    ],
)
def test_retry_after_is_obeyed_between_a_second_and_an_hour(attempt, status, text, after):
    with pytest.raises(ThrottledError) as caught:
        attempt(status, b"", {"retry-after": text})
    assert caught.value.after == after


@pytest.mark.parametrize("text", ["-1", "1e12", "soon"])
def test_a_retry_after_that_is_garbage_leaves_the_wait_to_the_host(attempt, text):
    with pytest.raises(ThrottledError) as caught:
        attempt(429, b"", {"retry-after": text})
    assert caught.value.after is None


def test_gone_means_that_the_receiver_asked_us_to_stop(attempt):
    with pytest.raises(SetupError, match="the receiver asked us to stop"):
        attempt(410)


@pytest.mark.parametrize("status", [402, 406, 414, 417, 418, 421, 426, 428, 431, 451, 499])
def test_any_other_refusal_blames_no_event(attempt, status):
    with pytest.raises(SetupError, match=f"HTTP {status}"):
        attempt(status)


def test_what_a_receiver_says_is_cut_cleaned_and_redacted(attempt):
    with pytest.raises(RejectedError) as caught:
        attempt(422, b"\x1b[31mtoken=canary-secret\x00 " + b"long " * 1000, bearer_token="canary-secret")
    text = str(caught.value)
    assert "canary" not in text
    assert text.isprintable()
    assert len(text) <= 200


def reset_before_the_answer(peer):
    peer.receive()
    peer.reset()


def half_an_answer(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")


def no_answer(peer):
    peer.receive()
    peer.hang()


def a_dripping_answer(peer):
    peer.receive()
    peer.drip(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 5_000)


@pytest.mark.parametrize("script", [reset_before_the_answer, half_an_answer, no_answer, a_dripping_answer])
def test_an_answer_that_does_not_come_whole_is_transient(serve, connect, send, script):
    sink = connect(serve(script), deadline=0.3)
    with pytest.raises(TransientError):
        send(sink, 2)


def test_an_expired_certificate_is_a_setup_error(serve, connect, send, authority):
    old = authority.issue("127.0.0.1", not_after=dt.datetime(2001, 1, 1, tzinfo=dt.UTC))
    sink = connect(serve(tls=authority.context(old)), tls={"ca_file": str(authority.ca_file)})
    with pytest.raises(SetupError, match="expired"):
        send(sink)


def test_a_certificate_for_somebody_else_is_a_setup_error(serve, connect, send, authority):
    other = authority.issue("other.example")
    sink = connect(serve(tls=authority.context(other)), tls={"ca_file": str(authority.ca_file)})
    with pytest.raises(SetupError, match="certificate"):
        send(sink)


def test_a_host_that_does_not_exist_is_a_setup_error(configure, send, monkeypatch):
    def unknown(*_args, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with configure() as sink, pytest.raises(SetupError, match=r"no host named hooks\.example"):
        send(sink)
