"""Bring rows to a contract's columns and types without losing anything: what does not fit goes to quarantine, with a reason.

This folder can be copied alone into a job: it needs the standard library and PySpark 3.5 or newer. Everything is native
Spark SQL, with the same answer on Spark 3.5 and 4.1, with ANSI on and off, in every session time zone. To read the code,
begin with ``conforming``, which says what each other module does.

**A value fits when nothing of it is lost.** A cast that would null, truncate, round, overflow or replace it is a problem:

=====================  =================================================================================================
from                   to
=====================  =================================================================================================
whole number           any number that holds it exactly; text (``-5``)
decimal                any number that holds it exactly; text with all its decimals, never an exponent (``0.0000001``)
float, double          any number that reads back as the same float or double, so ``NaN`` and infinities only each other;
                       text as Java writes it (``1.0E10``)
boolean                text (``true``, ``false``); never a number, nor a number a boolean
date                   timestamp and timestamp_ntz, at midnight; text (``2024-01-05``)
timestamp              timestamp_ntz: its wall clock in UTC; date: only at midnight UTC; text in UTC
                       (``2024-01-05 10:00:00.5Z``); never a number
timestamp_ntz          timestamp: read as UTC; date: only at midnight; text (``2024-01-05 10:00:00.5``)
binary                 text, only if it is valid UTF-8
text                   binary (its UTF-8), char(n) and varchar(n) of at most n characters, and what the next table says
struct, array, map     the same kind, by the rules for what is inside; struct fields by name
anything               itself, untouched; NULL is NULL of every type
=====================  =================================================================================================

``char(n)`` is not padded: Spark pads when it writes a table. Trailing spaces count as characters.

**Text is read strictly**, because what looks like a number may be a code, and what looks like a date may be another one:

=========================  ==================================  =========================================================
to                         is read                             is not read
=========================  ==================================  =========================================================
whole numbers              ``0``, ``42``, ``-7``               ``+7``, ``007``, ``-0``, ``1.0``, ``1e3``, ``0x1F``
decimal(p,s)               ``12``, ``-1.5``, ``-0.00``; zeros  ``+1``, ``01``, ``.5``, ``5.``, ``1e3``, ``1,000``,
                           beyond the scale (``1.500``)        ``1,5``, decimals beyond the scale, ``NaN``
float, double              the same, and ``1e3``, ``1.5E-7``,  ``inf``, ``nan``, ``1d``, ``0x1p3``, ``1e999``, and digits
                           ``NaN``, ``Infinity``,              that the type cannot hold (``0.12345678901234567890``)
                           ``-Infinity``
boolean                    ``true``, ``false``, in any case    ``t``, ``yes``, ``y``, ``1``, ``0``
date                       ``2024-01-05``                      ``2024-1-5``, ``20240105``, ``05.01.2024``, ``2024-02-30``,
                                                               a time behind it
timestamp                  ``2024-01-05 10:00:00``, with ``T``  no seconds, no time, ``24:00:00``, ``:60``, a seventh
                           too, up to 6 decimals; UTC unless    decimal, names of zones, ``+0100``
                           ``Z`` or ``+01:00`` stands behind
timestamp_ntz              the same without a zone              the same, and any zone
=========================  ==================================  =========================================================

Nowhere are spaces around a value dropped, an empty text taken for NULL (the reader of the file decides that), thousands
separators or decimal commas understood, digits other than ``0`` to ``9`` read, or years outside 0001 to 9999. A column whose
metadata has a ``format`` is read by that pattern instead: ``yyyy MM dd HH mm ss S…`` and any other characters, each part
with exactly that many digits (``dd.MM.yyyy``, ``yyyyMMdd``, ``yyyy-MM-dd'T'HH:mm``).

Example:
    >>> orders = conform(raw, contract, dataset="orders", key=["id"])          # doctest: +SKIP
    >>> orders.require(max_share=0.01)                                        # doctest: +SKIP
    >>> orders.rows.write.parquet(...); orders.quarantine.write.parquet(...)  # doctest: +SKIP
"""

from .checks import ansi, guarded
from .conformed import Conformed
from .conforming import conform
from .tags import tags_of
from .terms import (
    DIFFERENCES,
    FROZEN,
    LANDED,
    PROBLEM,
    QUARANTINE,
    Check,
    ContractViolationError,
    Counts,
    Difference,
    Mode,
    ProblemCount,
)

__all__ = [
    "DIFFERENCES",
    "FROZEN",
    "LANDED",
    "PROBLEM",
    "QUARANTINE",
    "Check",
    "Conformed",
    "ContractViolationError",
    "Counts",
    "Difference",
    "Mode",
    "ProblemCount",
    "ansi",
    "conform",
    "guarded",
    "tags_of",
]
