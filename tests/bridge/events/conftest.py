"""What the event tests share: real events, the official validator, and both readings of the decoder."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

import msgspec
import pytest
import xxhash

from bridge import events, native
from bridge.errors import EventError
from bridge.validation import Decoder, Level

PREFIX = "resource:/schemas/telemetry/3.0/"


@dataclass(frozen=True)
class Real:
    """One line of the sample files and what the official validator says of it."""

    place: str
    line: bytes
    valid: bool


@pytest.fixture(scope="session")
def real_events(shared):
    samples = shared / "sunbird/samples"
    events = []
    for verdicts in sorted((samples / "verdicts").glob("*.jsonl")):
        lines = (samples / "v3" / verdicts.name).read_bytes().splitlines()
        said = [json.loads(line) for line in verdicts.read_bytes().splitlines()]
        assert [verdict["line"] for verdict in said] == list(range(1, len(lines) + 1))
        events += [
            Real(f"{verdicts.name}:{verdict['line']}", line, verdict["valid"])
            for line, verdict in zip(lines, said, strict=True)
        ]
    return events


@pytest.fixture(scope="session")
def official(shared):
    """The official schema files, by their stem."""
    return {
        path.stem: json.loads(path.read_bytes()) for path in (shared / "sunbird/schemas/v3").glob("*.json")
    }


@pytest.fixture(scope="session")
def oracle(official):
    """Whether the official files, interpreted by the jsonschema library, accept a document."""
    jsonschema = pytest.importorskip("jsonschema")
    referencing = pytest.importorskip("referencing")
    draft4 = pytest.importorskip("referencing.jsonschema").DRAFT4
    registry = referencing.Registry().with_resources(
        (f"{PREFIX}{name}.json", draft4.create_resource(schema)) for name, schema in official.items()
    )
    stems = [
        choice["$ref"].removeprefix(PREFIX).removesuffix(".json") for choice in official["event"]["oneOf"]
    ]
    assert len(stems) == 17
    validators = {
        stem.upper(): jsonschema.Draft4Validator(official[stem], registry=registry) for stem in stems
    }

    def accepts(document):
        cleaned = without_nulls(document)
        eid = cleaned.get("eid")
        return isinstance(eid, str) and eid in validators and validators[eid].is_valid(cleaned)

    return accepts


def without_nulls(value):
    """What the pipeline's Gson does: null-valued keys go, nulls in arrays stay."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Readings:
    """The decoder's two readings of one event: None where refused."""

    typed: dict | None
    exact: dict | None


@pytest.fixture(scope="module", params=["python", "compiled"])
def each_reader(request):
    """Lets whatever makes a decoder read with the one, then with the other reader."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "python":
            patch.setattr(native, "FOUND", native.Found(None, "pure Python"))
        elif native.FOUND.module is None:
            pytest.skip(native.FOUND.text)
        patch.setattr(events, "_lenient", Decoder(Level.LENIENT))
        yield


class Both:
    """Reads an event the fast and the exact way at one level."""

    def __init__(self, level):
        self.decoder = Decoder(level)

    def __call__(self, raw):
        events, doubtful = self.decoder._read([raw])
        judged, _ = self.decoder._judge(0, raw)
        return Readings(None if doubtful else values(events[0]), values(judged[0]) if judged else None)


@pytest.fixture(scope="module")
def both(each_reader):
    return {level: Both(level) for level in Level}


def values(event):
    """All that an event offers, but for its bytes."""
    fields = {
        name: getattr(event, name)
        for name in event.__struct_fields__
        if name not in {"raw", "edata_held", "digest"}
    }
    return msgspec.to_builtins(fields) | {"edata": event.edata, "identity": event.identity}


@pytest.fixture(scope="session")
def identity_of():
    """What the identity of an event is, from its document alone."""

    def of(document):
        actor, context = (document.get(key) or {} for key in ("actor", "context"))
        texts = [document["mid"], document["eid"], actor.get("id") or "", context.get("did") or ""]
        header = struct.pack("<d4I", document["ets"], *map(len, texts))
        return xxhash.xxh3_128_digest(header + "".join(texts).encode())

    return of


@pytest.fixture(scope="module")
def verdict(each_reader):
    """(code, path) of the refusal of `raw` at a level, None where it is accepted."""
    decoders = {level: Decoder(level) for level in Level}

    def of(raw, level=Level.STRICT):
        raw = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
        try:
            decoders[level].event(raw)
        except EventError as error:
            return error.code, error.path
        return None

    return of
