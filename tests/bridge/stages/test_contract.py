"""The stages that come with the bridge keep the contract that a stranger's stage keeps."""

from __future__ import annotations

from typing import ClassVar

from bridge.stages import enrich, flatten, redact
from bridge.testing import StageContract

KEY = "a key that only this test knows"


class TestRedact(StageContract):
    stage_type = redact.RedactStage
    plugin = redact
    config: ClassVar = {
        "key": KEY,
        "presets": ["learner_answers", "free_text", "contacts", "profiles", "identifiers"],
        "rules": [
            {"paths": ["edata.**.id", "tags.*"], "action": "hash"},
            {"paths": ["edata.params"], "action": "truncate_ip"},
            {"paths": ["edata.item"], "action": "keep_only", "keys": ["id", "type"]},
        ],
    }


class TestFlatten(StageContract):
    stage_type = flatten.FlattenStage
    plugin = flatten


class TestEnrich(StageContract):
    stage_type = enrich.EnrichStage
    plugin = enrich
    config: ClassVar = {
        "file": "{folder}/content.csv",
        "path": "object.id",
        "target": "contentdata",
        "flag": "content_denorm",
        "set": {"deployment": "x"},
    }

    def prepare(self, folder):
        (folder / "content.csv").write_text("id,name\ndo_31375412960512,Fractions\n", encoding="utf-8")
