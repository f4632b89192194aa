"""What operators write under `[sinks.<id>] type = "webhook"`."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from bridge.http import AddressPolicy, TlsConfig
from bridge.secrets import Secret, UnresolvedSecretError
from bridge.sinks import SinkConfig
from bridge_webhook.signing import ed25519_seed, symmetric_key
from bridge_webhook.template import Template

__all__ = ["WebhookConfig"]

Port = Annotated[int, Field(ge=1, le=65_535)]
Body = Literal["raw", "batch", "cloudevents", "cloudevents-batch", "cloudevents-binary", "template"]

DEFAULT_PORTS = {"http": 80, "https": 443}
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>[/?][\x21\x22\x24-\x7e]*)?"
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_OURS = re.compile(
    r"host|connection|transfer-encoding|te|upgrade|expect|content-.*|webhook-.*|ce-.*|x-hub-signature.*"
)


class WebhookConfig(SinkConfig):
    """One receiver of POST requests."""

    url: str | None = Field(None, description="address of the receiver, https://host/path")
    secret_url: Secret | None = Field(
        None,
        description="the address where it is itself a secret, as a chat's incoming webhook; instead of url",
    )
    body: Body = Field(
        "batch",
        description="raw: one event a request; batch: a JSON array; cloudevents, cloudevents-batch or "
        "cloudevents-binary; template: one request an event, in the shape of template",
    )
    template: dict[str, Any] | None = Field(
        None, description='JSON structure for body = "template"; {"$" = "edata.pageid"} stands for a value'
    )
    id: Literal["identity", "mid"] = Field(
        "identity", description="CloudEvents id: identity (hash of mid, eid, ets, actor, device) or mid alone"
    )
    dataschema: str | None = Field(
        None, pattern=r"^[\x21-\x7e]{1,256}$", description="CloudEvents dataschema, the address of a schema"
    )
    secrets: tuple[Secret, ...] = Field(
        (), description="signing secrets (whsec_…); all of them sign, the first one first"
    )
    signature: Literal["standard", "x-hub-signature-256"] = Field(
        "standard",
        description="standard: Standard Webhooks; x-hub-signature-256: as GitHub signs, one secret",
    )
    ed25519_key: Secret | None = Field(
        None, description="private key (whsk_…) for an asymmetric signature besides; needs the extra ed25519"
    )
    compression: Literal["none", "gzip"] = Field(
        "none", description="of requests; gzip only if the receiver unpacks it"
    )
    headers: dict[str, Secret] = Field(
        default_factory=dict, description="headers of every request; their values are never shown"
    )
    bearer_token: Secret | None = Field(None, description="token for Authorization: Bearer")
    username: str | None = Field(
        None, pattern=r"^[^:\x00-\x1f\x7f]+$", description="user name, with password"
    )
    password: Secret | None = Field(None, description="password, with username")
    tls: TlsConfig | None = Field(None, description="own authorities and client certificate")
    allow_networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = Field(
        (), description='private networks the receiver may be in, as ["10.0.0.0/8"]; others are refused'
    )
    allow_http: bool = Field(
        default=False, description="true permits http://, which anybody on the way can read"
    )
    ports: tuple[Port, ...] = Field((), description="ports permitted besides 80, 443 and 8443")
    on_conflict: Literal["duplicate", "reject", "retry"] = Field(
        "duplicate", description="what HTTP 409 means: the receiver has it already, refuses it, or is busy"
    )
    ordering: Literal["none", "partition", "key"] = Field(
        "none",
        description="none: max_in_flight requests at a time, in any order; partition: one at a time, in the "
        "journal's order; key: in the journal's order for each order_key, lanes requests at a time",
    )
    order_key: Literal["did", "sid", "actor"] = Field(
        "did", description="what keeps its order with key: did (device), sid (session) or actor (actor.id)"
    )
    lanes: int = Field(16, ge=1, le=64, description="requests at a time with ordering = key")
    deadline: float = Field(
        30.0, gt=0, le=600, description="seconds for one request, from connecting to last byte"
    )
    connect_timeout: float = Field(5.0, gt=0, le=60, description="seconds to connect")

    @property
    def ordered(self) -> bool:
        """Whether the host must wait for each batch before it sends the next one."""
        return self.ordering != "none"

    @property
    def policy(self) -> AddressPolicy:
        """The addresses this sink may connect to."""
        return AddressPolicy(self.allow_networks, AddressPolicy().ports | set(self.ports))

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, Secret]) -> dict[str, Secret]:
        for name, secret in headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot be the name of a header")
            if _OURS.fullmatch(name.lower()):
                raise ValueError(f"the header {name} is set by the sink itself")
            value = _known(secret)
            if value is not None and not _HEADER_VALUE.fullmatch(value):
                raise ValueError(f"the value of the header {name} must be printable ASCII in one line")
        if len({name.lower() for name in headers}) < len(headers):
            raise ValueError("a header is given twice")
        return headers

    @field_validator("ed25519_key")
    @classmethod
    def _private_key(cls, key: Secret | None) -> Secret | None:
        if key is not None and (text := _known(key)) is not None:
            ed25519_seed(text)
        return key

    @field_validator("template")
    @classmethod
    def _compiles(cls, template: dict[str, Any] | None) -> dict[str, Any] | None:
        Template(template)
        return template

    @model_validator(mode="after")
    def _one_way_to_sign(self) -> Self:
        if self.signature == "standard":
            for secret in self.secrets:
                if (text := _known(secret)) is not None:
                    symmetric_key(text)
        elif len(self.secrets) != 1 or self.ed25519_key:
            raise ValueError(
                'signature = "x-hub-signature-256" takes exactly one of secrets and no ed25519_key'
            )
        return self

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        ways = (self.bearer_token, self.username, "authorization" in map(str.lower, self.headers) or None)
        if sum(way is not None for way in ways) > 1:
            raise ValueError("choose one of bearer_token, username and an Authorization header")
        return self

    @model_validator(mode="after")
    def _template_where_needed(self) -> Self:
        if (self.body == "template") != (self.template is not None):
            raise ValueError('body = "template" and a template go together')
        return self

    @model_validator(mode="after")
    def _permitted_address(self) -> Self:
        if (self.url is None) == (self.secret_url is None):
            raise ValueError("write one of url and secret_url")
        address = self.url or (_known(self.secret_url) if self.secret_url else None)
        if address is not None:
            self.check_address(address)
        return self

    def address(self) -> str:
        """The receiver's address; `UnresolvedSecretError` if it is kept where nothing is."""
        return self.secret_url.reveal() if self.secret_url else self.url or ""

    def check_address(self, url: str) -> None:
        """Raise `ValueError`, saying what to write instead, for an address this sink must not use."""
        parts = _URL.fullmatch(url)
        if parts is None:
            raise ValueError("url: write https://host/path, without user, # or characters beyond ASCII")
        if parts["scheme"] == "http" and not self.allow_http:
            raise ValueError("url: http:// is readable on the way; use https://, or set allow_http = true")
        port = int(parts["port"] or DEFAULT_PORTS[parts["scheme"]])
        if port not in self.policy.ports:
            raise ValueError(f"url: port {port} is not permitted; add ports = [{port}]")
        host = parts["host"].strip("[]")
        # a name is judged by what it resolves to when a connection is made
        if _is_numeric(host) and (refusal := self.policy.refusal(host, port)):
            raise ValueError(f"url: {refusal}; declare it in allow_networks if this is meant")


def _known(secret: Secret) -> str | None:
    """A secret's text, None where the configuration is checked on a machine that does not hold it."""
    try:
        return secret.reveal()
    except UnresolvedSecretError:
        return None


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
