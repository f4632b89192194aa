"""What an operator may say about a PostHog sink."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from bridge.secrets import Secret
from bridge.sinks import SinkConfig

__all__ = ["DEFAULT_GROUPS", "MAX_GROUP_TYPES", "PostHogConfig", "Survey"]

MAX_GROUP_TYPES = 5
LONGEST_KEY = 64
DEFAULT_GROUPS = {"channel": "channel", "content": "content", "collection": "collection"}
APPS = r"(?<![a-z])(?:app|mobile|android|ios)(?![a-z])|(?<![a-z])genie"

_GROUP_TYPE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_GROUP_SOURCE = re.compile(r"channel|env|producer|content|collection|(?:cdata|object):[^:]{1,100}")


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("write the address as https://eu.i.posthog.com, with nothing behind the path")
    if parts.username or parts.password:
        raise ValueError("no user or password belongs into the address; the project key is enough")
    return text.rstrip("/")


def _project_key(secret: Secret) -> Secret:
    """Refuse what capture would refuse, and what is too powerful to be kept in a forwarder."""
    key = secret.reveal()
    if key.startswith("phx_"):
        raise ValueError(
            "this is a personal API key (phx_…), which can read and change the project; "
            "write the project's key (phc_…), found in PostHog under Settings → Project"
        )
    if not key.isascii() or not key.isprintable() or " " in key or len(key) > LONGEST_KEY:
        raise ValueError(f"a project key has at most {LONGEST_KEY} printable ASCII characters and no blanks")
    return secret


def _groups(groups: dict[str, str]) -> dict[str, str]:
    if len(groups) > MAX_GROUP_TYPES:
        raise ValueError(
            f"PostHog keeps at most {MAX_GROUP_TYPES} group types a project and ignores the others; "
            f"name the {MAX_GROUP_TYPES} you need, not {len(groups)}"
        )
    for name, source in groups.items():
        if not _GROUP_TYPE.fullmatch(name):
            raise ValueError(f"{name!r} is no group type: use up to 40 of a-z, 0-9 and _, a letter first")
        if not _GROUP_SOURCE.fullmatch(source):
            raise ValueError(
                f"{source!r} is no source of groups: use channel, env, producer, content, collection, "
                "cdata:TYPE or object:TYPE"
            )
    return groups


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


Address = Annotated[str, AfterValidator(_address)]
ProjectKey = Annotated[Secret, AfterValidator(_project_key)]
Pattern = Annotated[str, AfterValidator(_pattern)]


class Survey(SinkConfig):
    """The PostHog survey that FEEDBACK events answer."""

    id: str = Field(min_length=1, description="Id of the survey in PostHog")
    rating_question: str | None = Field(default=None, description="Id of the question that ratings answer")
    comment_question: str | None = Field(default=None, description="Id of the question that comments answer")


class PostHogConfig(SinkConfig):
    """A project in PostHog, and how telemetry is to look there."""

    api_key: ProjectKey = Field(description="The project's key (phc_…); write env:NAME or file:PATH")
    host: Address = Field(
        default="https://us.i.posthog.com",
        description="PostHog's ingestion host, or your own server's address",
    )
    ca_file: Path | None = Field(default=None, description="Certificates to trust besides the system's (PEM)")
    timeout: float = Field(default=30.0, gt=0, le=600, description="Seconds for one request, answer included")
    capture_mode: Literal["auto", "v1", "v0"] = Field(
        default="auto",
        description="Protocol: v1 answers event by event, v0 is everywhere; auto asks the server",
    )
    compression: Literal["auto", "zstd", "gzip", "none"] = Field(
        default="auto", description="Of request bodies; auto means zstd with v1 and gzip with v0"
    )
    historical_migration: bool = Field(
        default=False,
        description="Backfill of events older than 48 hours: PostHog's separate lane for history",
    )
    transport: Literal["httpx", "sdk"] = Field(
        default="httpx", description="httpx is fast; sdk sends through the posthog package, for comparison"
    )
    properties: Literal["flat", "raw"] = Field(
        default="flat",
        description="flat: one property a fact; raw: the event itself as property sunbird, faster",
    )
    id: Literal["identity", "mid"] = Field(
        default="identity",
        description="What makes two events the same: mid, eid, ets, actor and device, or mid only",
    )
    person_profiles: Literal["identified_only", "always", "never"] = Field(
        default="identified_only", description="Who gets a person profile (identified events cost more)"
    )
    pseudonym_key: Secret | None = Field(
        default=None, description="Replace user and device ids by their HMAC-SHA256 with this key"
    )
    groups: Annotated[dict[str, str], AfterValidator(_groups)] = Field(
        default=DEFAULT_GROUPS, description="Group type → where its key comes from; at most 5"
    )
    group_identify: bool = Field(
        default=False, description="Send $groupidentify with START events, so that groups show under People"
    )
    set_once: bool = Field(
        default=False,
        description="On START of an app or session set first_channel and first_producer of persons",
    )
    person_properties: tuple[str, ...] = Field(
        default=(), description="Keys of Sunbird's userdata to set on persons at START of an app or session"
    )
    denormalised: bool = Field(
        default=False, description="Read Sunbird's devicedata: country, state and city of the device"
    )
    exclude_eids: frozenset[str] = Field(
        default=frozenset(), description="Event types that are not sent, such as LOG and HEARTBEAT"
    )
    errors: Literal["exception", "event"] = Field(
        default="exception", description="ERROR as $exception of Error tracking, or as 'error occurred'"
    )
    survey: Survey | None = Field(default=None, description="Send FEEDBACK as answers of this PostHog survey")
    base_urls: dict[str, Address] = Field(
        default_factory=dict,
        description="Producer id → address before its pages; else https:// and the producer id",
    )
    app_producers: Pattern = Field(
        default=APPS, description="Producers (id or pid) that are apps and show screens: a regular expression"
    )
    session_boundary_hour: int = Field(
        default=0, ge=0, le=23, description="UTC hour at which sessions that run on are cut, once a day"
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.capture_mode == "v0" and self.compression == "zstd":
            raise ValueError('compression = "zstd" needs capture v1; with v0 use gzip or none')
        if self.properties == "raw" and self.pseudonym_key is not None:
            raise ValueError(
                'pseudonym_key cannot work with properties = "raw": the raw event names its actor'
            )
        return self
