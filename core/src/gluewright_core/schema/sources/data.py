"""A contract proposed from a sample of the data, with the evidence for each column.

What a text can be is asked of :func:`~gluewright_core.schema.conform.conform` itself, so a proposal never promises what the
job would then quarantine. A column gets the narrowest type that reads every value. A sample can show that a column may be
NULL, never that it may not: columns are proposed as nullable.

Example:
    ``print(propose(sample(spark, "s3://landing/orders.csv"), name="shop.orders", pii=["email"]))``
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql.types import StringType, StructField, StructType

from gluewright_core.errors import InvalidSourceError
from gluewright_core.schema.conform import Mode, conform
from gluewright_core.schema.contract import Column, Contract
from gluewright_core.schema.types import parse_type, quoted_name, type_text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# From narrow to wide: the first that reads every value is proposed. Formats of one type that read the same values are told.
_CANDIDATES = (
    ("boolean", ""),
    ("int", ""),
    ("bigint", ""),
    ("decimal", ""),
    ("double", ""),
    ("date", ""),
    ("date", "yyyy/MM/dd"),
    ("date", "dd.MM.yyyy"),
    ("date", "dd/MM/yyyy"),
    ("date", "MM/dd/yyyy"),
    ("timestamp_ntz", ""),
    ("timestamp", ""),
)
# Without a backslash, which Spark reads in two ways: see spark.sql.parser.escapedStringLiterals.
_DIGITS = "^-?([0-9]+)(?:[.]([0-9]+))?$"


@dataclass(frozen=True)
class Candidate:
    """A type that a column of texts could have.

    Attributes:
        type: as text, such as ``decimal(7,2)``.
        format: of dates.
        fits: how many values it reads.
        misfit: one that it does not read; None where there is none or values are withheld.
    """

    type: str
    format: str
    fits: int
    misfit: str | None

    def __str__(self) -> str:
        return f"{self.type} {self.format}".rstrip()


@dataclass(frozen=True)
class Evidence:
    """What the sample says about one column.

    Attributes:
        column: as proposed.
        rows: rows seen.
        nulls: of them NULL.
        empty: of them empty text.
        candidates: the types that read at least one value, narrow ones first; none for columns that are no texts.
        examples: the smallest and the largest value, as text; none for columns tagged ``pii``.
        why: the reason for the proposal.
    """

    column: Column
    rows: int
    nulls: int
    empty: int
    candidates: tuple[Candidate, ...]
    examples: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        shown = f", such as {', '.join(map(repr, self.examples))}" if self.examples else ""
        counts = ", ".join(f"{candidate} {candidate.fits:,}" for candidate in self.candidates)
        kind = type_text(self.column.data_type) + (f" {self.column.format}" if self.column.format else "")
        return (
            f"{self.column.name}: {kind}\n"
            f"  {self.rows:,} rows, {self.nulls:,} NULL, {self.empty:,} empty{shown}\n"
            f"  {f'reads: {counts}; ' if counts else ''}{self.why}"
        )


@dataclass(frozen=True)
class Proposal:
    """A contract with the evidence for it. Its text is a report.

    Attributes:
        contract: to be checked by someone who knows the data, and saved.
        evidence: for each column, in order.
    """

    contract: Contract
    evidence: tuple[Evidence, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.evidence))


def sample(spark: SparkSession, path: str) -> DataFrame:
    """Read a sample: CSV with a header (every column as text), JSON lines, or Parquet, by the path's ending.

    Raises:
        InvalidSourceError: the ending is another one.
    """
    ending = path.rstrip("/").rpartition(".")[2].lower()
    if ending == "csv":
        return spark.read.csv(path, header=True)
    if ending in {"json", "jsonl"}:
        return spark.read.json(path)
    if ending == "parquet":
        return spark.read.parquet(path)
    raise InvalidSourceError(
        f"{path}: a sample ends in .csv, .json, .jsonl or .parquet; read others yourself and call propose()"
    )


def propose(rows: DataFrame, *, name: str, pii: Sequence[str] = ()) -> Proposal:
    """Propose a contract for rows; reads them twice.

    Args:
        rows: a sample. Columns that are texts are looked into; others, and texts within structs and collections, keep their
            types.
        name: of the contract.
        pii: columns that get the tag ``pii``: none of their values is shown.

    Raises:
        InvalidSourceError: ``pii`` names something else than a column.
    """
    unknown = [column for column in pii if column not in rows.columns]
    if unknown:
        raise InvalidSourceError(f"{name}: pii names {', '.join(unknown)}, the columns are {', '.join(rows.columns)}")
    texts = [number for number, field in enumerate(rows.schema) if isinstance(field.dataType, StringType)]
    seen = _seen(rows, texts)
    candidates = {number: tuple(_wanted(seen, number)) for number in texts}
    fits = _fits(rows, candidates) if texts else {}
    evidence = []
    for number, field in enumerate(rows.schema):
        hidden = field.name in pii
        found = _reading_some(candidates.get(number, ()), fits, number, hidden)
        evidence.append(_evidence(field, number, seen, found, hidden))
    return Proposal(Contract(name, [item.column for item in evidence]), tuple(evidence))


def _seen(rows: DataFrame, texts: Sequence[int]) -> dict[str, Any]:
    """Count rows, NULLs, empty texts and digits, and find the ends."""
    wanted = ["count(*) AS rows"]
    for number, field in enumerate(rows.schema):
        x = quoted_name(field.name)
        wanted.append(f"count({x}) AS values_{number}")
        if not _collection(field):
            wanted += [f"CAST({end}({x}) AS STRING) AS {end}_{number}" for end in ("min", "max")]
    for number in texts:
        x = quoted_name(rows.columns[number])
        digits = f"CASE WHEN {x} RLIKE '{_DIGITS}' THEN {x} END"
        wanted.append(f"count_if({x} = '') AS empty_{number}")
        wanted.append(f"max(length(regexp_extract({digits}, '{_DIGITS}', 1))) AS before_{number}")
        wanted.append(f"max(length(regexp_extract({digits}, '{_DIGITS}', 2))) AS after_{number}")
    return rows.selectExpr(*wanted).first().asDict()  # type: ignore[union-attr]


def _wanted(seen: dict[str, Any], number: int) -> Iterator[tuple[str, str]]:
    for kind, pattern in _CANDIDATES:
        if kind != "decimal":
            yield kind, pattern
            continue
        before, after = seen[f"before_{number}"], seen[f"after_{number}"]
        if before is not None and after > 0 and before + after <= 38:
            yield f"decimal({before + after},{after})", ""


def _fits(rows: DataFrame, candidates: dict[int, tuple[tuple[str, str], ...]]) -> dict[str, Any]:
    """Read every column as every candidate, and count what comes through."""
    fields, copies, counts = [], [], []
    for number, kinds in candidates.items():
        x = quoted_name(rows.columns[number])
        copies.append(f"{x} AS raw_{number}")
        fields.append(StructField(f"raw_{number}", StringType()))
        for which, (kind, pattern) in enumerate(kinds):
            copy = f"as_{number}_{which}"
            copies.append(f"{x} AS {copy}")
            fields.append(StructField(copy, parse_type(kind), True, {"format": pattern} if pattern else {}))
            counts.append(f"count({copy}) AS fits_{number}_{which}")
            counts.append(f"min(CASE WHEN {copy} IS NULL THEN raw_{number} END) AS misfit_{number}_{which}")
    read = conform(rows.selectExpr(*copies), StructType(fields), values=Mode.DISCARD_VALUE).rows
    return read.selectExpr(*counts).first().asDict()  # type: ignore[union-attr]


def _reading_some(
    kinds: Sequence[tuple[str, str]], fits: dict[str, Any], number: int, hidden: bool
) -> tuple[Candidate, ...]:
    found = [
        Candidate(kind, pattern, fits[f"fits_{number}_{which}"], None if hidden else fits[f"misfit_{number}_{which}"])
        for which, (kind, pattern) in enumerate(kinds)
    ]
    return tuple(candidate for candidate in found if candidate.fits)


def _evidence(
    field: StructField, number: int, seen: dict[str, Any], candidates: tuple[Candidate, ...], hidden: bool
) -> Evidence:
    rows, values = seen["rows"], seen[f"values_{number}"]
    ends = [seen.get(f"{end}_{number}") for end in ("min", "max")]
    examples = () if hidden else tuple(dict.fromkeys(end for end in ends if end is not None))
    whole = [candidate for candidate in candidates if candidate.fits == values]
    kind, pattern, why = _chosen(field, values, candidates, whole)
    column = Column(field.name, kind, tags=("pii",) if hidden else (), format=pattern)
    return Evidence(column, rows, rows - values, seen.get(f"empty_{number}", 0), candidates, examples, why)


def _chosen(
    field: StructField, values: int, candidates: Sequence[Candidate], whole: Sequence[Candidate]
) -> tuple[Any, str, str]:
    if not isinstance(field.dataType, StringType):
        return field.dataType, "", "the type that the data has"
    if not values:
        return "string", "", "no value was seen: anything reads as string"
    if whole:
        alike = [
            other for other in whole if other.type == whole[0].type and other.format and other.format != whole[0].format
        ]
        if whole[0].format and alike:
            formats = " and ".join(candidate.format for candidate in (whole[0], *alike))
            return "string", "", f"{formats} read every value alike: say which by the column's format"
        return whole[0].type, whole[0].format, f"{whole[0]} reads all {values:,} values"
    best = max(candidates, key=lambda candidate: candidate.fits, default=None)
    if best is None:
        return "string", "", "nothing else reads any value"
    missed = f", not {best.misfit!r}" if best.misfit is not None else ""
    return "string", "", f"{best} reads {best.fits:,} of {values:,} values{missed}"


def _collection(field: StructField) -> bool:
    return "<" in field.dataType.simpleString()
