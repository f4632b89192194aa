"""What `bridge check --setup` writes: an index template, and a retention policy if asked for.

The JSON files in `assets` are complete and can be put by hand; here they are fitted to a
configuration: the index, shards, a data stream, the policy.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge_elasticsearch.config import ElasticsearchConfig

__all__ = ["ELASTICSEARCH", "OPENSEARCH", "SCHEMA", "Product", "policy", "problem", "product_of", "template"]

ELASTICSEARCH, OPENSEARCH = "Elasticsearch", "OpenSearch"
SCHEMA = 1
OLDEST = {ELASTICSEARCH: (7, 17), OPENSEARCH: (2, 7)}
"""The oldest versions that templates are written for; `flat_object` came with OpenSearch 2.7."""


@dataclass(frozen=True, slots=True)
class Product:
    """Which of the two answers, and its version as `8.19.0`."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def supported(self) -> bool:
        """Whether the templates are written for this version."""
        numbers = tuple(int(part) for part in self.version.split(".")[:2] if part.isdecimal())
        return numbers >= OLDEST[self.name]


def product_of(greeting: dict[str, Any]) -> Product | None:
    """Tell the product from the answer to `GET /`; None if it is neither.

    OpenSearch names itself; Amazon's compatibility mode reports 7.10.2 but keeps that word.
    """
    version = greeting.get("version")
    if not isinstance(version, dict) or "number" not in version:
        return None
    opensearch = version.get("distribution") == "opensearch"
    return Product(OPENSEARCH if opensearch else ELASTICSEARCH, str(version["number"]))


def template(config: ElasticsearchConfig, product: str) -> dict[str, Any]:
    """Return the body of `PUT /_index_template/<name>` for this configuration and product."""
    body: dict[str, Any] = _asset(f"templates/{config.shape}.{product.lower()}.json")
    body["index_patterns"] = [config.pattern.wildcard]
    settings, mappings = body["template"]["settings"], body["template"]["mappings"]
    settings["index.number_of_shards"] = config.shards
    settings["index.number_of_replicas"] = config.replicas
    if config.retention_days and product == ELASTICSEARCH:
        settings["index.lifecycle.name"] = config.template
    if config.data_stream:
        body["data_stream"] = {}
        mappings["properties"]["@timestamp"]["ignore_malformed"] = False  # a data stream insists
    return body


def policy(config: ElasticsearchConfig, product: str) -> tuple[str, dict[str, Any]] | None:
    """Return path and body of the policy that deletes old indices; None unless `retention_days` is set."""
    if not config.retention_days:
        return None
    age = f"{config.retention_days}d"
    if product == ELASTICSEARCH:
        body: dict[str, Any] = _asset("policies/elasticsearch-ilm.json")
        body["policy"]["phases"]["delete"]["min_age"] = age
        return f"/_ilm/policy/{config.template}", body
    body = _asset("policies/opensearch-ism.json")
    body["policy"]["states"][0]["transitions"][0]["conditions"]["min_index_age"] = age
    body["policy"]["ism_template"][0]["index_patterns"] = [config.pattern.wildcard]
    return f"/_plugins/_ism/policies/{config.template}", body


def problem(simulated: dict[str, Any], shape: str) -> str | None:
    """Say what is wrong with the template that would make the next index, or None.

    `simulated` is the answer of `POST /_index_template/_simulate_index/<index>`.
    """
    mappings = simulated.get("template", {}).get("mappings", {})
    mark = mappings.get("_meta", {})
    if "sunbird_bridge" not in mark:
        return "no template of the bridge covers the index"
    if mark["sunbird_bridge"] != SCHEMA:
        return f"the template is of schema {mark['sunbird_bridge']}, this version brings {SCHEMA}"
    if mark.get("shape") != shape:
        return f"the template is for shape {mark.get('shape')!r}, the sink writes {shape!r}"
    if str(mappings.get("dynamic")).lower() != "false":
        return "the template no longer has dynamic: false, so fields grow with every new key"
    return None


def _asset(name: str) -> Any:
    return json.loads((files("bridge_elasticsearch") / "assets" / name).read_text("utf-8"))
