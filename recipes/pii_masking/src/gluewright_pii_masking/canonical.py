# gluewright-pii-masking 0.1.0 canonical.py
# SPDX-License-Identifier: Apache-2.0
"""Canonical forms of identifiers, so that tokens join however a value was typed.

A text that is not an identifier of its kind is only trimmed. It still gets a token, and joins with the same text elsewhere.

Example:
    >>> people.select(email(F.col("email"), tag=False), iban(F.col("account")))              # doctest: +SKIP
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable

from pyspark.sql import Column
from pyspark.sql import functions as F

FORMS = ("email", "email_without_tag", "iban", "card", "phone")
"""The forms by name; ``phone`` may have a region, ``phone:GB``."""

# What Unicode calls white space (Unicode Standard Annex 44, White_Space).
SPACES = "".join(
    map(chr, [*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000])
)
# The separators that people write between groups; a text of their own around a number is none.
_SEPARATORS = rf"[{SPACES}.\-\x{{2010}}-\x{{2015}}]"
_CARD = r"^[0-9]{12,19}$"
_IBAN = r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$"


def trimmed(text: Column) -> Column:
    """Remove Unicode's white space at both ends."""
    # F.trim takes no characters on Spark 3.5.
    return F.regexp_replace(text, rf"^[{SPACES}]+|[{SPACES}]+$", "")


def email(text: Column, *, tag: bool = True) -> Column:
    """Return an e-mail address in small letters.

    RFC 5321 lets hosts distinguish ``Ada@`` from ``ada@``; this form does not.

    Args:
        text: NULL stays NULL.
        tag: keep a tag, as ``+news`` in ``ada+news@example.org``. Not every host takes the address without it for the same.
    """
    address = F.lower(trimmed(text))
    return address if tag else F.regexp_replace(address, r"^([^+@]+)\+[^@]*(?=@[^@]+$)", "$1")


def iban(text: Column) -> Column:
    """Return an IBAN in its electronic format: capital letters and digits without separators (ISO 13616-1).

    Args:
        text: ``IBAN`` may stand before the number. NULL stays NULL.
    """
    compact = F.regexp_replace(F.upper(F.regexp_replace(text, _SEPARATORS, "")), "^IBAN:?", "")
    return F.when(compact.rlike(_IBAN), compact).otherwise(trimmed(text))


def card(text: Column) -> Column:
    """Return the 12 to 19 digits of a payment card without separators (ISO/IEC 7812-1).

    Args:
        text: NULL stays NULL.
    """
    compact = F.regexp_replace(text, _SEPARATORS, "")
    return F.when(compact.rlike(_CARD), compact).otherwise(trimmed(text))


def phone(text: Column, region: str = "") -> Column:
    """Return a telephone number in E.164, ``+442079460001``; an extension follows as ``;ext=12`` (RFC 3966).

    Runs in Python, row by row, with the package ``phonenumbers``.

    Args:
        text: NULL stays NULL.
        region: of numbers that are written without a country code, such as ``GB``. Without it these are only trimmed.

    Raises:
        ValueError: phonenumbers is not installed, or there is no such region.
    """
    check(f"phone:{region}" if region else "phone")
    return F.udf(lambda value: _e164(value, region), "string")(trimmed(text))


def _e164(text: str | None, region: str) -> str | None:
    if text is None:
        return None
    phonenumbers = importlib.import_module("phonenumbers")
    try:
        number = phonenumbers.parse(text, region or None)
    except phonenumbers.NumberParseException:
        return text
    if not phonenumbers.is_possible_number(number):
        return text
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return f"{written};ext={number.extension}" if number.extension else str(written)


def check(name: str) -> None:
    """Check that a form can be made here.

    Args:
        name: see :func:`form_of`.

    Raises:
        ValueError: of telephone numbers: phonenumbers is not installed, or there is no such region.
    """
    form, _, region = name.partition(":")
    if form != "phone":
        return
    if importlib.util.find_spec("phonenumbers") is None:
        raise ValueError(
            "phone needs the package phonenumbers: install gluewright-pii-masking[phone], on Glue with "
            "--additional-python-modules phonenumbers"
        )
    if region and region not in importlib.import_module("phonenumbers").SUPPORTED_REGIONS:
        raise ValueError(f"phone: {region!r} is not a region; use a country's two capital letters, such as GB")


def form_of(name: str) -> Callable[[Column], Column] | None:
    """Return the function of a form by its name, or None if there is no such form.

    Args:
        name: one of :data:`FORMS`, for telephone numbers also with a region.

    Example:
        >>> form_of("phone:GB").keywords
        {'region': 'GB'}
        >>> form_of("postcode") is None
        True
    """
    if name.startswith("phone:"):
        return functools.partial(phone, region=name.removeprefix("phone:"))
    if name == "email_without_tag":
        return functools.partial(email, tag=False)
    forms: dict[str, Callable[[Column], Column]] = {"email": email, "iban": iban, "card": card, "phone": phone}
    return forms.get(name)
