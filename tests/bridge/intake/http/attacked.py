"""An intake in a process of its own, so that its memory can be told: prints its port, ends with its input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bridge.configuration.intake import HttpIntakeSettings
from bridge.deadletters import SqliteDeadLetters
from bridge.intake.http import HttpIntake
from bridge.journals.base import JournalContext
from bridge.journals.sqlite import SqliteJournal, SqliteJournalConfig
from bridge.state import State

with State(Path(sys.argv[1])) as state:
    journal = SqliteJournal(SqliteJournalConfig(), JournalContext(state, "test", ()))
    settings = HttpIntakeSettings.model_validate({"enabled": True, "port": 0, **json.loads(sys.argv[2])})
    intake = HttpIntake(settings, journal, SqliteDeadLetters(state, 0))
    intake.start()
    sys.stdout.write(f"{intake._port}\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        tally = {
            "events": intake.tally.events,
            "connections": intake.connections,
            "held": intake.service.budget.used,
        }
        sys.stdout.write(json.dumps(tally) + "\n")
        sys.stdout.flush()
    intake.close()
