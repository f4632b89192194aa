"""The sink: the only module of this plugin that talks to the network."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec

from bridge.errors import SetupError
from bridge.http import HttpClient, raise_for_status
from bridge.sinks import BatchLimits, Sink
from bridge_elasticsearch import auth, templates, wire
from bridge_elasticsearch.aside import FAILURE_STORE, FailureStore
from bridge_elasticsearch.config import ElasticsearchConfig
from bridge_elasticsearch.mapping import DocumentMap
from bridge_elasticsearch.naming import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from bridge.events import Event
    from bridge.http import Answer
    from bridge.sinks import Batch, Outcome
    from bridge_elasticsearch.templates import Product

__all__ = ["ElasticsearchSink"]

JSON_HEADERS = {"content-type": "application/json", "accept": "application/json"}
FORBIDDEN, NOT_FOUND = 403, 404
MIB = 1024 * 1024


class ElasticsearchSink(Sink[ElasticsearchConfig, bytes]):
    """Documents by `_bulk`: `create` with an id of the event's own, so a redelivery changes nothing."""

    name: ClassVar[str] = "elasticsearch"
    config_type = ElasticsearchConfig
    limits = BatchLimits(max_events=4_000, max_bytes=5 * MIB, max_age=1.0, max_payload_bytes=10 * MIB)

    def __init__(self, config: ElasticsearchConfig, clock: Callable[[], float] = time.time) -> None:
        super().__init__(config)
        self._clock = clock
        self._documents = DocumentMap(config)
        self._path = wire.bulk_path(config.pipeline)
        self._turns = itertools.cycle(config.urls)
        self._aside = FailureStore(clock)
        self._client: HttpClient | None = None

    def __enter__(self) -> Self:
        self._client = HttpClient(
            deadline=self.config.deadline,
            connect_timeout=self.config.connect_timeout,
            max_answer=wire.MAX_ANSWER,
            tls=self.config.tls.settings() if self.config.tls else None,
        )
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()

    def map(self, event: Event) -> bytes:
        """Give the event's document; its action line is made when it is sent."""
        return self._documents.one(event)

    def map_batch(self, events: Sequence[Event]) -> Sequence[bytes]:
        """Map column by column."""
        return self._documents.many(events)

    def send(self, batch: Batch[bytes]) -> Sequence[Outcome]:
        """Send one bulk request and answer item by item."""
        body, headers = wire.frame(self._lines(batch), self.config.compression)
        answer = self._exchange("POST", self._path, body, headers)
        outcomes = wire.read(
            answer,
            len(batch),
            attempt=batch.attempt,
            now=self._clock(),
            failure_store=self.config.failure_store,
        )
        if used := answer.body.count(wire.IN_FAILURE_STORE):
            self._aside.add(used, batch.sink)
        return outcomes

    def tally(self) -> Mapping[str, int]:
        """Documents that the cluster took, but put into its failure store."""
        return {FAILURE_STORE: self._aside.total}

    def explain(self, batch: Batch[bytes]) -> str:
        """Show the request as text: the body before compression, the credentials as a mask."""
        _, headers = wire.frame((), self.config.compression)
        url = self.config.urls[0] + self._path
        secret = auth.headers(self.config, "POST", url, b"", self._clock())
        headers |= dict.fromkeys(secret, "**********")
        head = [f"POST {url}", *(f"{name}: {value}" for name, value in headers.items())]
        return "\n".join(head) + "\n\n" + b"".join(self._lines(batch)).decode("utf-8", "replace")

    def check(self) -> str:
        """Say which product answers, whether it lets us write, and whether the template is right."""
        product = self._product()
        self._require_bulk()
        return f"{product or 'a product that does not say which'}; {self._template_state()}"

    def setup(self) -> str:
        """Write the index template, and the retention policy if configured; say what was written.

        Only ever called on request (`bridge check --setup`).
        """
        if not self.config.template:
            return "nothing to set up: template is empty"
        product = self._product()
        if product is None:
            raise SetupError(
                "the role may not ask which product this is (GET /), so no template can be chosen"
            )
        if not product.supported:
            oldest = ".".join(map(str, templates.OLDEST[product.name]))
            raise SetupError(f"{product} is too old for the template; {product.name} {oldest} is the oldest")
        written = [f"index template {self.config.template} for {self.config.pattern.wildcard}"]
        policy = templates.policy(self.config, product.name)
        if policy is not None:
            self._put_policy(*policy)
            written.append(f"policy {self.config.template}: delete after {self.config.retention_days} days")
        self._put(f"/_index_template/{self.config.template}", templates.template(self.config, product.name))
        return f"{product}: wrote {' and '.join(written)}"

    def _lines(self, batch: Batch[bytes]) -> Iterable[bytes]:
        return self._documents.lines(batch.payloads, batch.events)

    def _product(self) -> Product | None:
        answer = self._exchange("GET", "/", b"", JSON_HEADERS)
        if answer.status in {FORBIDDEN, NOT_FOUND}:  # a narrow role; Amazon's serverless has no GET /
            return None
        raise_for_status(answer, self._clock())
        product = templates.product_of(_object(answer))
        if product is None:
            raise SetupError(
                f"HTTP {answer.status}, but neither Elasticsearch nor OpenSearch; check the address"
            )
        return product

    def _require_bulk(self) -> None:
        """An empty bulk request changes nothing; with the right to write it is a 400, without a 403."""
        answer = self._exchange("POST", "/_bulk", b"\n", wire.HEADERS)
        raise_for_status(answer, self._clock())
        if not isinstance(_object(answer).get("error"), dict):
            raise SetupError(f"HTTP {answer.status}: there is no _bulk of Elasticsearch at this address")

    def _template_state(self) -> str:
        if not self.config.template:
            return "template left to you"
        index = self.config.pattern.name(int(self._clock() * 1_000) // DAY, self.config.default_route)
        answer = self._exchange("POST", f"/_index_template/_simulate_index/{index}", b"", JSON_HEADERS)
        if answer.status in {FORBIDDEN, NOT_FOUND}:
            return "template not checked: the role may not read templates, which delivery does not need"
        raise_for_status(answer, self._clock())
        problem = templates.problem(_object(answer), self.config.shape)
        if problem:
            raise SetupError(f'{problem}; run bridge check --setup, or set template = ""')
        return f"template {self.config.template} is right for {index}"

    def _put_policy(self, path: str, body: dict[str, Any]) -> None:
        """Replace a policy; OpenSearch wants to be told which version of it."""
        current = self._exchange("GET", path, b"", JSON_HEADERS)
        found = _object(current) if current.status == wire.OK else {}
        if "_seq_no" in found:
            path += f"?if_seq_no={found['_seq_no']}&if_primary_term={found['_primary_term']}"
        self._put(path, body)

    def _put(self, path: str, body: dict[str, Any]) -> None:
        answer = self._exchange("PUT", path, json.dumps(body).encode(), JSON_HEADERS)
        raise_for_status(answer, self._clock())
        if answer.status not in {200, 201}:
            raise SetupError(
                f"PUT {path.partition('?')[0]}: HTTP {answer.status} {wire.error_of(answer)}".rstrip()
            )

    def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        if self._client is None:
            raise RuntimeError("the sink is used outside its context manager")
        url = next(self._turns) + path
        secret = auth.headers(self.config, method, url, body, self._clock())
        return self._client.request(method, url, content=body, headers={**headers, **secret})


def _object(answer: Answer) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    if isinstance(found, dict):
        return found
    raise SetupError(f"HTTP {answer.status} without JSON; check the address")
