"""What `[sinks.<id>] type = "s3"` takes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from bridge.paths import from_config_folder
from bridge.secrets import Secret
from bridge.sinks import SinkConfig

__all__ = ["Place", "S3Config"]

Compression = Literal["gzip", "zstd", "none"]
PartitionBy = Literal["hour", "day", "none"]
PartitionTime = Literal["syncts", "record", "ets"]

SCHEMES = ("s3", "gs", "az", "file", "memory")
SERIALIZER = 1  # counts the ways lines have been turned into objects; a change names new objects
S3_ONLY = frozenset(
    {
        "endpoint",
        "region",
        "access_key",
        "secret_key",
        "session_token",
        "virtual_hosted",
        "sse",
        "kms_key_id",
        "bucket_key",
    }
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the archive lies: `scheme`, the bucket (a container, a name), and the prefix or path in it."""

    scheme: str
    bucket: str
    path: str

    @classmethod
    def of(cls, url: str) -> Place:
        """Split a destination's URL; `ValueError` says what is wrong with it."""
        scheme, _, rest = url.partition(":")
        if scheme not in SCHEMES:
            raise ValueError("write s3://bucket/prefix, gs://…, az://…, file:///folder or memory:///name")
        if scheme == "file":
            return cls(scheme, "", _folder(rest))
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise ValueError("credentials do not belong in the URL; use access_key and secret_key")
        if parts.query or parts.fragment:
            raise ValueError("a ? or # in the URL means nothing here")
        path = parts.path.strip("/")
        if scheme == "memory":
            return cls(scheme, f"{parts.netloc}/{path}", "")
        if not parts.netloc:
            raise ValueError(f"the bucket is missing: {scheme}://bucket/prefix")
        if any(segment in {"", ".", ".."} for segment in path.split("/")) and path:
            raise ValueError("the prefix must not hold empty, . or .. segments")
        return cls(scheme, parts.netloc, path)


def _folder(rest: str) -> str:
    if rest.startswith("//"):
        rest = rest[2:]
        if not rest.startswith("/"):
            raise ValueError(
                "write file:///absolute/folder, or file:folder for one beside the configuration file"
            )
    if not rest.strip("/") or "\0" in rest:
        raise ValueError("the folder is missing: file:///absolute/folder")
    return rest


class S3Config(SinkConfig):
    """An archive of objects, each with the events of one range of the journal."""

    url: str = Field(
        description="Where objects go: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, "
        "file:///folder or memory:///name.",
        examples=["s3://telemetry-archive/sunbird"],
    )
    guarantee: Literal["exactly-once", "single-owner", "at-least-once"] = Field(
        "exactly-once",
        description="exactly-once = the plan chain, for stores that honour If-None-Match; single-owner = the "
        "same for stores that do not, as long as no two processes write one stream in the same moment; "
        "at-least-once = no plans: a crash may repeat events under another object name.",
    )
    format: Literal["jsonl", "parquet"] = Field(
        "jsonl",
        description="jsonl = the events as they came, one a line; parquet = columns (extra `parquet`).",
    )
    compression: Compression | None = Field(
        None, description="gzip, zstd or none; unset = gzip for jsonl and zstd for parquet."
    )
    layout: Literal["hive", "secor"] = Field(
        "hive",
        description="hive = data/topic=…/dt=…/hour=…/ folders; secor = {date}-{partition}-{start} names as "
        "Sunbird's Secor jobs write them.",
    )
    partition_by: PartitionBy | None = Field(
        None,
        description="One object an hour, a day, or none of both; unset = hour, and day in the secor layout.",
    )
    partition_eid: bool = Field(
        default=False, description="Also one object per event type (eid); makes many small ones."
    )
    partition_time: PartitionTime = Field(
        "syncts",
        description="The time that decides the hour or day, in UTC: syncts = when the server got the event; "
        "ets = the device's clock; record = ets where it is within 7 days of the server's time, else that.",
    )
    min_object_bytes: int = Field(
        0,
        ge=0,
        description="Groups of a range that stay below this many bytes share one object without a date, "
        "so that late events make no tiny objects; 0 = every group has its own.",
    )
    endpoint: str | None = Field(
        None, description="URL of an S3-compatible server; unset = AWS.", examples=["https://s3.example.org"]
    )
    region: str | None = Field(
        None, description="Region of the bucket; unset = from the environment, or us-east-1."
    )
    access_key: Secret | None = Field(
        None,
        description="Access key id; unset = environment, web identity, pod identity, instance role, "
        "in this order.",
    )
    secret_key: Secret | None = Field(None, description="Secret access key, as env:NAME or file:/path.")
    session_token: Secret | None = Field(None, description="Session token of temporary keys.")
    virtual_hosted: bool = Field(
        default=False, description="Put the bucket into the host name instead of the path."
    )
    allow_http: bool = Field(default=False, description="Accept an endpoint without TLS.")
    ca_file: Path | None = Field(None, description="PEM file of authorities trusted besides the system's.")
    timeout: float = Field(120.0, gt=0, description="Seconds one request may take, its body included.")
    sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = Field(
        None, description="Server-side encryption to ask for; unset = the bucket's own."
    )
    kms_key_id: str | None = Field(
        None, description="Key for sse = aws:kms; unset = the account's default key."
    )
    bucket_key: bool | None = Field(
        None, description="Whether KMS uses a bucket key; unset = the bucket decides."
    )
    storage_class: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_]{1,32}$",
        description="Storage class of data objects; plans keep the bucket's default.",
        examples=["STANDARD_IA"],
    )

    @field_validator("url")
    @classmethod
    def _readable(cls, url: str, info: ValidationInfo) -> str:
        place = Place.of(url)
        if place.scheme != "file":
            return url
        folder = from_config_folder(place.path, info)
        return f"file://{folder}" if folder.startswith("/") else f"file:{folder}"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_keys()
        self._check_transport()
        self._check_layout()
        return self

    def _check_keys(self) -> None:
        strangers = sorted(S3_ONLY & self.model_fields_set) if self.place.scheme != "s3" else []
        if strangers:
            raise ValueError(f"only an s3:// url takes {', '.join(strangers)}")
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key go together")
        if self.session_token is not None and self.access_key is None:
            raise ValueError("session_token needs access_key and secret_key")
        if (self.kms_key_id or self.bucket_key is not None) and self.sse in {None, "AES256"}:
            raise ValueError('kms_key_id and bucket_key need sse = "aws:kms"')

    def _check_transport(self) -> None:
        if self.endpoint is None:
            return
        parts = urlsplit(self.endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("endpoint must be an http:// or https:// URL")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("endpoint must not hold credentials, a ? or a #")
        if parts.scheme == "http" and not self.allow_http:
            raise ValueError("endpoint has no TLS; write https://, or allow_http = true if that is meant")

    def _check_layout(self) -> None:
        if self.layout != "secor":
            return
        if self.format != "jsonl":
            raise ValueError("the secor layout holds JSON Lines only")
        if self.by != "day":
            raise ValueError("the secor layout has one object a day")

    @property
    def place(self) -> Place:
        """The destination, taken apart."""
        return Place.of(self.url)

    @property
    def by(self) -> PartitionBy:
        """How objects are divided by time."""
        return self.partition_by or ("day" if self.layout == "secor" else "hour")

    @property
    def codec(self) -> Compression:
        """How objects are compressed."""
        return self.compression or ("zstd" if self.format == "parquet" else "gzip")

    @property
    def generation(self) -> str:
        """Eight hex digits over everything here that decides an object's bytes: it names the objects."""
        lines = (SERIALIZER, self.format, self.codec, self.layout)
        groups = (self.by, self.partition_eid, self.partition_time, self.min_object_bytes)
        return hashlib.sha256(json.dumps([lines, groups]).encode()).hexdigest()[:8]
