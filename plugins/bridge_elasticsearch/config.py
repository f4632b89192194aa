"""What operators write under `[sinks.<id>] type = "elasticsearch"`."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from bridge.http import TlsConfig
from bridge.secrets import Secret
from bridge.sinks import SinkConfig
from bridge_elasticsearch.auth import api_key_header
from bridge_elasticsearch.naming import IndexPattern, bucket_name

__all__ = ["DEFAULT_INDEX", "ElasticsearchConfig", "SigV4Config"]

DEFAULT_INDEX = "sunbird-telemetry-v1-{yyyy.MM.dd}"


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("write the address as https://host:9200")
    if parts.username or parts.password:
        raise ValueError("keep credentials out of the address: use username and password, or api_key")
    if parts.query or parts.fragment:
        raise ValueError("the address ends with the path, without ? or #")
    return url.rstrip("/")


def _index(text: str) -> str:
    IndexPattern.parse(text)
    return text


Address = Annotated[str, AfterValidator(_address)]


class SigV4Config(BaseModel):
    """`[sinks.<id>.sigv4]`: requests signed for Amazon OpenSearch."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    region: str = Field(min_length=1, description="AWS region of the domain, as ap-south-1")
    service: Literal["es", "aoss"] = Field("es", description="es: a domain; aoss: OpenSearch Serverless")
    access_key_id: Secret = Field(Secret("env:AWS_ACCESS_KEY_ID"), description="access key id")
    secret_access_key: Secret = Field(Secret("env:AWS_SECRET_ACCESS_KEY"), description="secret access key")
    session_token: Secret | None = Field(None, description="session token of temporary credentials")

    @model_validator(mode="after")
    def _credentials_resolve(self) -> Self:
        self.access_key_id.reveal()
        self.secret_access_key.reveal()
        return self


class ElasticsearchConfig(SinkConfig):
    """One index family of one Elasticsearch or OpenSearch cluster."""

    url: Address | tuple[Address, ...] = Field(
        description="address of the cluster, or several of its nodes that take turns"
    )
    index: Annotated[str, AfterValidator(_index)] = Field(
        DEFAULT_INDEX,
        description="index name; {yyyy.MM.dd}, {yyyy.MM} or {xxxx.ww} of the record's UTC time, and {route}",
    )
    data_stream: bool = Field(
        default=False,
        description="the index is a data stream: a fixed name, and @timestamp is added where missing",
    )
    id: Literal["identity", "mid"] = Field(
        "identity", description="document id: identity (hash of mid, eid, ets, actor, device) or mid alone"
    )
    shape: Literal["sunbird", "ecs"] = Field(
        "sunbird",
        description="sunbird: the event as it came; ecs: Elastic Common Schema, the event under sunbird",
    )
    timestamp: Literal["keep", "add"] = Field(
        "keep", description="add: give documents without @timestamp the record's time"
    )
    search_all_edata: bool = Field(
        default=False,
        description="copy edata to edata_all, where every key can be searched (one field in the mapping)",
    )
    route_by: Literal["eid", "channel"] = Field("eid", description="what {route} is looked up by")
    routes: dict[str, str] | tuple[str, ...] = Field(
        default_factory=dict,
        description='buckets of {route}: {AUDIT = "audit"}, or ["AUDIT"] to name them alike',
    )
    default_route: str = Field("other", description="bucket of every value that routes does not list")
    pipeline: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]+$", description="ingest pipeline to run")
    failure_store: Literal["accept", "reject"] = Field(
        "accept", description="reject: dead-letter what the cluster put into its failure store"
    )
    compression: Literal["gzip", "none"] = Field(
        "gzip", description="of requests; none saves CPU on a fast network"
    )
    template: str = Field(
        "sunbird-telemetry",
        pattern=r"^[a-z0-9][a-z0-9._-]*$|^$",
        description='index template that check expects and --setup writes; "" leaves templates to you',
    )
    shards: int = Field(1, ge=1, le=1_024, description="primary shards per index, in the template")
    replicas: int = Field(1, ge=0, le=16, description="replicas per shard, in the template")
    retention_days: int | None = Field(
        None, ge=1, description="--setup also writes a policy that deletes indices of this age"
    )
    api_key: Secret | None = Field(
        None, description="Elasticsearch API key: id:key, its base64 form, or essu_…"
    )
    username: str | None = Field(None, min_length=1, description="user name, with password")
    password: Secret | None = Field(None, description="password, with username")
    bearer_token: Secret | None = Field(None, description="bearer token (service account, JWT)")
    sigv4: SigV4Config | None = Field(None, description="sign requests for Amazon OpenSearch")
    tls: TlsConfig | None = Field(None, description="own authorities and client certificate")
    deadline: float = Field(
        60.0, gt=0, le=600, description="seconds for one request, from connecting to last byte"
    )
    connect_timeout: float = Field(5.0, gt=0, le=60, description="seconds to connect")

    @field_validator("api_key")
    @classmethod
    def _readable_key(cls, key: Secret | None) -> Secret | None:
        if key is not None:
            api_key_header(key.reveal())
        return key

    @field_validator("routes")
    @classmethod
    def _legal_buckets(cls, routes: dict[str, str] | tuple[str, ...]) -> dict[str, str]:
        table = routes if isinstance(routes, dict) else {value: bucket_name(value) for value in routes}
        for bucket in table.values():
            _require_bucket(bucket)
        if not isinstance(routes, dict) and len(set(table.values())) < len(table):
            raise ValueError('two of these values would share a bucket: name the buckets, {VALUE = "bucket"}')
        return table

    @field_validator("default_route")
    @classmethod
    def _legal_default(cls, bucket: str) -> str:
        _require_bucket(bucket)
        return bucket

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ways = [self.api_key, self.username, self.bearer_token, self.sigv4]
        if sum(way is not None for way in ways) > 1:
            raise ValueError("use one of api_key, username, bearer_token and sigv4")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.data_stream and self.pattern.dated:
            raise ValueError("a data stream has a fixed name: take the date out of index")
        if bool(self.routes) != self.pattern.routed:
            raise ValueError("routes and {route} in index go together")
        return self

    @property
    def urls(self) -> tuple[str, ...]:
        """Every address, without a slash at the end."""
        return (self.url,) if isinstance(self.url, str) else self.url

    @property
    def pattern(self) -> IndexPattern:
        """The compiled index name."""
        return IndexPattern.parse(self.index)

    @property
    def buckets(self) -> dict[str, str]:
        """Event value → bucket of `{route}`."""
        return dict(self.routes) if isinstance(self.routes, dict) else {}


def _require_bucket(bucket: str) -> None:
    if not bucket or bucket_name(bucket) != bucket:
        raise ValueError("a bucket has lower-case letters, digits, '-' and '_', 40 at most")
