"""A new plugin project from a name: checked, filled in, complete or not there at all."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from bridge.discovery import GROUP
from bridge.errors import BridgeError
from bridge.registry import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

__all__ = ["KINDS", "Kind", "Names", "create"]

Kind = Literal["sink", "stage", "journal"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
LONGEST = 40
PLACEHOLDER = re.compile(r"@@(\w+)@@")
SUFFIX = ".tmpl"
EVENTS = "events.jsonl"


@dataclass(frozen=True, slots=True)
class Names:
    """One name in the spellings a project needs; each is a placeholder of the templates."""

    name: str
    distribution: str
    module: str
    description: str
    version: str

    @classmethod
    def of(cls, kind: Kind, name: str) -> Names:
        """The spellings of a type's name; `BridgeError` says what to write instead of a bad one."""
        if not NAME.fullmatch(name) or len(name) > LONGEST:
            raise BridgeError(
                f'"{name}" cannot be the name of a {kind}: write 1 to {LONGEST} of a-z and 0-9, '
                f"a letter first, single - or _ between{_suggestion(name)}"
            )
        if name in _installed():
            raise BridgeError(
                f'there is a plugin called "{name}" already ({_installed()[name]}); choose another name'
            )
        underscored = name.replace("-", "_")
        return cls(
            name,
            f"bridge-{underscored.replace('_', '-')}",
            f"bridge_{underscored}",
            f"Sunbird Bridge plugin: the {kind} type {name}",
            importlib.metadata.version(HOST),
        )

    def placeholders(self) -> dict[str, str]:
        """Every placeholder with its text; `class` is the name in CamelCase."""
        words = re.split("[-_]", self.name)
        return {**asdict(self), "class": "".join(word[:1].upper() + word[1:] for word in words)}


def create(kind: Kind, name: str, parent: Path) -> Path:
    """Write the project `bridge-NAME` into `parent` and return its folder.

    `BridgeError` if the name cannot be used or the folder exists; nothing is written then.
    """
    names = Names.of(kind, name)
    target = parent / names.distribution
    if target.exists() or target.is_symlink():
        raise BridgeError(f"{target} exists already; nothing was written (remove it, or choose another name)")
    parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{names.distribution}-", dir=parent))
    try:
        _write(kind, names.placeholders(), work)
        work.chmod(0o755)  # what mkdtemp makes is for its owner alone
        work.rename(target)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return target


def _write(kind: Kind, placeholders: dict[str, str], folder: Path) -> None:
    for template, place in _templates(kind):
        path = folder / _filled(place, placeholders)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(template.read_text(encoding="utf-8"), placeholders), encoding="utf-8")
    from bridge.testing.events import encode, samples  # noqa: PLC0415 - `bridge --help` does without

    events = b"".join(encode(event) + b"\n" for event in samples().values())
    (folder / EVENTS).write_bytes(events)
    if kind == "sink":
        _write_golden(placeholders, folder)


def _write_golden(placeholders: dict[str, str], folder: Path) -> None:
    """The golden files of the project as it is, made by its own mapping."""
    from bridge.discovery import import_file  # noqa: PLC0415 - see above
    from bridge.events import decode  # noqa: PLC0415 - see above
    from bridge.testing.events import encode, samples  # noqa: PLC0415 - see above
    from bridge.testing.golden import Golden  # noqa: PLC0415 - see above

    module = import_file(folder / f"{placeholders['module']}.py")
    sink_type = getattr(module, f"{placeholders['class']}Sink")
    sink = sink_type(sink_type.config_type(url="http://127.0.0.1:9/events"))
    golden = Golden(folder / "tests" / "golden", update=True)
    for eid, event in samples().items():
        golden.check(f"{eid}.txt", sink.map(decode(encode(event))))
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)


def _templates(kind: Kind) -> Iterator[tuple[Traversable, str]]:
    """Each template with the path it is copied to, placeholders still in it."""
    root = importlib.resources.files(__package__)
    for part in ("common", kind):
        yield from _below(root / part, "")


def _below(folder: Traversable, prefix: str) -> Iterator[tuple[Traversable, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = re.sub(r"^dot_", ".", entry.name).replace("__module__", "@@module@@")
        if entry.is_dir():
            yield from _below(entry, f"{prefix}{name}/")
        elif name.endswith(SUFFIX):
            yield entry, f"{prefix}{name.removesuffix(SUFFIX)}"


def _filled(text: str, placeholders: dict[str, str]) -> str:
    return PLACEHOLDER.sub(lambda found: placeholders[found[1]], text)


def _suggestion(name: str) -> str:
    """A name made of this one that would do, as the end of a sentence."""
    words = re.findall("[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower())
    while words and words[0].isdigit():
        words = words[1:]
    plain = "-".join(words).lstrip("0123456789")[:LONGEST].rstrip("-")
    return f' (for example "{plain}")' if NAME.fullmatch(plain) else ""


def _installed() -> dict[str, str]:
    """Every installed plugin's name, and who brings it."""
    return {
        point.name: point.dist.name if point.dist else point.value
        for point in importlib.metadata.entry_points(group=GROUP)
    }
