"""AWS Signature Version 4, for `es` and `aoss`, from the published algorithm.

A request is reduced to a canonical text, its hash is signed with a key derived from the
secret, the day, the region and the service. The body is signed as it is sent: compressed.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

__all__ = ["Signer"]

ALGORITHM = "AWS4-HMAC-SHA256"
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """An access key and where its signatures count: a region, and the service `es` or `aoss`.

    `session_token` goes with temporary credentials.
    """

    access_key_id: str
    secret_access_key: str
    region: str
    service: str
    session_token: str | None = None

    def headers(self, method: str, url: str, body: bytes, now: float) -> dict[str, str]:
        """Return the headers that sign this request at `now` (Unix time); all of them must be sent.

        `url` must spell its query as it will be sent, and the `host` header must be that of `url`.
        """
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        headers = {"host": _host(url), "x-amz-content-sha256": digest, "x-amz-date": stamp}
        if self.session_token:
            headers["x-amz-security-token"] = self.session_token
        signed = ";".join(sorted(headers))
        signature = self._signature(_canonical_request(method, url, headers, digest), stamp)
        del headers["host"]
        credential = f"{self.access_key_id}/{self._scope(stamp)}"
        proof = f"{ALGORITHM} Credential={credential}, SignedHeaders={signed}, Signature={signature}"
        return {**headers, "authorization": proof}

    def _scope(self, stamp: str) -> str:
        return f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"

    def _signature(self, request: str, stamp: str) -> str:
        hashed = hashlib.sha256(request.encode()).hexdigest()
        text = "\n".join((ALGORITHM, stamp, self._scope(stamp), hashed))
        key = f"AWS4{self.secret_access_key}".encode()
        for part in self._scope(stamp).split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _canonical_request(method: str, url: str, headers: dict[str, str], digest: str) -> str:
    parts = urlsplit(url)
    # every service but S3 encodes the path as sent once more
    path = quote(parts.path or "/", safe="/-_.~")
    pairs = sorted(
        (quote(k, safe="-_.~"), quote(v, safe="-_.~"))
        for k, v in parse_qsl(parts.query, keep_blank_values=True)
    )
    query = "&".join(f"{key}={value}" for key, value in pairs)
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers))
    return "\n".join((method, path, query, lines, ";".join(sorted(headers)), digest))


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = (parts.netloc.rpartition("@")[2]).lower()
    name, colon, port = host.rpartition(":")
    return name if colon and port == str(DEFAULT_PORTS.get(parts.scheme)) else host
