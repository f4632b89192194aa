"""Mapping in a process of its own, under another hash seed, with a watch on clocks and files.

`in_another_process` starts `python -m bridge.testing.replay`, which maps the same events, or
has a stage change them, and says what came of it and what was done besides: an audit hook and a profiler are
told of every clock that is read, every random number, every file and socket.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import importlib.util
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.errors import EventError
from bridge.events import Event, decode
from bridge.sinks import Sink

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import ModuleType

    from bridge.stages.base import Stage

__all__ = ["Replay", "fingerprint", "fingerprints", "in_another_process", "made"]

ADDRESS = re.compile(r" at 0x[0-9a-f]+")
CLOCKS = frozenset(
    {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"}
)
# how many arguments make these a calculation instead of a look at the clock
ASKED = {"gmtime": 1, "localtime": 1, "ctime": 1, "asctime": 1, "strftime": 2}
MOMENTS = frozenset({"datetime.now", "datetime.utcnow", "datetime.today", "date.today"})
TOUCHING = ("open", "socket.", "subprocess.", "os.", "shutil.", "sqlite3.", "urllib.", "http.")
TIMEOUT = 120
# a `Random` seeded with the event is as good as a hash; the one that everybody shares is not
SHARED_RANDOM = getattr(random.random, "__self__", None)


@dataclass(frozen=True, slots=True)
class Replay:
    """What another process found: a fingerprint per event, and what happened meanwhile."""

    prints: list[str]
    opening: list[str]
    clocks: list[str]
    touched: list[str]


def fingerprint(payload: object) -> str:
    """A digest that equal payloads share, in whatever process they were made."""
    if payload is None:
        return "declined"
    text = (
        payload if isinstance(payload, bytes) else ADDRESS.sub("", repr(payload)).encode("utf-8", "replace")
    )
    return hashlib.sha256(text).hexdigest()


def made(staged: Any) -> list[Event]:
    """The events that a stage returned for one event, however many."""
    if staged is None:
        return []
    return [staged] if isinstance(staged, Event) else list(staged)


def fingerprints(noun: Sink[Any, Any] | Stage[Any], events: Iterable[Event]) -> list[str]:
    """What `map` or `apply` makes of each event; an exception counts by its kind."""
    return [_print(noun, event) for event in events]


def _print(noun: Sink[Any, Any] | Stage[Any], event: Event) -> str:
    try:
        if isinstance(noun, Sink):
            return fingerprint(noun.map(event))
        return fingerprint(b"\n".join(new.raw for new in made(noun.apply(event))))
    except EventError as error:
        return f"EventError {error.code}"
    except Exception as error:  # noqa: BLE001 - boundary: the checks of `map` itself say what it raises
        return f"raised {type(error).__name__}"


def in_another_process(
    noun_type: type[Sink[Any, Any] | Stage[Any]],
    config: Mapping[str, Any],
    lines: Sequence[bytes],
    hash_seed: int,
) -> Replay:
    """Map or stage these events (JSON lines) in a new interpreter; `RuntimeError` has its last words."""
    module = sys.modules[noun_type.__module__]
    task = {
        "module": module.__name__,
        "file": getattr(module, "__file__", None) or "",
        "name": noun_type.__qualname__,
        "config": dict(config),
        "lines": [base64.b64encode(line).decode() for line in lines],
    }
    environment = {
        **os.environ,
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "bridge.testing.replay"],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
        env=environment,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-600:].strip())
    return Replay(**json.loads(done.stdout.splitlines()[-1]))


class _Watch:
    """Writes down what this process does while `on`."""

    def __init__(self) -> None:
        self.on = False
        self.clocks: set[str] = set()
        self.touched: set[str] = set()
        sys.addaudithook(self._audited)

    def _audited(self, event: str, arguments: tuple[object, ...]) -> None:  # noqa: ARG002 - as Python calls it
        if self.on and event.startswith(TOUCHING):
            self.touched.add(event)

    def _called(self, frame: object, event: str, function: Any) -> None:  # noqa: ARG002 - as Python calls it
        if event == "c_call" and (what := _reads(function)):
            self.clocks.add(what)

    def __enter__(self) -> None:
        self.on = True
        sys.setprofile(self._called)

    def __exit__(self, *exc_info: object) -> None:
        sys.setprofile(None)
        self.on = False

    def time_asked(self) -> None:
        """Have the functions of `time` that may be asked for this moment tell when they are."""
        for name, least in ASKED.items():
            setattr(time, name, self._telling(name, getattr(time, name), least))

    def _telling(self, name: str, function: Any, least: int) -> Any:
        def told(*arguments: Any) -> Any:
            if self.on and len(arguments) < least:
                self.clocks.add(f"time.{name}")
            return function(*arguments)

        return told


def _reads(function: Any) -> str:
    """The clock or source of randomness that this built-in function is; "" if it is neither."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module == "time" and name in CLOCKS:
        return f"time.{name}"
    if name in MOMENTS:
        return str(name)
    if name == "urandom" or getattr(function, "__self__", None) is SHARED_RANDOM:
        return f"random ({name})"
    return ""


def _load(module: str, file: str, name: str) -> Any:
    """The class, from the module of that name or, where there is none, from its file."""
    try:
        found: Any = _walk(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        found = _walk(_from_file(module, file), name)
    return found


def _walk(module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _from_file(module: str, file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(module, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {module} from {file}")
    made = importlib.util.module_from_spec(spec)
    sys.modules[module] = made
    spec.loader.exec_module(made)
    return made


def main() -> None:
    """Map what standard input asks for and print what was found as one line of JSON."""
    task = json.load(sys.stdin)
    watch = _Watch()
    watch.time_asked()
    noun_type = _load(task["module"], task["file"], task["name"])
    events = [decode(base64.b64decode(line)) for line in task["lines"]]
    config = noun_type.config_type.model_validate(task["config"])
    threads = threading.active_count()
    with watch:
        noun = noun_type(config)
    opening = sorted(event for event in watch.touched if event.startswith("socket."))
    opening += ["threads"] * (threading.active_count() > threads)
    if not isinstance(noun, Sink):
        noun.__enter__()  # a sink maps without it; a stage may need what it reads there
    prints = fingerprints(noun, events)  # whatever is imported on first use is imported by now
    watch.clocks.clear()
    watch.touched.clear()
    with watch:
        again = fingerprints(noun, [decode(event.raw) for event in events])
    if again != prints:
        prints = ["unequal"] * len(prints)
    found = Replay(prints, opening, sorted(watch.clocks), sorted(watch.touched))
    sys.stdout.write(json.dumps({name: getattr(found, name) for name in Replay.__slots__}) + "\n")


if __name__ == "__main__":
    main()
