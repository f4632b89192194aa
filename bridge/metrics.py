"""Every metric the bridge exports, in one list, and how each is read from a pipeline's snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.metrics_core import Metric as Family

    from bridge.reports import Snapshot

__all__ = ["METRICS", "STATES", "Metric", "exposition"]

STATES = ("starting", "running", "idle", "retrying", "setup", "blocked", "draining", "stopped", "failed")
OUTCOMES = ("delivered", "duplicate", "filtered", "invalid", "dead_lettered", "returned")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name, kind, help with the unit, and its value for a pipeline.

    A metric without `value` has one more label; a value of None is unknown, and left out.
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    value: Callable[[Snapshot], float | None] | None


METRICS = (
    Metric("bridge_events_read_total", "counter", "Events read from the journal.", lambda s: s.counts.read),
    Metric("bridge_events_total", "counter", "Events settled, by outcome.", None),
    Metric(
        "bridge_events_outstanding", "gauge", "Events read, not settled yet.", lambda s: s.counts.outstanding
    ),
    Metric(
        "bridge_conservation_ok", "gauge", "1 while every event read is accounted for.",
        lambda s: int(s.counts.conserved),
    ),
    Metric("bridge_sends_total", "counter", "Requests or objects sent, retries included.", lambda s: s.sends),
    Metric("bridge_send_retries_total", "counter", "Sends that repeat an earlier one.", lambda s: s.retries),
    Metric(
        "bridge_delivered_bytes_total", "counter", "Payload bytes acknowledged.", lambda s: s.delivered_bytes
    ),
    Metric("bridge_held_bytes", "gauge", "Bytes of payload in memory.", lambda s: s.held_bytes),
    Metric("bridge_sends_in_flight", "gauge", "Sends waiting for an answer.", lambda s: s.in_flight),
    Metric("bridge_events_per_second", "gauge", "Delivered events a second, lately.", lambda s: s.rate),
    Metric("bridge_lag_records", "gauge", "Journal records not read yet.", lambda s: s.lag_records),
    Metric("bridge_lag_bytes", "gauge", "Journal bytes not read yet.", lambda s: s.lag_bytes),
    Metric("bridge_lag_seconds", "gauge", "Age of the oldest record not read yet.", lambda s: s.lag_seconds),
    Metric("bridge_pipeline_state", "gauge", "1 for the state the pipeline is in.", None),
)  # fmt: skip


class _Pipelines(Collector):
    def __init__(self, snapshots: Iterable[Snapshot]) -> None:
        self._snapshots = list(snapshots)

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            yield self._family(metric)

    def _family(self, metric: Metric) -> Family:
        if metric.name == "bridge_events_total":
            return self._labelled(metric, "outcome", OUTCOMES, lambda s, o: getattr(s.counts, o))
        if metric.name == "bridge_pipeline_state":
            return self._labelled(metric, "state", STATES, lambda s, state: float(s.state == state))
        family = _family(metric, ("pipeline", "type"))
        for snapshot in self._snapshots:
            value = metric.value(snapshot) if metric.value else None
            if value is not None:
                family.add_metric((snapshot.pipeline, snapshot.type), value)
        return family

    def _labelled(
        self, metric: Metric, label: str, values: Iterable[str], read: Callable[[Snapshot, str], float]
    ) -> Family:
        family = _family(metric, ("pipeline", "type", label))
        for snapshot in self._snapshots:
            for value in values:
                family.add_metric((snapshot.pipeline, snapshot.type, value), read(snapshot, value))
        return family


def exposition(snapshots: Iterable[Snapshot]) -> bytes:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Pipelines(snapshots))
    return generate_latest(registry)


def _family(metric: Metric, labels: tuple[str, ...]) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(metric.name, metric.help, labels=labels)
