"""The engine: one pipeline per sink. Internal; it may change in any release."""
