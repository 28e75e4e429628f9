"""How much the detectors find, and how much of that is right: ``python -m benchmarks.detectors CORPUS``.

CORPUS is a JSON file, a list of documents with ``full_text`` and ``spans``, each of these with ``entity_type`` and
``entity_value``. microsoft/presidio-research has one: ``data/synth_dataset_v2.json``. A value counts as found when one match
of its kind has all of it; a match is right when it has a labelled value of its kind, or is a part of one.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from pyspark.sql import functions as F

from gluewright_pii_masking import found
from gluewright_testing.sessions import start_session

KINDS = {
    "EMAIL_ADDRESS": ("email",),
    "PHONE_NUMBER": ("phone",),
    "CREDIT_CARD": ("card",),
    "IBAN_CODE": ("iban",),
    "US_SSN": ("ssn",),
    "IP_ADDRESS": ("ipv4", "ipv6"),
}


def counted(documents: list[dict[str, Any]], matches: list[list[tuple[str, str]]]) -> dict[str, Counter[str]]:
    """Count labelled values, found values, matches and right matches, by kind."""
    counts = {label: Counter[str]() for label in KINDS}
    for document, all_found in zip(documents, matches, strict=True):
        for label, kinds in KINDS.items():
            # The detectors tell each different text once.
            values = {span["entity_value"].strip() for span in document["spans"] if span["entity_type"] == label}
            texts = [text for kind, text in all_found if kind in kinds]
            counts[label] += Counter(
                labelled=len(values),
                found=sum(any(value in text for text in texts) for value in values),
                matches=len(texts),
                right=sum(any(value in text or text in value for value in values) for text in texts),
            )
    return counts


def main() -> None:
    """Measure and print a table."""
    documents = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        spark = start_session(workspace=Path(folder), app_name="detectors")
        rows = [(number, document["full_text"]) for number, document in enumerate(documents)]
        frame = spark.createDataFrame(rows, "number int, text string").select("number", found(F.col("text")).alias("found"))
        matches = [[(each.kind, each.text) for each in row.found] for row in sorted(frame.collect())]
        spark.stop()
    print("kind           labelled  recall  matches  precision")
    for label, count in counted(documents, matches).items():
        recall, precision = count["found"] / max(count["labelled"], 1), count["right"] / max(count["matches"], 1)
        print(f"{label:<14} {count['labelled']:>8} {recall:>7.1%} {count['matches']:>8} {precision:>10.1%}")


if __name__ == "__main__":
    main()
