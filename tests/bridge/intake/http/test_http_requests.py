"""Requests are read the same however they are cut, within limits, and never in two ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.configuration.intake import HttpLimits
from bridge.intake.http_answers import Refused
from bridge.intake.http_requests import END, Reader, Request

LIMITS = HttpLimits()
HEAD = b"POST /v1/telemetry HTTP/1.1\r\nHost: bridge\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO = HEAD + b"Content-Length: 5\r\n\r\nhello"
CHUNKED_HELLO = CHUNKED + b"2;ext=1\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n"
BARE = b"GET /health HTTP/1.1\r\nHost: bridge\r\n\r\n"


def read(pieces, limits=LIMITS):
    """The requests with their bodies in full, and how it ended."""
    reader, found = Reader(limits), []
    try:
        for piece in pieces:
            while True:
                event, piece = reader.read(piece)  # noqa: PLW2901 - what is left of it
                if event is None:
                    break
                if isinstance(event, Request):
                    found.append([event, b"", False])
                elif event is END:
                    found[-1][2] = True
                else:
                    found[-1][1] += event
    except Refused as error:
        return found, error.status
    return found, "spoiled" if reader.spoiled else "more" if reader.begun else "clean"


def bodies(data):
    found, end = read([data])
    assert end == "clean"
    assert all(complete for _, _, complete in found)
    return [body for _, body, _ in found]


@given(st.permutations([HELLO, BARE, HEAD + b"\r\n", b"\r\n" + HELLO]), st.lists(st.integers(1, 60)))
def test_requests_are_read_alike_however_they_are_cut(requests, cuts):
    requests.append(CHUNKED_HELLO)
    data, pieces = b"".join(requests), []
    for cut in [*cuts, *[1] * 2000]:
        if data:
            pieces.append(data[:cut])
            data = data[cut:]
    found, end = read(pieces)
    assert end == "clean"
    assert [body for _, body, _ in found] == [
        b"hello" if request in {HELLO, CHUNKED_HELLO, b"\r\n" + HELLO} else b"" for request in requests
    ]


def test_requests_behind_each_other_in_one_piece_are_told_apart():
    assert bodies(HELLO + BARE + HELLO) == [b"hello", b"", b"hello"]


def test_a_request_behind_chunks_in_the_same_piece_ends_the_connection():
    found, end = read([CHUNKED_HELLO + HELLO])
    assert [body for _, body, _ in found] == [b"hello"]
    assert end == "spoiled"


def test_a_request_says_what_it_is():
    ((request, body, complete),), _ = read([HELLO])
    assert (request.method, request.path, request.version) == ("POST", "/v1/telemetry", "1.1")
    assert request.headers == {"host": "bridge", "content-length": "5"}
    assert (request.length, request.persistent, body, complete) == (5, True, b"hello", True)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a?b=/c", "/a"), (b"/a/", "/a"), (b"/", "/"), (b"http://h/a/b?x", "/a/b"), (b"*", "/"),
        (b"//a", "//a"), (b"/a%2fb", "/a%2fb"), (b"/a/../b", "/a/../b"), (b"http://h", "/"),
    ],
)  # fmt: skip
def test_the_path_is_taken_as_it_is_written(target, path):
    method = b"OPTIONS" if target == b"*" else b"GET"
    ((request, *_),), _ = read([method + b" " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n"])
    assert request.path == path


@pytest.mark.parametrize(
    ("line", "persistent"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_the_client_says_whether_it_goes_on(line, persistent):
    ((request, *_),), _ = read([line])
    assert request.persistent is persistent


def test_an_offer_to_speak_http_2_is_overlooked():
    offer = HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
    assert bodies(offer + b"Content-Length: 5\r\n\r\nhello" + HELLO) == [b"hello", b"hello"]


SMUGGLED = {
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "the same length twice": HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": HEAD + b"Content-Length: 5, 5\r\n\r\nhello",
    "a signed length": HEAD + b"Content-Length: +5\r\n\r\nhello",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\nhello",
    "a hexadecimal length": HEAD + b"Content-Length: 0x5\r\n\r\nhello",
    "an endless length": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nhello",
    "an empty length": HEAD + b"Content-Length: \r\n\r\nhello",
    "a length in two words": HEAD + b"Content-Length: 1 5\r\n\r\nhello",
    "almost chunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity": HEAD + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunked in the middle": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "gzip and chunked": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a vertical tab": HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "a folded field": HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "chunks in an upgrade": CHUNKED[:-2] + b"Connection: upgrade\r\nUpgrade: x\r\n\r\n0\r\n\r\n",
    "bare line feeds": b"POST / HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello",
    "a bare carriage return": HEAD + b"X: a\rY: b\r\n\r\n",
    "a line feed in a field": HEAD + b"X: a\nContent-Length: 5\r\n\r\nhello",
    "a zero in a field": HEAD + b"X: a\x00b\r\n\r\n",
    "a space in a name": HEAD + b"X Y: a\r\n\r\n",
    "a nameless field": HEAD + b": a\r\n\r\n",
    "a space before the first field": b"POST / HTTP/1.1\r\n Host: h\r\n\r\n",
    "a signed chunk": CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    "a chunk with 0x": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than it says": CHUNKED + b"5\r\nhelloXX0\r\n\r\n",
    "chunks with bare line feeds": CHUNKED + b"5\nhello\n0\n\n",
    "an endless chunk": CHUNKED + b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "a length behind the chunks": CHUNKED + b"5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two hosts": HEAD + b"Host: other\r\n\r\n",
    "no host": b"POST / HTTP/1.1\r\n\r\n",
    "two keys": HEAD + b"Authorization: a\r\nAuthorization: b\r\n\r\n",
    "a control character in the path": b"POST /\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a small method": b"post / HTTP/1.1\r\nHost: h\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "the greeting of TLS": bytes.fromhex("16030100ba010000b60303") + bytes(180),
}


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize("name", SMUGGLED)
def test_what_could_be_read_in_two_ways_is_refused(name, size):
    data = SMUGGLED[name]
    found, end = read([data[place : place + size] for place in range(0, len(data), size)])
    assert end == 400
    assert not any(complete for _, _, complete in found)


@pytest.mark.parametrize("line", [b"GET /\r\n\r\n", b"POST / HTTP/2.0\r\n\r\n"])
def test_other_versions_are_not_spoken(line):
    assert read([line])[1] == 505


@pytest.mark.parametrize("size", [1, 1000, 65536])
def test_long_heads_are_refused_before_they_end(size):
    data = HEAD + b"X: " + b"x" * 100_000
    assert read([data[place : place + size] for place in range(0, len(data), size)])[1] == 431
    assert read([b"\r\n" * 20_000])[1] == 431
    assert read([b"POST /" + b"x" * 100_000])[1] == 431


def test_many_fields_are_refused():
    fields = b"".join(b"X-%d: 1\r\n" % number for number in range(10_000))
    assert read([HEAD + fields])[1] == 431
    assert read([HEAD + fields[: fields.index(b"X-63")] + b"\r\n"])[1] == "clean"
    assert read([HEAD + fields[: fields.index(b"X-64")] + b"\r\n"])[1] == 431


def test_chunks_that_hold_next_to_nothing_are_refused():
    limits = HttpLimits(body_bytes=1024)
    assert read([CHUNKED + b"1\r\nx\r\n" * 500 + b"0\r\n\r\n"], limits)[1] == "clean"
    assert read([CHUNKED, b"1;" + b"x" * 5000 + b"\r\nx\r\n"], limits)[1] == 413


@given(st.binary(max_size=200), st.sampled_from([b"", HEAD, CHUNKED, HELLO, b"GET "]))
def test_no_bytes_make_it_crash(data, before):
    _, end = read([before + data])
    assert end in {"clean", "more", "spoiled", 400, 413, 431, 505}
