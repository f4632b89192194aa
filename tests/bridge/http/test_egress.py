"""No spelling of a private address gets a connection: 0 attempts over the whole corpus."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.egress import AddressPolicy, canonical, is_public
from bridge.errors import SetupError
from bridge.http import HttpClient

# Written as in a URL. The system's own resolver reads the odd ones, as it would in production.
HOSTS = [
    # loopback, in every spelling a C library accepts
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7F.0x0.0x0.0x1",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "0177.1",
    "00000177.0.0.01",
    "0x0000007f.0.0.1",
    "127.0.0.0x1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127。0。0。1",
    "１２７.0.0.1",  # noqa: RUF001 - wide digits are the point
    "①②⑦.0.0.1",
    "%31%32%37.0.0.1",
    "0",
    "0.0.0.0",
    "0x0",
    "0.0.0.1",
    # cloud metadata and link-local
    "169.254.169.254",
    "169.254.170.2",
    "169.254.0.1",
    "2852039166",
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.16689662",
    "100.100.100.200",
    # private, shared, reserved, multicast, broadcast
    "10.0.0.1",
    "10.1",
    "167772161",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.1",
    "3232235521",
    "100.64.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "192.88.99.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    # IPv6, and IPv4 inside IPv6
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:10.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[::ffff:0:0]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::]",
    "[2002:c0a8:1::1]",
    "[2001::1]",
    "[2001:0:a00:1::5601:5601]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[100::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fec0::1]",
    "[ff02::1]",
    "[ff05::1:3]",
    "[4000::1]",
]

# What a hostile or careless name server could answer.
ANSWERS = [
    ["127.0.0.1"],
    ["169.254.169.254"],
    ["10.0.0.1", "192.168.0.1"],
    ["::1"],
    ["::ffff:127.0.0.1"],
    ["::ffff:a9fe:a9fe"],
    ["64:ff9b::7f00:1"],
    ["2002:7f00:1::"],
    ["fe80::1%lo"],
    ["fd00::1"],
    ["0.0.0.0"],
    ["not-an-address"],
    ["127.0.0.1 "],
    ["0x7f000001"],
    [""],
]


def test_the_corpus_is_large_enough():
    assert len(set(HOSTS)) + len(ANSWERS) >= 100


@pytest.fixture
def target(serve):
    """A listener that nothing of this file may reach."""
    server = serve()
    yield server
    assert server.connections == 0


@pytest.fixture
def guarded(target):
    with HttpClient(guard=AddressPolicy(ports=frozenset({target.port})), deadline=5.0) as http:
        yield http


@pytest.mark.parametrize("host", HOSTS)
def test_no_spelling_of_a_private_address_is_connected_to(guarded, target, connects, host):
    with pytest.raises(SetupError):
        guarded.request("POST", f"http://{host}:{target.port}/", content=b"x")
    assert connects == []


@pytest.mark.parametrize("addresses", ANSWERS, ids=str)
def test_no_name_leads_to_a_private_address(target, connects, addresses):
    policy = AddressPolicy(ports=frozenset({target.port}))
    with HttpClient(guard=policy, resolver=lambda *_: addresses) as http, pytest.raises(SetupError):
        http.request("POST", f"http://innocent.example:{target.port}/", content=b"x")
    assert connects == []


def test_a_name_that_is_rebound_between_check_and_use_gains_nothing(target, connects):
    """The name is resolved once for each connection, and the checked address is the one used."""
    asked = []

    def rebinding(host, port):
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    policy = AddressPolicy(allow=(ipaddress.ip_network("127.0.0.2/32"),), ports=frozenset({target.port}))
    with HttpClient(guard=policy, resolver=rebinding) as http, pytest.raises(SetupError):
        http.request("GET", f"http://rebind.example:{target.port}/")
    assert (asked, connects) == (["rebind.example"], [])


def test_every_new_connection_is_checked_again(serve, connects):
    server = serve()
    answers = iter([["127.0.0.1"], ["127.0.0.3"]])
    policy = AddressPolicy(allow=(ipaddress.ip_network("127.0.0.1/32"),), ports=frozenset({server.port}))
    url = f"http://rebind.example:{server.port}/"
    with HttpClient(guard=policy, resolver=lambda *_: next(answers), max_connection_age=0.0) as http:
        assert http.request("GET", url).status == 200
        with pytest.raises(SetupError, match=r"127\.0\.0\.3"):
            http.request("GET", url)
    assert connects == [("127.0.0.1", server.port)]


def test_a_public_address_beside_a_private_one_is_the_only_one_tried(serve, connects):
    server = serve()
    policy = AddressPolicy(allow=(ipaddress.ip_network("127.0.0.1/32"),), ports=frozenset({server.port}))
    with HttpClient(guard=policy, resolver=lambda *_: ["10.0.0.1", "127.0.0.1"]) as http:
        assert http.request("GET", f"http://mixed.example:{server.port}/").status == 200
    assert connects == [("127.0.0.1", server.port)]


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/", "http://[::1]/", "//127.0.0.1/", "/elsewhere"]
)
def test_a_redirect_opens_no_connection(serve, connects, answer, location):
    server = serve(reply=lambda _: answer(307, b"", {"location": location}))
    policy = AddressPolicy(allow=(ipaddress.ip_network("127.0.0.0/8"),), ports=frozenset({server.port}))
    with HttpClient(guard=policy) as http:
        assert http.request("POST", server.url, content=b"x").status == 307
    assert connects == [("127.0.0.1", server.port)]


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "198.17.255.255", "172.32.0.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"],
)
def test_public_addresses_are_permitted(address):
    assert AddressPolicy().refusal(address, 443) is None


def test_only_web_ports_are_permitted_unless_declared():
    assert [port for port in range(1, 65_536) if AddressPolicy().refusal("1.1.1.1", port) is None] == [
        80,
        443,
        8443,
    ]
    assert AddressPolicy(ports=frozenset({9200})).refusal("1.1.1.1", 9200) is None


def test_a_declared_network_opens_exactly_itself():
    policy = AddressPolicy(allow=(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")))
    assert policy.refusal("10.1.2.3", 443) is None
    assert policy.refusal("::ffff:10.1.2.3", 443) is None
    assert policy.refusal("fd00::1", 443) is None
    assert policy.refusal("192.168.0.1", 443) is not None
    assert policy.refusal("64:ff9b::a01:203", 443) is not None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_and_its_mapped_form_are_judged_alike(address):
    assert canonical(f"::ffff:{address}") == address
    policy = AddressPolicy()
    mapped = policy.refusal(f"::ffff:{address}", 443)
    assert mapped == policy.refusal(str(address), 443)


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_outside_global_unicast_is_public(address):
    if is_public(address):
        assert address in ipaddress.ip_network("2000::/3")


def test_the_system_reads_the_odd_spellings_as_loopback():
    """Without this the corpus would prove nothing: these really lead to 127.0.0.1."""
    for host in ("0x7f000001", "2130706433", "0177.1", "127.1", "0x7f.1"):
        assert socket.gethostbyname(host) == "127.0.0.1"
