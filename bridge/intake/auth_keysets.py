"""An issuer's published keys (JWKS), fetched in the background so that no request waits for them."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Any

from bridge.errors import BridgeError
from bridge.http import HttpClient
from bridge.intake.http_answers import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KeySet"]

log = logging.getLogger(__name__)

REFRESH = 600.0
AT_MOST_EVERY = 30.0
DEADLINE = 10.0
LONGEST = 256 * 1024
OK, UNAVAILABLE = 200, 503


class KeySet:
    """The keys at one address, by `kid`; fetched every ten minutes, and when an unknown one turns up."""

    def __init__(
        self,
        jwt: Any,
        issuer: str,
        url: str,
        algorithm: str,
        *,
        fetch: Callable[[str], str] | None = None,
        at_most_every: float = AT_MOST_EVERY,
    ) -> None:
        self._jwt = jwt
        self._issuer = issuer
        self._url = url
        self._algorithm = algorithm
        self._fetch = fetch or _fetch
        self._rest = at_most_every
        self._keys: dict[str | None, Any] | None = None
        self._wanted = threading.Event()
        self._asked = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name=f"keys of {issuer}", daemon=True)
        self._thread.start()

    def key(self, kid: object) -> Any:
        """The key of this id, or the only one for a token that names none.

        `Refused` (503) as long as the set was never had, PyJWT's `InvalidKeyError` where it has no such key.
        """
        keys = self._keys
        if keys is None:
            self._wanted.set()
            raise Refused(UNAVAILABLE, "the issuer's keys cannot be had at the moment", after=AT_MOST_EVERY)
        if kid is None and len(keys) == 1:
            return next(iter(keys.values()))
        found = keys.get(kid) if isinstance(kid, str) else None
        if found is None:
            self._wanted.set()
            raise self._jwt.InvalidKeyError("its key is not among those of its issuer")
        return found

    def wait(self) -> None:
        """Return once the address was asked for the first time."""
        self._asked.wait()

    def close(self) -> None:
        """End the refreshing."""
        self._ended.set()
        self._wanted.set()
        self._thread.join()

    def _refresh(self) -> None:
        while True:
            self._wanted.clear()
            if self._ended.is_set():  # looked at behind the clearing, which may have swallowed a `close`
                return
            try:
                self._keys = self._parsed(self._fetch(self._url))
            except (BridgeError, self._jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
                log.warning("the keys of the issuer %s cannot be had: %s", self._issuer, error)
            self._asked.set()
            self._ended.wait(self._rest)
            self._wanted.wait(REFRESH - self._rest)

    def _parsed(self, text: str) -> dict[str | None, Any]:
        keys = {}
        for document in json.loads(text)["keys"]:
            if document.get("use", "sig") != "sig":
                continue
            try:
                key = self._jwt.PyJWK(document)
            except self._jwt.PyJWTError:
                continue  # of a kind that this algorithm has no use for
            if key.algorithm_name == self._algorithm:
                keys[key.key_id] = key
        if not keys:
            raise ValueError(f"no key for {self._algorithm} among them")
        return keys


def _fetch(url: str) -> str:
    with HttpClient(deadline=DEADLINE, max_answer=LONGEST) as client:
        answer = client.request("GET", url)
    if answer.status != OK:
        raise BridgeError(f"HTTP {answer.status}")
    return answer.body.decode()
