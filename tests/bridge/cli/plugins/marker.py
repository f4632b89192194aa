"""A stage for the tests of the commands: marks, multiplies, leaves out or refuses events by their eid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from bridge import EventError, Secret, Stage, StageConfig, hookimpl
from bridge.errors import SetupError
from bridge.events import rewrite

if TYPE_CHECKING:
    from bridge import Event


class MarkerConfig(StageConfig):
    """What operators write."""

    tag: str = Field(default="seen", description="The tag that events get.")
    key: Secret | None = Field(default=None, description="Nothing is done with it.")
    broken: bool = Field(default=False, description="Whether it cannot begin.")


class Marker(Stage[MarkerConfig]):
    """Tags an event; TWICE becomes two, AWAY goes, WRONG is refused."""

    name: ClassVar[str] = "marker"
    config_type = MarkerConfig

    def __enter__(self) -> Self:
        if self.config.broken:
            raise SetupError("the table is not there; write its path")
        return self

    def apply(self, event: Event) -> Any:
        """See the class."""
        if event.eid == "AWAY":
            return None
        if event.eid == "WRONG":
            raise EventError("wrong", "this one is wrong")
        document = {**event.document, "tags": [*(event.tags or ()), self.config.tag]}
        if event.eid == "TWICE":
            return [rewrite(event, {**document, "mid": f"{event.mid}-{n}"}) for n in range(2)]
        return rewrite(event, document)


@hookimpl
def bridge_stages() -> list[type[Stage[Any]]]:
    """Offer the stage."""
    return [Marker]
