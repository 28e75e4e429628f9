# gluewright-pii-masking 0.1.0 normalise.py
# SPDX-License-Identifier: Apache-2.0
"""Bring equal identifiers into one text before they become tokens."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from . import canonical
from .errors import InvalidPolicyError
from .keys import Keys
from .unicode_nfc import nfc

_NORMALISE = ("trim", "lower", "nfc")


def normalisation(action: str, given: Sequence[str]) -> tuple[str, ...]:
    """Check the steps of a normalisation."""
    steps = (given,) if isinstance(given, str) else tuple(given)
    forms = [step for step in steps if step not in _NORMALISE]
    if wrong := [step for step in forms if canonical.form_of(str(step)) is None]:
        raise InvalidPolicyError(
            f"{action}: normalise has {wrong[0]!r}; there are {', '.join((*_NORMALISE, *canonical.FORMS))}"
        )
    if len(forms) > 1:
        raise InvalidPolicyError(f"{action}: normalise has {' and '.join(forms)}; a value has one form")
    for step in forms:
        try:
            canonical.check(step)
        except ValueError as error:
            raise InvalidPolicyError(f"{action}: {error}") from None
    return steps


def no_python_inside(steps: Sequence[str]) -> str:
    """Return why these steps cannot be done inside arrays and maps; nothing if they can."""
    needs_python = any(step.startswith("phone") for step in steps)
    return "the form of telephone numbers is found in Python, which Spark does in columns only; explode it" * needs_python


def normalised_text(text: Column, steps: Sequence[str], keys: Keys) -> Column:
    """Return a text in the form that these steps make."""
    for form in filter(None, map(canonical.form_of, steps)):
        text = form(text)
    if "trim" in steps:
        text = canonical.trimmed(text)
    if "lower" in steps:
        text = F.lower(text)
    # Last: the small letters of a composed text may compose further.
    return nfc(text, keys.unicode()) if "nfc" in steps else text
