"""Bring rows to a contract's columns and types without losing anything: what does not fit goes to quarantine, with a reason."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """What happens to what the contract does not foresee: an unknown column, or a value that does not fit its column.

    The names and their meaning are dlt's ("Schema and data contracts", dlt's documentation).
    """

    EVOLVE = "evolve"
    FREEZE = "freeze"
    DISCARD_ROW = "discard_row"
    DISCARD_VALUE = "discard_value"
