# gluewright-cdc-merge 0.1.0 _sql.py
# SPDX-License-Identifier: Apache-2.0
"""Write names and texts into Spark SQL."""

from __future__ import annotations

import re


def quoted(name: str) -> str:
    """Return a column's or field's name in backticks.

    Args:
        name: any text.

    Example:
        >>> quoted("a`b")
        '`a``b`'
    """
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """Return an expression that has this text as its value, whatever ``spark.sql.parser.escapedStringLiterals`` is.

    With that setting Spark reads no escapes in a literal, without it it does; so quotes and backslashes are never in one.

    Args:
        text: any text.

    Example:
        >>> literal("it's")
        "concat('it', char(39), 's')"
    """
    parts = [part for part in re.split(r"(['\\])", text) if part]
    written = [f"char({ord(part)})" if part in "'\\" else f"'{part}'" for part in parts]
    return written[0] if len(written) == 1 else f"concat({', '.join(written)})" if written else "''"
