"""Write problems as SQL, and join what several values have found."""

from __future__ import annotations

from collections.abc import Iterable

from .sql import quote, struct_sql, text_literal
from .terms import PROBLEM, State


def problem_sql(path: str, rule: str, reason: str, value: str, severity: State) -> str:
    """Write one problem, with what becomes of its row."""
    parts = [
        ("column", text_literal(path)),
        ("rule", text_literal(rule)),
        ("reason", text_literal(reason)),
        ("value", f"CAST({value} AS STRING)"),
    ]
    return struct_sql([*parts, ("severity", str(severity))])


def with_severity(problem: str, severity: State) -> str:
    """Write a problem found elsewhere, with what becomes of its row."""
    parts = [(name, f"{problem}.{quote(name)}") for name in PROBLEM.names]
    return struct_sql([*parts, ("severity", str(severity))])


def join_problems(arrays: Iterable[str]) -> str:
    """Write arrays of problems, some of them NULL, as one."""
    return f"flatten(filter(array({', '.join(arrays)}), p -> p IS NOT NULL))"
