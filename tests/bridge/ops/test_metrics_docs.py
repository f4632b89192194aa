"""The page about metrics names each of them, as it is."""

from __future__ import annotations

import re
from pathlib import Path

from bridge.metrics import INTAKE_METRICS, METRICS, OUTCOMES, STATES

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_the_page_has_every_metric_with_its_kind_and_help_and_no_other():
    rows = re.findall(r"^\| `(bridge_\w+)` \| (counter|gauge) \| (.+) \|$", PAGE, re.MULTILINE)
    assert rows == [(metric.name, metric.kind, metric.help) for metric in (*METRICS, *INTAKE_METRICS)]


def test_what_to_alert_on_exists():
    named = set(re.findall(r"bridge_\w+\b", PAGE.partition("## What to alert on")[2]))
    assert named
    assert named <= {metric.name for metric in (*METRICS, *INTAKE_METRICS)}


def test_every_outcome_and_state_is_named():
    assert all(f"`{word}`" in PAGE for word in (*OUTCOMES, *STATES))
