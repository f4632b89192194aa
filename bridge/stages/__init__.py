"""Stages: changes to events between validation and routing; `bridge.stages.base` is their contract."""
