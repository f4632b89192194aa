"""The `[intake]` table: the ways in which telemetry reaches the journal while the bridge runs.

Defaults are those of `docs/decisions/0010-http-intake.md`, which gives the reason for each.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bridge.configuration.intake_folder import FolderIntakeSettings
from bridge.secrets import Secret

__all__ = ["ApiKey", "HttpIntakeSettings", "HttpLimits", "IntakeSettings", "Issuer", "is_loopback"]

KIB, MIB = 1024, 1024**2
ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?")
ROUTE = re.compile(r"(/[A-Za-z0-9._~-]+)+")
PATHS = ("/v1/telemetry", "/api/data/v1/telemetry", "/data/v1/telemetry", "/data/v3/telemetry")
RESERVED = frozenset({"/health", "/openapi.json"})


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _origin(text: str) -> str:
    if not ORIGIN.fullmatch(text):
        raise ValueError(
            "must be an exact origin as browsers write it, for example https://portal.example"
            " (lower case, no path, no slash at its end, no *)"
        )
    return text


def _route(text: str) -> str:
    if not ROUTE.fullmatch(text) or text in RESERVED:
        raise ValueError("must be a path of plain characters, for example /v1/telemetry")
    return text


def _jwks_address(text: str) -> str:
    if not re.match(r"https://|http://(127\.|localhost|\[::1\])", text):
        raise ValueError("must begin with https://, since whoever can change these keys can send anything")
    return text


Channel = Annotated[str, Field(min_length=1)]
CHANNELS = "Events of other channels are dead-lettered as `channel_mismatch`; empty = any channel."


class Table(BaseModel):
    """Base of the tables here, with the same rules as the host's others."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


class ApiKey(Table):
    """One key, of which only the digest is kept; `bridge token key` makes both."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the key, in hexadecimal.")
    channels: tuple[Channel, ...] = Field(default=(), description=CHANNELS)


class Issuer(Table):
    """One issuer of JSON Web Tokens: a consumer of Kong, or an identity provider."""

    iss: str = Field(min_length=1, description="The token's `iss`; Kong calls it the consumer's key.")
    algorithm: Literal["HS256", "RS256", "ES256", "EdDSA"] = Field(
        default="HS256", description="The only algorithm that is accepted."
    )
    secret: Secret | None = Field(default=None, description="The shared secret of HS256.")
    public_key: Secret | None = Field(default=None, description="The public key in PEM, for the others.")
    jwks: Annotated[str, AfterValidator(_jwks_address)] | None = Field(
        default=None, description="Address of the issuer's key set, instead of `public_key`."
    )
    audience: str = Field(default="", description="The `aud` that a token must have; empty = not looked at.")
    expiring: bool = Field(
        default=True, description="Refuse tokens without `exp`; consumer tokens of Kong often have none."
    )
    channels: tuple[Channel, ...] = Field(default=(), description=CHANNELS)

    @model_validator(mode="after")
    def _keyed(self) -> Self:
        given = [name for name in ("secret", "public_key", "jwks") if getattr(self, name) is not None]
        if self.algorithm == "HS256" and given != ["secret"]:
            raise ValueError("HS256 takes a secret, and neither public_key nor jwks")
        if self.algorithm != "HS256" and given not in (["public_key"], ["jwks"]):
            raise ValueError(f"{self.algorithm} takes either public_key or jwks, and no secret")
        return self


class HttpLimits(Table):
    """What one request, one client and all of them together may take."""

    body_bytes: int = Field(
        default=5 * MIB, ge=KIB, le=64 * MIB, description="Bytes of a body, after decompression; more = 413."
    )
    compressed_bytes: int = Field(
        default=MIB, ge=KIB, le=64 * MIB, description="Bytes of a compressed body as sent; more = 413."
    )
    ratio: int = Field(
        default=100, ge=10, description="How many times longer a body may get by decompression; more = 413."
    )
    events: int = Field(default=1000, ge=1, le=100_000, description="Events in one request; more = 413.")
    in_flight_bytes: int = Field(
        default=16 * MIB, ge=MIB, description="Bytes of all requests not yet answered; more = 503."
    )
    connections: int = Field(default=512, ge=1, le=65_536, description="Open connections; more = 503.")
    header_bytes: int = Field(default=16 * KIB, ge=KIB, le=MIB, description="Bytes of a head; more = 431.")
    headers: int = Field(default=64, ge=8, le=1000, description="Header fields; more = 431.")
    receive: float = Field(
        default=10.0, gt=0, description="Seconds from a request's first byte to its last; then it is cut off."
    )
    keep_alive: float = Field(
        default=15.0, gt=0, description="Seconds an idle connection is kept between two requests."
    )
    rate: float = Field(
        default=50.0, ge=0, description="Requests a second for each credential; more = 429; 0 = no limit."
    )
    burst: int = Field(default=200, ge=1, description="Requests at once before `rate` counts.")


class HttpIntakeSettings(Table):
    """The `[intake.http]` table: a telemetry service as Sunbird's, in front of the journal."""

    enabled: bool = Field(default=False, description="Take telemetry by HTTP, as Sunbird's service does.")
    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on; one that others can reach needs keys or issuers.",
    )
    port: int = Field(default=9001, ge=0, le=65_535, description="Port to listen on; 0 = any free one.")
    paths: tuple[Annotated[str, AfterValidator(_route)], ...] = Field(
        default=PATHS, min_length=1, description="Where batches may be posted."
    )
    cors_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = Field(
        default=(),
        description="Web pages of these origins, such as https://portal.example, may send telemetry.",
    )
    keys: dict[str, ApiKey] = Field(
        default={},
        description="API keys: a table [intake.http.keys.<name>] each, with `sha256` and perhaps `channels`.",
    )
    issuers: dict[str, Issuer] = Field(
        default={},
        description="Issuers of JSON Web Tokens: a table [intake.http.issuers.<name>] each, with `iss`, "
        "`algorithm`, `secret` or `public_key` or `jwks`, and perhaps `audience`, `expiring`, `channels`.",
    )
    idempotency_window: int = Field(
        default=10_000, ge=0, description="Batches remembered, so that one sent again is kept once; 0 = off."
    )
    limits: HttpLimits = Field(default=HttpLimits(), description="What a request may take.")

    @property
    def open(self) -> bool:
        """Whether nobody is asked who they are."""
        return not self.keys and not self.issuers

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.enabled and self.open and not is_loopback(self.host):
            raise ValueError(
                "an address that others can reach needs keys or issuers;"
                " write one of them, or host = 127.0.0.1"
            )
        if len({issuer.iss for issuer in self.issuers.values()}) < len(self.issuers):
            raise ValueError("two issuers have the same iss")
        return self


class IntakeSettings(Table):
    """The `[intake]` table."""

    http: HttpIntakeSettings = Field(
        default=HttpIntakeSettings(), description="A telemetry service as Sunbird's."
    )
    folder: FolderIntakeSettings = Field(
        default=FolderIntakeSettings(), description="Files that people put into a folder."
    )
