"""What operators write under `[journal] type = "kafka"`: brokers, topics, presets, security. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from bridge.journals.base import JournalConfig
from bridge.secrets import Secret

__all__ = ["PRESET_LEVELS", "KafkaJournalConfig", "KafkaSecurity", "refusal"]

OptionValue = str | int | float | bool

# ERROR and LOG events leave Sunbird's stream of unique events for topics of their own.
PRESET_TOPICS = {
    "sunbird": ("{env}.telemetry.unique", "{env}.telemetry.error", "{env}.druid.events.log"),
    "digit": ("telemetry-final-messages",),
}
PRESET_LEVELS: dict[str, Literal["envelope"]] = {"digit": "envelope"}

OWNED = "the bridge sets it, because what it promises depends on it"
UNSAFE = "it could load code, run a command or read what it is pointed at"
UNVERIFIED = "certificates are always verified; name your own authority in security.ca_file"
REFUSED_OPTIONS: tuple[tuple[str, str], ...] = (
    (r"enable\.auto\.commit|enable\.auto\.offset\.store|auto\.offset\.reset|group\.id", OWNED),
    (r"enable\.partition\.eof|partition\.assignment\.strategy|enable\.idempotence", OWNED),
    (r"acks|request\.required\.acks", OWNED),
    (r"offset\.store\..*|auto\.commit\..*|transactional\.id|go\..*|.*_cb|logger|opaque|log\.queue", OWNED),
    (r"bootstrap\.servers|metadata\.broker\.list", "write it as brokers"),
    (r"group\.protocol|group\.remote\.assignor", "write it as group_protocol"),
    (r"group\.instance\.id", "write it as static_id"),
    (r"enable\.ssl\.certificate\.verification|ssl\.endpoint\.identification\.algorithm", UNVERIFIED),
    (r"plugin\.library\.paths|ssl\.engine.*|ssl\.providers|sasl\.kerberos\..*|sasl\.oauthbearer\..*", UNSAFE),
    (r"security\.protocol|sasl\..*|https\..*", "write it under security"),
    (r"ssl\.(ca|certificate|key|keystore|crl)\..*", "write it under security"),
)  # fmt: skip


def refusal(option: str) -> str | None:
    """Why a librdkafka option cannot be passed through; None if it can."""
    return next((why for pattern, why in REFUSED_OPTIONS if re.fullmatch(pattern, option)), None)


def _broker(text: str) -> str:
    if not re.fullmatch(r"\[?[A-Za-z0-9._:-]+\]?:[0-9]{1,5}", text):
        raise ValueError("write a broker as host:port, for example kafka-1:9092")
    return text


def _topic(text: str) -> str:
    if text.startswith("^"):
        try:
            re.compile(text)
        except re.error:
            raise ValueError("this is no regular expression") from None
    elif not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", text):
        raise ValueError("a topic has letters, digits, '.', '_' and '-'; a pattern begins with ^")
    return text


def _token_url(url: str | None) -> str | None:
    if url is not None and not re.match(r"https://[^/\s@]+(/|$)", url):
        raise ValueError("write the token endpoint as https://host/path, without credentials in it")
    return url


Broker = Annotated[str, AfterValidator(_broker)]
Topic = Annotated[str, AfterValidator(_topic)]


class KafkaSecurity(BaseModel):
    """`[journal.security]`: TLS and SASL of every connection to the brokers."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    tls: bool = Field(
        default=False, description="Encrypt connections; the brokers' certificates are verified."
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authorities that sign the brokers' certificates; unset = the system's.",
    )
    cert_file: Path | None = Field(
        default=None, description="PEM file of the client's certificate (mutual TLS)."
    )
    key_file: Path | None = Field(default=None, description="PEM file of its key.")
    key_password: Secret | None = Field(default=None, description="Password of the key.")
    sasl: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = Field(
        default=None, description="How the bridge proves who it is; unset = it does not."
    )
    username: str | None = Field(default=None, min_length=1, description="User name, for PLAIN and SCRAM.")
    password: Secret | None = Field(default=None, description="Password, for PLAIN and SCRAM.")
    token: Secret | None = Field(
        default=None,
        description="OAUTHBEARER: a token that something else keeps fresh; file: is read anew each time.",
    )
    token_url: Annotated[str | None, AfterValidator(_token_url)] = Field(
        default=None,
        description="OAUTHBEARER: https address of the token endpoint (client credentials grant).",
        examples=["https://login.example.org/oauth2/token"],
    )
    client_id: str | None = Field(
        default=None, min_length=1, description="OAUTHBEARER: client id, with token_url."
    )
    client_secret: Secret | None = Field(
        default=None, description="OAUTHBEARER: client secret, with token_url."
    )
    scope: str | None = Field(default=None, description="OAUTHBEARER: scope to ask for, with token_url.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        named = self.username is not None and self.password is not None
        if self.sasl in {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} and not named:
            raise ValueError(f"{self.sasl} needs username and password")
        if self.sasl == "OAUTHBEARER" and (self.token is None) == (self.token_url is None):
            raise ValueError("OAUTHBEARER needs either token or token_url")
        if self.token_url is not None and (self.client_id is None or self.client_secret is None):
            raise ValueError("token_url needs client_id and client_secret")
        if not self.tls and (self.ca_file or self.cert_file or self.key_file):
            raise ValueError("these files are used with tls = true only")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self


class KafkaJournalConfig(JournalConfig):
    """`[journal] type = "kafka"`: one consumer group per sink, called `<instance>.<sink>`."""

    brokers: tuple[Broker, ...] = Field(
        min_length=1, description="Where to begin to look for the cluster.", examples=[["localhost:9092"]]
    )
    preset: Literal["sunbird", "digit"] | None = Field(
        default=None,
        description="The topics of a known installation; sunbird needs env, digit sets validation.level.",
    )
    env: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._-]*$",
        description='What Sunbird\'s topics begin with, for preset = "sunbird".',
        examples=["prod"],
    )
    topics: tuple[Topic, ...] = Field(
        default=(),
        description="Topics to read, in place of the preset's; with ^ in front, a regular expression.",
        examples=[["prod.telemetry.unique"]],
    )
    start_timestamp: datetime | None = Field(
        default=None,
        description="Where a sink without a cursor begins: the first event after this moment.",
        examples=["2026-01-31T00:00:00Z"],
    )
    group_protocol: Literal["classic", "consumer"] = Field(
        default="classic",
        description="classic = cooperative-sticky, for any broker; consumer = KIP-848, for brokers from 4.0.",
    )
    static_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="Stable name of this process (group.instance.id), so that a restart moves no partition.",
        examples=["bridge-0"],
    )
    append_to: Topic | None = Field(
        default=None,
        description="Topic that intakes write to; unset = the topic of topics, if that is only one.",
        examples=["telemetry"],
    )
    dead_letter_topic: Topic | None = Field(
        default=None,
        description="Topic for dead letters; unset = they are kept in the state file.",
        examples=["telemetry.dead-letters"],
    )
    security: KafkaSecurity = Field(default=KafkaSecurity(), description="TLS and SASL.")
    options: dict[str, OptionValue] = Field(
        default_factory=dict,
        description="Options of librdkafka to pass through; what correctness or safety needs is refused.",
        examples=[{"client.rack": "az-1"}],
    )

    @field_validator("brokers", mode="before")
    @classmethod
    def _split(cls, brokers: Any) -> Any:
        return [part.strip() for part in brokers.split(",")] if isinstance(brokers, str) else brokers

    @field_validator("start_timestamp")
    @classmethod
    def _with_zone(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and moment.tzinfo is None:
            raise ValueError("say which time zone, for example 2026-01-31T00:00:00Z")
        return moment

    @field_validator("append_to", "dead_letter_topic")
    @classmethod
    def _plain(cls, topic: str | None) -> str | None:
        if topic is not None and topic.startswith("^"):
            raise ValueError("this must be the name of one topic")
        return topic

    @field_validator("options")
    @classmethod
    def _harmless(cls, options: dict[str, OptionValue]) -> dict[str, OptionValue]:
        for option in options:
            if why := refusal(option):
                raise ValueError(f"{option} cannot be set here: {why}")
        return options

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.topics and self.preset is None:
            raise ValueError("write topics, or a preset")
        if self.preset == "sunbird" and not self.env and not self.topics:
            raise ValueError('preset = "sunbird" needs env, what the topics begin with')
        return self

    @property
    def read_topics(self) -> tuple[str, ...]:
        """What to subscribe to: `topics`, or the preset's."""
        if self.topics:
            return self.topics
        return tuple(topic.format(env=self.env) for topic in PRESET_TOPICS[self.preset or ""])

    @property
    def write_topic(self) -> str | None:
        """Where `append` writes; None where the configuration leaves it open."""
        if self.append_to is not None or len(self.read_topics) != 1:
            return self.append_to
        (only,) = self.read_topics
        return None if only.startswith("^") else only

    @property
    def validation_level(self) -> Literal["strict", "lenient", "envelope"] | None:
        """The level that the preset's events need: DIGIT's do not follow the official schemas."""
        return PRESET_LEVELS.get(self.preset or "")
