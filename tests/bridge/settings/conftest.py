"""A toy plugin with every kind of key, and helpers to load a configuration against it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bridge import settings
from bridge.errors import ConfigError
from bridge.hookspecs import hookimpl
from bridge.journals.base import Journal, JournalConfig
from bridge.plugins import Plugins
from bridge.secrets import Secret
from bridge.sinks import BatchLimits, Sink, SinkConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def _not_phx(secret: Secret) -> Secret:
    if secret.reveal().startswith("phx_"):
        raise ValueError(f"{secret.reveal()} is a personal key")  # a careless plugin quotes the value
    return secret


class Basic(BaseModel):
    """One member of a tagged union."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    kind: Literal["basic"]
    user: str


class Bearer(BaseModel):
    """The other member."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    kind: Literal["bearer"]
    token: Secret


class ToyConfig(SinkConfig):
    """A toy destination."""

    host: str = Field(default="localhost", description="Where it is.")
    api_key: Annotated[Secret, AfterValidator(_not_phx)] = Field(description="The project's key.")
    keys: tuple[Secret, ...] = Field(default=(), description="More keys.")
    headers: dict[str, Secret] = Field(default={}, description="Headers of every request.")
    timeout: float = Field(default=5.0, gt=0, le=60, description="Seconds for one request.")
    size: int = Field(default=10, ge=1, description="How many.")
    gzip: bool = Field(default=False, description="Whether to compress.")
    mode: Literal["fast", "safe"] = Field(default="fast", description="How.")
    names: list[str] = Field(default=[], description="Names.")
    ports: int | list[int] = Field(default=80, description="One port or many.")
    auth: Annotated[Basic | Bearer, Field(discriminator="kind")] | None = Field(
        default=None, description="Who we are."
    )


class ToySink(Sink[ToyConfig, bytes]):
    """A sink that goes nowhere."""

    name = "toy"
    config_type = ToyConfig
    limits = BatchLimits(max_events=7, max_bytes=70, max_age=0.7)
    max_in_flight = 3

    def map(self, event):
        return event.raw

    def send(self, batch):
        return batch.all(None)


class ToyJournalConfig(JournalConfig):
    """A toy journal."""

    path: str = Field(default="events", description="Where it lies.")


class ToyJournal(Journal):
    """A journal that holds nothing."""

    name = "sqlite"
    config_type = ToyJournalConfig

    def reader(self, pipeline, start, wake):
        raise NotImplementedError


@pytest.fixture
def plugins() -> Plugins:
    """A manager that knows the toy sink and a journal called sqlite, and nothing that is installed."""
    manager = Plugins(entry_points=list)
    toy = SimpleNamespace(
        bridge_sinks=hookimpl(lambda: [ToySink], specname="bridge_sinks"),
        bridge_journals=hookimpl(lambda: [ToyJournal], specname="bridge_journals"),
    )
    manager.register(toy, "toy")
    return manager


@pytest.fixture
def load(tmp_path: Path, plugins: Plugins) -> Callable[..., settings.Settings]:
    """Write a text as config.toml and load it, with an environment."""

    def run(text: str | None, environ: Mapping[str, str] | None = None, **options: bool) -> settings.Settings:
        path = tmp_path / "config.toml"
        if text is not None:
            path.write_text(text, encoding="utf-8")
        return settings.load(None if text is None else path, environ or {}, plugins=plugins, **options)

    return run


@pytest.fixture
def problems(load: Callable[..., settings.Settings], tmp_path: Path) -> Callable[..., list[str]]:
    """The problems of a text, without the file's name."""

    def run(text: str | None, environ: Mapping[str, str] | None = None, **options: bool) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text, environ, **options)
        return [line.removeprefix(f"{tmp_path}/config.toml: ") for line in caught.value.lines()]

    return run
