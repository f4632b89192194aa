"""The part of the sink contract about a plugin's class and the keys it takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bridge.configuration.shapes import models_in
from bridge.errors import PluginError
from bridge.hookspecs import bridge_sinks
from bridge.registry import check_sink
from bridge.secrets import Secret
from bridge.testing.fitting import Fitting, batch_of, offered, problems_of, secrets_in
from bridge.testing.lessons import Breach, check, require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import BaseModel

__all__ = ["ConfigurationContract"]

SECRETIVE = re.compile(
    r"(^|_)(password|passwd|passphrase|secret|token|(api|access|private|secret)_?key|credentials?)s?$"
)


class ConfigurationContract(Fitting):
    """What every sink's class and configuration keep."""

    @check
    def test_the_host_accepts_the_class(self) -> None:
        """A sink has a name of a-z, 0-9, - and _, a config_type, map, send, and this API version."""
        try:
            check_sink(self.sink_type, "this plugin")
        except PluginError as error:
            raise Breach(str(error), "the class attributes as docs/plugins/reference.md lists them") from None

    @check
    def test_the_plugin_offers_the_class(self) -> None:
        """The plugin's module has a function bridge_sinks with @hookimpl that returns the class."""
        offered(self.sink_type, self.plugin, bridge_sinks.__name__)

    @check
    def test_the_configuration_is_accepted(self, tmp_path: Path) -> None:
        """What the test class says in `config` is what an operator may write under [sinks.<id>]."""
        problems = problems_of(self.sink_type, self.settings(tmp_path))
        require(not problems, "\n".join(problems), "a config in the test class that the sink accepts")

    @check
    def test_every_key_has_a_description(self) -> None:
        """Each key has a description: `bridge schema` and editors show it."""
        bare = [path for path, field in _fields(self.sink_type.config_type) if not field.description]
        require(
            not bare,
            f"no description: {', '.join(bare)}",
            'url: str = Field(description="address of the collector")',
        )

    @check
    def test_an_unknown_key_is_refused_with_a_suggestion(self, tmp_path: Path) -> None:
        """An operator's typing error is refused, and told which key may be meant."""
        known = next(iter(self.sink_type.config_type.model_fields), "type")
        problems = problems_of(self.sink_type, {**self.settings(tmp_path), f"{known}z": "x"})
        require(
            any("unknown key" in line and known in line for line in problems),
            f'"{known}z = …" was accepted' if not problems else "\n".join(problems),
            "a config_type derived from bridge.SinkConfig, without a model_config of its own",
        )

    @check
    def test_the_configuration_is_frozen(self, tmp_path: Path) -> None:
        """Configuration is shared by threads and never changes."""
        config = self.make(tmp_path).config
        for name in type(config).model_fields:
            try:
                setattr(config, name, getattr(config, name))
            except ValueError:
                continue
            raise Breach(f"config.{name} can be set", "leave model_config alone, or keep frozen=True in it")

    @check
    def test_what_sounds_secret_is_a_secret(self) -> None:
        """Keys, tokens and passwords are of type Secret, which takes env:NAME and shows itself to nobody."""
        plain = [
            path
            for path, field in _fields(self.sink_type.config_type)
            if SECRETIVE.search(path.rpartition(".")[2]) and "Secret" not in str(field.annotation)
        ]
        require(
            not plain,
            f"not a Secret: {', '.join(plain)}",
            'from bridge import Secret\npassword: Secret = Field(description="…")\n'
            "and self.config.password.reveal() where it is sent",
        )

    @check
    def test_nothing_shows_a_secret(self, tmp_path: Path) -> None:
        """No repr, dump or explanation holds the text of a secret."""
        sink = self.make(tmp_path)
        shown = {
            "repr(sink)": repr(sink),
            "repr(sink.config)": repr(sink.config),
            "str(sink.config)": str(sink.config),
            "sink.config.model_dump_json()": sink.config.model_dump_json(),
            "sink.explain(batch)": sink.explain(batch_of(sink, self.events())),
        }
        for secret in secrets_in(sink.config):
            guilty = [where for where, text in shown.items() if secret in text]
            require(
                not guilty,
                f"a secret is readable in {', '.join(guilty)}",
                "Secret as the type of the key, str(secret) (a mask) wherever it is shown, and reveal()\n"
                "only in the line that sends it",
            )


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a model and of the tables in it, by dotted path."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}", field
        if field.annotation is not Secret:
            for inner in models_in(field.annotation):
                yield from _fields(inner, f"{prefix}{name}.")
