"""TLS: verification cannot be switched off, and every refusal is a set-up problem with its reason."""

from __future__ import annotations

import datetime as dt
import os
import ssl

import pytest

from bridge.errors import SetupError, TransientError
from bridge.http import Tls
from bridge.secrets import Secret
from bridge.tls import TlsContexts

LONG_AGO = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def secure(serve, authority):
    """A TLS server whose certificate is for the given names."""

    def start(*names, script=None, **options):
        return serve(script, tls=authority.context(authority.issue(*(names or ("127.0.0.1",)), **options)))

    return start


def test_a_declared_authority_is_trusted(secure, client, authority):
    server = secure()
    got = client(tls=Tls(ca_file=authority.ca_file)).request("POST", server.url, content=b"x")
    assert got.status == 200
    assert got.peer == f"127.0.0.1 port {server.port}, TLSv1.3"


def test_an_unknown_authority_is_a_setup_error(secure, client):
    with pytest.raises(SetupError, match=r"the certificate of 127\.0\.0\.1 is refused"):
        client().request("POST", secure().url, content=b"x")


def test_an_expired_certificate_is_a_setup_error(secure, client, authority):
    server = secure(not_after=LONG_AGO)
    with pytest.raises(SetupError, match="certificate has expired"):
        client(tls=Tls(ca_file=authority.ca_file)).request("POST", server.url)
    assert server.requests == []


def test_a_certificate_for_another_host_is_a_setup_error(secure, client, authority):
    server = secure("other.example")
    with pytest.raises(SetupError, match="IP address mismatch"):
        client(tls=Tls(ca_file=authority.ca_file)).request("POST", server.url)


def test_the_name_is_verified_when_an_address_was_checked(secure, client, authority):
    server = secure("hooks.example")
    http = client(tls=Tls(ca_file=authority.ca_file), resolver=lambda *_: ["127.0.0.1"])
    assert http.request("GET", f"https://hooks.example:{server.port}/").status == 200
    with pytest.raises(SetupError, match="Hostname mismatch"):
        http.request("GET", f"https://evil.example:{server.port}/")
    assert server.requests[0].headers["host"] == f"hooks.example:{server.port}"


def test_the_server_learns_the_name_it_is_asked_for(serve, client, authority):
    context = authority.context(authority.issue("hooks.example"))
    names = []
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    server = serve(tls=context)
    http = client(tls=Tls(ca_file=authority.ca_file), resolver=lambda *_: ["127.0.0.1"])
    http.request("GET", f"https://hooks.example:{server.port}/")
    assert names == ["hooks.example"]


def test_a_server_without_tls_is_a_setup_error(serve, client):
    def plain(peer):
        peer.sock.recv(1000)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = serve(plain)
    with pytest.raises(SetupError, match="no handshake with 127"):
        client().request("GET", f"https://127.0.0.1:{server.port}/")


def test_tls_1_1_is_not_spoken(serve, client, authority):
    context = authority.context(authority.issue("127.0.0.1"))
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    server = serve(tls=context)
    with pytest.raises(SetupError, match="no handshake"):
        client(tls=Tls(ca_file=authority.ca_file)).request("GET", server.url)


def test_a_handshake_that_breaks_off_is_transient(serve, client):
    server = serve(lambda peer: peer.sock.recv(10))
    with pytest.raises(TransientError, match="handshake"):
        client().request("GET", f"https://127.0.0.1:{server.port}/")


def test_a_handshake_that_hangs_ends_with_the_connect_timeout(serve, client):
    server = serve(lambda peer: peer.hang())
    with pytest.raises(TransientError, match="timed out"):
        client(connect_timeout=0.2).request("GET", f"https://127.0.0.1:{server.port}/")


def test_a_dripping_answer_over_tls_ends_with_the_deadline(secure, client, authority):
    def drip(peer):
        peer.receive()
        peer.drip(b"HTTP/1.1 200 OK\r\nx-slow: " + b"s" * 10_000)

    with pytest.raises(TransientError, match=r"within 0\.8 s"):
        client(tls=Tls(ca_file=authority.ca_file), deadline=0.8).request("GET", secure(script=drip).url)


@pytest.fixture
def own_certificate(authority, tmp_path):
    """The client's certificate chain and key in one file."""

    def write(name="bridge.example", place=tmp_path / "client.pem"):
        certificate = authority.issue(name)
        certificate.private_key_and_cert_chain_pem.write_to_path(str(place))
        return place

    return write


@pytest.fixture
def mutual(serve, authority):
    """A server that demands a client certificate, and the common names it has seen."""
    context = authority.context(authority.issue("127.0.0.1"))
    context.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(context)
    seen = []

    def script(peer):
        seen.append(peer.sock.getpeercert()["subjectAltName"][0][1])
        while peer.receive():
            peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    server = serve(script, tls=context)
    server.seen = seen
    return server


def test_a_client_certificate_lets_us_in(mutual, client, authority, own_certificate):
    tls = Tls(ca_file=authority.ca_file, cert_file=own_certificate())
    assert client(tls=tls).request("GET", mutual.url).status == 204


def test_a_missing_client_certificate_is_a_setup_error(mutual, client, authority):
    with pytest.raises(SetupError, match=r"TLS: refused by the server .*certificate required"):
        client(tls=Tls(ca_file=authority.ca_file)).request("GET", mutual.url)


def test_a_renewed_client_certificate_is_used_without_a_restart(mutual, client, authority, own_certificate):
    place = own_certificate("first.example")
    http = client(tls=Tls(ca_file=authority.ca_file, cert_file=place), max_connection_age=0.0)
    http.request("GET", mutual.url)
    own_certificate("second.example")
    os.utime(place, (2_000_000_000, 2_000_000_000))
    http.request("GET", mutual.url)
    assert mutual.seen == ["first.example", "second.example"]


def test_a_missing_file_is_a_setup_error_that_names_it(client, tmp_path):
    with pytest.raises(SetupError, match=r"cannot read .*nowhere\.pem \(No such file"):
        client(tls=Tls(ca_file=tmp_path / "nowhere.pem"))


def test_a_file_that_holds_no_certificate_is_a_setup_error(client, tmp_path):
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(SetupError, match=r"cannot use .*empty\.pem"):
        client(tls=Tls(ca_file=tmp_path / "empty.pem"))


def test_an_encrypted_key_never_asks_on_the_terminal(authority, tmp_path):
    from cryptography.hazmat.primitives import serialization

    certificate = authority.issue("bridge.example")
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    (tmp_path / "cert.pem").write_bytes(certificate.cert_chain_pems[0].bytes())
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"canary"),
        )
    )
    files = {"cert_file": tmp_path / "cert.pem", "key_file": tmp_path / "key.pem"}
    with pytest.raises(SetupError) as caught:
        TlsContexts(Tls(**files, key_password=Secret("wrong"))).current()
    assert "canary" not in str(caught.value)
    with pytest.raises(SetupError):
        TlsContexts(Tls(**files)).current()
    assert TlsContexts(Tls(**files, key_password=Secret("canary"))).current()


def test_a_context_always_verifies():
    context = TlsContexts(Tls()).current()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
