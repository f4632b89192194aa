from __future__ import annotations

import datetime as dt
from hashlib import sha256

import pytest

from bridge_elasticsearch.sigv4 import Signer

botocore_auth = pytest.importorskip("botocore.auth", reason="botocore, the oracle, is not installed")

NOW = 1_766_000_000.0
KEY = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
HOST = "https://search-sunbird.ap-south-1.es.amazonaws.com"


def by_botocore(monkeypatch, request, service, token):
    """Sign the same request with botocore, at the same second."""
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    moment = dt.datetime.fromtimestamp(NOW, dt.UTC)
    monkeypatch.setattr(botocore_auth, "get_current_datetime", lambda *_, **__: moment.replace(tzinfo=None))
    method, url, body = request
    digest = {"x-amz-content-sha256": sha256(body).hexdigest()}
    request = AWSRequest(method=method, url=url, data=body, headers=digest)
    signer = botocore_auth.SigV4Auth(Credentials(*KEY, token), service, "ap-south-1")
    signer.add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@pytest.mark.parametrize("service", ["es", "aoss"])
@pytest.mark.parametrize("token", [None, "FwoGZXIvYXdzEA==/+x"])
@pytest.mark.parametrize(
    "request_parts",
    [
        ("GET", "/", b""),
        ("POST", "/_bulk", b"{}\n"),
        ("POST", "/_bulk?filter_path=errors%2Citems.%2A.status&pipeline=a-b", b"\x1f\x8b\x08gz"),
        ("POST", "/_index_template/_simulate_index/sunbird-2026.08.21", b""),
        ("PUT", "/_plugins/_ism/policies/p?if_seq_no=3&if_primary_term=1", b"{}"),
        ("GET", "/a%20b/~x?empty=&b=2&a=1", b""),
    ],
)
def test_signatures_equal_those_of_botocore(monkeypatch, request_parts, service, token):
    method, path, body = request_parts
    signer = Signer(*KEY, "ap-south-1", service, token)
    ours = signer.headers(method, HOST + path, body, NOW)
    theirs = by_botocore(monkeypatch, (method, HOST + path, body), service, token)
    assert ours["authorization"] == theirs["authorization"]
    assert ours["x-amz-date"] == theirs["x-amz-date"]


@pytest.mark.parametrize(
    ("url", "same_as"),
    [("https://search:443/", "https://search/"), ("http://search:80/", "http://search/")],
)
def test_a_default_port_is_not_part_of_the_host(url, same_as):
    signer = Signer(*KEY, "r", "es")
    assert signer.headers("GET", url, b"", NOW) == signer.headers("GET", same_as, b"", NOW)


def test_another_port_is_signed():
    signer = Signer(*KEY, "r", "es")
    assert signer.headers("GET", "https://search:9200/", b"", NOW) != signer.headers(
        "GET", "https://search/", b"", NOW
    )


def test_the_secret_does_not_appear_in_text():
    assert "wJalr" not in repr(Signer(*KEY, "r", "es"))
