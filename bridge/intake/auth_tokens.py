"""JSON Web Tokens: HS256 as Kong and Sunbird's portals use them, RS256, ES256 and EdDSA with public keys.

Each issuer has one algorithm, which the token's own header cannot change; `none` is none of them.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from bridge.errors import SetupError
from bridge.intake.auth import Sender
from bridge.intake.auth_keysets import KeySet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.configuration.intake import Issuer

__all__ = ["Tokens", "require_jwt"]

LEEWAY = 60  # seconds that clocks of phones and servers may differ
REMEMBERED = 10_000
MEMORY = 300.0  # seconds after which a token is looked at again
SHORTEST_SECRET = 16
LONGEST_REASON = 120
# Besides its own errors, PyJWT lets through what odd JSON in a token makes Python raise.
ODD = (ValueError, TypeError, KeyError, ArithmeticError, RecursionError)


def require_jwt() -> Any:
    """The module `jwt`; `SetupError` says how to get it."""
    try:
        import jwt  # noqa: PLC0415 - an extra
    except ImportError:
        raise SetupError("tokens need PyJWT: pip install 'sunbird-bridge[jwt]'") from None
    return jwt


class Tokens:
    """Checks tokens of the configured issuers, and remembers those it found good for a while."""

    def __init__(self, issuers: Mapping[str, Issuer], *, patient: bool = False) -> None:
        """`SetupError` where a secret or a public key is not one; `patient` waits for the key sets."""
        self._jwt = require_jwt()
        self._rules = {issuer.iss: _Rule(self._jwt, name, issuer) for name, issuer in issuers.items()}
        for rule in self._rules.values() if patient else ():
            rule.wait()
        self._good: OrderedDict[str, tuple[float, Sender]] = OrderedDict()

    def sender(self, token: str, now: float) -> Sender:
        """Whose token this is; `now` is Unix time.

        `ValueError` says why it is not good, `Refused` (503) that it cannot be checked yet.
        """
        until, known = self._good.get(token, (0.0, None))
        if known and now < until:
            return known
        claims, sender = self._checked(token)
        until = min(now + MEMORY, claims["exp"] + LEEWAY) if "exp" in claims else now + MEMORY
        self._good[token] = until, sender
        self._good.move_to_end(token)
        while len(self._good) > REMEMBERED:
            self._good.popitem(last=False)
        return sender

    def close(self) -> None:
        """Stop keeping key sets fresh."""
        for rule in self._rules.values():
            rule.close()

    def _checked(self, token: str) -> tuple[dict[str, Any], Sender]:
        try:
            unproven = self._jwt.decode(token, options={"verify_signature": False})
            rule = self._rules.get(str(unproven.get("iss")))
            claims = rule.claims(token) if rule else {}
        except (self._jwt.PyJWTError, *ODD) as error:
            raise ValueError(f"this token is not good: {str(error)[:LONGEST_REASON]}") from None
        if rule is None:
            raise ValueError("this token's issuer is not known")
        return claims, rule.sender(claims)


class _Rule:
    """One issuer: which tokens of it are good."""

    def __init__(self, jwt: Any, name: str, issuer: Issuer) -> None:
        self._jwt = jwt
        self._name = name
        self._issuer = issuer
        self._channels = frozenset(issuer.channels)
        self._key: Any = None
        self._set: KeySet | None = None
        if issuer.jwks:
            self._set = KeySet(jwt, name, issuer.jwks, issuer.algorithm)
        elif given := issuer.secret or issuer.public_key:
            self._key = self._prepared(given.reveal())
        required = ["iss", *(["exp"] if issuer.expiring else []), *(["aud"] if issuer.audience else [])]
        self._options = {"require": required, "verify_aud": bool(issuer.audience), "verify_iat": False}

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a good token; an error of PyJWT otherwise."""
        key = self._key
        if self._set:
            key = self._set.key(self._jwt.get_unverified_header(token).get("kid"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the secret's length was judged when it was read
            found: dict[str, Any] = self._jwt.decode(
                token,
                key,
                algorithms=[self._issuer.algorithm],
                issuer=self._issuer.iss,
                audience=self._issuer.audience or None,
                leeway=LEEWAY,
                options=self._options,
            )
        return found

    def sender(self, claims: Mapping[str, Any]) -> Sender:
        """Who is meant: each subject of an issuer counts as one sender."""
        subject = claims.get("sub")
        name = f"{self._name}/{subject}" if isinstance(subject, str) and subject else self._name
        return Sender(name, self._channels)

    def wait(self) -> None:
        if self._set:
            self._set.wait()

    def close(self) -> None:
        if self._set:
            self._set.close()

    def _prepared(self, text: str) -> Any:
        algorithm = self._jwt.get_algorithm_by_name(self._issuer.algorithm)
        if self._issuer.algorithm == "HS256" and len(text) < SHORTEST_SECRET:
            raise SetupError(
                f"intake.http.issuers.{self._name}: a secret shorter than {SHORTEST_SECRET} characters"
                " can be guessed"
            )
        try:
            return algorithm.prepare_key(text)
        except (self._jwt.PyJWTError, ValueError, TypeError):
            raise SetupError(
                f"intake.http.issuers.{self._name}: this is no key for {self._issuer.algorithm}"
                " (HS256 takes a secret, the others a public key in PEM)"
            ) from None
