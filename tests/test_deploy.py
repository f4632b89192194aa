"""What `deploy/` ships is what the bridge of this checkout reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from bridge import settings
from bridge.plugins import Plugins

DEPLOY = Path(__file__).parents[1] / "deploy"
FILES = [*DEPLOY.glob("kubernetes/*.yaml"), *DEPLOY.glob("systemd/*")]
SECRETS = {"SEARCH_API_KEY": "essu_YTpi", "POSTHOG_API_KEY": "phc_" + "a" * 40}


def loaded(**environ):
    return settings.load(DEPLOY / "config.kafka.toml", {**SECRETS, **environ}, plugins=Plugins())


def test_the_configuration_is_valid_and_its_groups_are_those_that_keda_watches():
    found = loaded()
    scaled = yaml.safe_load((DEPLOY / "kubernetes" / "scaledobject.yaml").read_text())
    triggers = [trigger["metadata"] for trigger in scaled["spec"]["triggers"]]
    assert {trigger["consumerGroup"] for trigger in triggers} == {
        f"{found.instance}.{sink}" for sink in found.enabled
    }
    assert {trigger["topic"] for trigger in triggers} <= set(found.journal.config.read_topics)
    assert {trigger["bootstrapServers"] for trigger in triggers} == {",".join(found.journal.config.brokers)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_variable_it_sets_is_one_that_the_bridge_knows(file):
    names = set(re.findall(r"BRIDGE_\w+", file.read_text()))
    values = {"BRIDGE_OPS__PORT": "8121"}
    loaded(**{name: values.get(name, "x") for name in names})


def test_a_pod_is_given_longer_to_end_than_the_bridge_takes():
    pod = yaml.safe_load((DEPLOY / "kubernetes" / "deployment.yaml").read_text())["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > loaded().shutdown.grace
    (container,) = pod["containers"]
    assert {probe["httpGet"]["path"] for name, probe in container.items() if name.endswith("Probe")} == {
        "/livez",
        "/readyz",
    }
    (port,) = container["ports"]
    assert port["containerPort"] == loaded().ops.port
