"""An archive in S3, Google Cloud Storage, Azure or memory, through obstore."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store

from bridge.errors import SetupError
from bridge_s3.bucket import Bucket
from bridge_s3.keys import PLANS
from bridge_s3.wire import delivery_error, went_unanswered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from obstore import Attributes, PutMode
    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Config, S3Credential

    from bridge_s3 import config as settings

__all__ = ["Remote", "open_remote"]

PIECE = 1024 * 1024
PAGE = 1_000
KEYS_LAST = timedelta(minutes=5)
ANSWERS = (BaseError, OSError, ValueError, NotImplementedError)
NO_RETRIES: RetryConfig = {"max_retries": 0}  # the host retries, counts and backs off

_MEMORY: dict[str, MemoryStore] = {}
Answer = TypeVar("Answer")


class Remote(Bucket):
    """Objects of an obstore store; what it raises becomes a `DeliveryError` without its text."""

    def __init__(self, store: ObjectStore, attributes: Attributes) -> None:
        """`attributes` go with every data object; plans are JSON."""
        self._store = store
        self._attributes = attributes

    def create(self, key: str, parts: Sequence[bytes]) -> bool:
        """See `Bucket.create`; 412 and 409 both mean that somebody else wrote, or writes, the key."""
        try:
            self._put(key, parts, "create")
        except AlreadyExistsError:
            return False
        except ANSWERS as error:
            # A server that refuses a long upload may hang up before its 412 can be read.
            if went_unanswered(error) and self.size(key) is not None:
                return False
            raise delivery_error("writing", error) from None
        return True

    def replace(self, key: str, parts: Sequence[bytes]) -> None:
        """See `Bucket.replace`."""
        _guarded("writing", lambda: self._put(key, parts, "overwrite"))

    def stream(self, key: str) -> Iterator[bytes] | None:
        """See `Bucket.stream`."""
        found = _guarded("reading", lambda: self._present(obstore.get, key))
        return None if found is None else _pieces(found.stream(PIECE))

    def size(self, key: str) -> int | None:
        """See `Bucket.size`."""
        found = _guarded("reading", lambda: self._present(obstore.head, key))
        return None if found is None else int(found["size"])

    def keys(self, folder: str, after: str = "") -> Iterator[str]:
        """See `Bucket.keys`; stores list in ascending order."""
        pages = iter(obstore.list(self._store, folder or None, offset=after or None, chunk_size=PAGE))
        while page := _guarded("listing", lambda: next(pages, None)):
            yield from (entry["path"] for entry in page)

    def _put(self, key: str, parts: Sequence[bytes], mode: PutMode) -> None:
        plan = key.startswith(f"{PLANS}/")
        attributes = {"Content-Type": "application/json"} if plan and self._attributes else self._attributes
        # A multipart upload would be unconditional: object_store has no `create` for it.
        obstore.put(
            self._store, key, b"".join(parts), mode=mode, use_multipart=False, attributes=attributes or None
        )

    def _present(self, ask: Callable[[ObjectStore, str], Answer], key: str) -> Answer | None:
        try:
            return ask(self._store, key)
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            return None


def open_remote(config: settings.S3Config) -> Remote:
    """The store a configuration names; `SetupError` if its parts do not fit together."""
    place = config.place
    if place.scheme == "memory":
        return Remote(_MEMORY.setdefault(place.bucket, MemoryStore()), {})
    return Remote(_guarded("opening", lambda: _cloud(config)), _attributes(config))


def _cloud(config: settings.S3Config) -> ObjectStore:
    place = config.place
    shared: dict[str, Any] = {
        "prefix": place.path or None,
        "client_options": _client(config),
        "retry_config": NO_RETRIES,
    }
    if place.scheme == "gs":
        return GCSStore(place.bucket, **shared)
    if place.scheme == "az":
        return AzureStore(place.bucket, **shared)
    provider = _credentials(config) if config.access_key else None
    return S3Store(place.bucket, config=_s3(config), credential_provider=provider, **shared)


def _client(config: settings.S3Config) -> ClientConfig:
    options: ClientConfig = {
        "allow_http": config.allow_http,
        "timeout": timedelta(seconds=config.timeout),
        "connect_timeout": timedelta(seconds=5),
    }
    if config.ca_file:
        try:
            options["root_certificate"] = config.ca_file.read_bytes()
        except OSError as error:
            raise SetupError(f"ca_file cannot be read: {error.strerror}") from None
    return options


def _s3(config: settings.S3Config) -> S3Config:
    chosen: dict[str, Any] = {
        "endpoint": _endpoint(config),
        "region": config.region,
        "server_side_encryption": config.sse,
        "sse_kms_key_id": config.kms_key_id,
        "sse_bucket_key_enabled": config.bucket_key,
        "virtual_hosted_style_request": config.virtual_hosted or None,
    }
    found: S3Config = {}
    found.update({name: value for name, value in chosen.items() if value is not None})  # type: ignore[typeddict-item]
    return found


def _endpoint(config: settings.S3Config) -> str | None:
    """The endpoint; in the virtual-hosted style object_store wants the bucket in its host name."""
    if not config.endpoint or not config.virtual_hosted:
        return config.endpoint
    parts = urlsplit(config.endpoint)
    bucket = config.place.bucket
    host = parts.netloc if parts.netloc.startswith(f"{bucket}.") else f"{bucket}.{parts.netloc}"
    return parts._replace(netloc=host).geturl()


def _credentials(config: settings.S3Config) -> Callable[[], S3Credential]:
    """Keys read anew every few minutes, so that a rotated `file:` secret is taken up."""

    def provide() -> S3Credential:
        if config.access_key is None or config.secret_key is None:
            raise ValueError("access_key and secret_key go together")
        token = config.session_token.reveal() if config.session_token else None
        return {
            "access_key_id": config.access_key.reveal(),
            "secret_access_key": config.secret_key.reveal(),
            "token": token,
            "expires_at": datetime.now(UTC) + KEYS_LAST,
        }

    return provide


def _attributes(config: settings.S3Config) -> Attributes:
    """Compressed lines are not declared as such: clients would unpack them behind the reader's back."""
    parquet = config.format == "parquet"
    kind = "application/vnd.apache.parquet" if parquet else "application/x-ndjson"
    attributes: Attributes = {"Content-Type": kind}
    return attributes | {"Storage-Class": config.storage_class} if config.storage_class else attributes


def _guarded(verb: str, ask: Callable[[], Answer]) -> Answer:
    try:
        return ask()
    except ANSWERS as error:
        raise delivery_error(verb, error) from None


def _pieces(stream: Iterator[Any]) -> Iterator[bytes]:
    while (piece := _guarded("reading", lambda: next(stream, None))) is not None:
        yield bytes(piece)
