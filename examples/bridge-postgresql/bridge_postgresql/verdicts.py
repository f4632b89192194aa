"""What PostgreSQL's error codes mean for a batch.

The codes: PostgreSQL documentation, Appendix A. Texts are our own, because the server's quote
values of the row at fault.
"""

from __future__ import annotations

import re

from bridge.errors import DeliveryError, RejectedError, SetupError, TransientError

__all__ = ["verdict"]

# what a server says before there is a session, and so without a code
NOT_LET_IN = re.compile(
    r"authentication failed|does not exist|no pg_hba\.conf entry|no password supplied|"
    r"could not translate host name|SSL|certificate|permission denied|invalid|missing \"=\""
)
DATA = ("22", "23")
SETUP = ("28", "3D", "3F", "42", "0A", "26", "34", "2F", "P0")
PASSING_ANYWAY = frozenset({"42P07"})  # two sinks set up one table at the same moment


def verdict(sqlstate: str | None, message: str = "") -> DeliveryError:
    """The error to raise for a failed statement, or for a failed connection (without a code)."""
    if not sqlstate:
        if NOT_LET_IN.search(message):
            return SetupError("PostgreSQL does not let us in; check dsn (host, user, password, TLS)")
        return TransientError("no connection to PostgreSQL, or it was lost")
    if sqlstate.startswith(DATA):
        return RejectedError(f"pg_{sqlstate.lower()}", f"PostgreSQL refuses the data (SQLSTATE {sqlstate})")
    if sqlstate.startswith(SETUP) and sqlstate not in PASSING_ANYWAY:
        return SetupError(
            f"PostgreSQL refuses the statement (SQLSTATE {sqlstate}); check the table and the user's rights"
        )
    return TransientError(f"PostgreSQL is not able to now (SQLSTATE {sqlstate})")
