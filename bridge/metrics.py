"""Every metric the bridge exports, in two lists: those of pipelines, and those of intakes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric as Family

    from bridge.intake.status import IntakeStatus
    from bridge.reports import Snapshot

__all__ = ["INTAKE_METRICS", "METRICS", "STATES", "IntakeMetric", "Metric", "exposition"]

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


@dataclass(frozen=True, slots=True)
class IntakeMetric:
    """One metric of the intakes: `values` are by the values of its `label`.

    Without a label there is one value, under ""; what an intake does not count is left out.
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    label: str
    values: Callable[[IntakeStatus], Mapping[str, float | None]]


METRICS = (
    Metric("bridge_events_read_total", "counter", "Events read from the journal.", lambda s: s.counts.read),
    Metric(
        "bridge_events_derived_total", "counter", "Events that stages made of others.",
        lambda s: s.counts.derived,
    ),
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
    Metric(
        "bridge_lag_retention_ratio", "gauge",
        "That age as a share of the time the journal keeps records; at 1 they go.",
        lambda s: s.lag_of_retention,
    ),
    Metric(
        "bridge_events_missed_total", "counter", "Events that had gone from the journal unread, at most.",
        lambda s: s.missed,
    ),
    Metric("bridge_sink_events_total", "counter", "What a sink counts besides, by kind.", None),
    Metric("bridge_pipeline_state", "gauge", "1 for the state the pipeline is in.", None),
)  # fmt: skip

INTAKE_METRICS = (
    IntakeMetric(
        "bridge_intake_ok", "gauge", "1 while events can be stored.", "", lambda s: {"": not s.trouble}
    ),
    IntakeMetric(
        "bridge_intake_events_total", "counter", "Events taken in, by outcome.", "outcome", lambda s: s.events
    ),
    IntakeMetric(
        "bridge_intake_batches_total", "counter", "Batches answered with 200, by outcome.", "outcome",
        lambda s: s.batches,
    ),
    IntakeMetric(
        "bridge_intake_refusals_total", "counter", "Requests refused, by HTTP status.", "status",
        lambda s: s.refusals,
    ),
    IntakeMetric(
        "bridge_intake_files_total", "counter", "Files read to their end, by outcome.", "outcome",
        lambda s: s.files,
    ),
    IntakeMetric(
        "bridge_intake_connections", "gauge", "Clients that are connected.", "", lambda s: {"": s.connections}
    ),
    IntakeMetric(
        "bridge_intake_held_bytes", "gauge", "Bytes of requests that are not answered yet.", "",
        lambda s: {"": s.held_bytes},
    ),
)  # fmt: skip


class _Status(Collector):
    def __init__(self, snapshots: Iterable[Snapshot], intakes: Iterable[IntakeStatus]) -> None:
        self._snapshots = list(snapshots)
        self._intakes = list(intakes)

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            yield self._family(metric)
        if self._intakes:
            for intake_metric in INTAKE_METRICS:
                yield self._of_intakes(intake_metric)

    def _of_intakes(self, metric: IntakeMetric) -> Family:
        family = _family(metric, ("intake", metric.label) if metric.label else ("intake",))
        for status in self._intakes:
            for label, value in metric.values(status).items():
                if value is not None:
                    family.add_metric((status.intake, label) if metric.label else (status.intake,), value)
        return family

    def _family(self, metric: Metric) -> Family:
        if metric.name == "bridge_events_total":
            return self._labelled(metric, "outcome", OUTCOMES, lambda s, o: getattr(s.counts, o))
        if metric.name == "bridge_sink_events_total":
            family = _family(metric, ("pipeline", "type", "kind"))
            for snapshot in self._snapshots:
                for kind, count in snapshot.tally.items():
                    family.add_metric((snapshot.pipeline, snapshot.type, kind), count)
            return family
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


def exposition(snapshots: Iterable[Snapshot], intakes: Iterable[IntakeStatus] = ()) -> bytes:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Status(snapshots, intakes))
    return generate_latest(registry)


def _family(
    metric: Metric | IntakeMetric, labels: tuple[str, ...]
) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(metric.name, metric.help, labels=labels)
