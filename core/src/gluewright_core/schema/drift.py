"""Whether the places that know a dataset's schema still agree: code, catalog, template, Avro, SQL, the files themselves.

Each source is compared with the first. What a form cannot say is no drift: before two are compared, each is seen as the
other could show it. A contract with a ``smallint`` and an Avro schema with an int agree; so do a nullable column and a
catalog that knows nothing of NULL.

Example:
    ``python -m gluewright_core.schema drift orders.yaml glue:shop.orders parquet:s3://lake/orders``
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gluewright_core.errors import UnsupportedSourceError
from gluewright_core.schema.contract import Column, Contract
from gluewright_core.schema.differences import Difference, differences, matched
from gluewright_core.schema.reading import Source
from gluewright_core.schema.sources.avro import from_avro, to_avro
from gluewright_core.schema.sources.ddl import create_sql, from_ddl
from gluewright_core.schema.sources.glue import from_glue, to_glue
from gluewright_core.schema.types import without_lengths

SAME = "="
ABSENT = "(absent)"


@dataclass(frozen=True)
class Drifted:
    """One thing about which sources disagree.

    Attributes:
        path: of the column; empty for the dataset itself.
        what: as in :class:`~gluewright_core.schema.differences.Difference`, or ``files`` where Parquet files differ.
        values: what each source says, by its spec; :data:`SAME` where it agrees with the first, or cannot say.
    """

    path: str
    what: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Drift:
    """The report. Its text is a table.

    Attributes:
        sources: the specs; the first is what the others are compared with.
        found: empty when they agree.
    """

    sources: tuple[str, ...]
    found: tuple[Drifted, ...]

    def __str__(self) -> str:
        if not self.found:
            return f"no drift between {', '.join(self.sources)}"
        head = ("column", "what", *self.sources)
        lines = [(item.path or "(dataset)", item.what, *(item.values[spec] for spec in self.sources)) for item in self.found]
        widths = [max(len(line[place]) for line in (head, *lines)) for place in range(len(head))]
        rule = tuple("-" * width for width in widths)
        rows = (head, rule, *lines)
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )

    def as_json(self) -> dict[str, Any]:
        """Give the report as an object of texts, lists and booleans."""
        found = [{"path": item.path, "what": item.what, "values": dict(item.values)} for item in self.found]
        return {"sources": list(self.sources), "same": not self.found, "drift": found}


def drift(sources: Sequence[Source]) -> Drift:
    """Compare schemas with the first of them.

    Args:
        sources: two or more.

    Returns:
        What they do not agree about, path by path, in the order of the first.
    """
    first, *others = sources
    found: dict[tuple[str, str], dict[str, str]] = {}
    for source in sources:
        for loss in source.losses if source.kind == "parquet" else ():
            found.setdefault((loss.path, "files"), {})[source.spec] = loss.why
    for other in others:
        for difference in _between(first, other):
            values = found.setdefault((difference.path, difference.what), {})
            values[first.spec] = difference.left or ABSENT
            values[other.spec] = difference.right or ABSENT
    specs = tuple(source.spec for source in sources)
    complete = ((key, {spec: values.get(spec, SAME) for spec in specs}) for key, values in found.items())
    return Drift(specs, tuple(Drifted(path, what, values) for (path, what), values in complete))


def _between(first: Source, other: Source) -> list[Difference]:
    facets = first.facets & other.facets
    left, right = as_seen_by(first.contract, other.kind), as_seen_by(other.contract, first.kind)
    return [found for found in differences(left, right) if _counts(found, facets)]


def _counts(found: Difference, facets: frozenset[str]) -> bool:
    if found.what == "name":
        # The dataset's own name is not compared: a file does not know in which database it is.
        return bool(found.path) and "name" in facets
    if found.what in {"key", "partition_by"} and "name" not in facets:
        return found.what in facets and (found.left or "").lower() != (found.right or "").lower()
    return found.what in facets


def as_seen_by(contract: Contract, kind: str) -> Contract:
    """Return the contract as a kind of source could show it; as it is, where that kind cannot hold it at all.

    Args:
        contract: any.
        kind: as in :class:`~gluewright_core.schema.reading.Source`.
    """
    views: dict[str, Callable[[Contract], Contract]] = {
        "glue": _in_the_catalog,
        "cfn": _in_the_catalog,
        "avro": lambda seen: from_avro(to_avro(seen).result).result,
        "ddl": lambda seen: from_ddl(create_sql(seen).result).result,
        "parquet": _in_files,
    }
    try:
        return views[kind](contract) if kind in views else contract
    except UnsupportedSourceError:
        return contract


def _in_the_catalog(contract: Contract) -> Contract:
    seen = from_glue(to_glue(contract, location="").result).result
    # In the case of the contract, so that the report shows the names that people know.
    names = matched(seen.names, contract.names)
    columns = [replace(column, name=names[column.name]) for column in seen.columns]
    return replace(contract, columns=columns, comment=seen.comment)


def _in_files(contract: Contract) -> Contract:
    inside = [column for column in contract.columns if column.name not in contract.partition_by]
    return contract.with_columns(
        Column(column.name, without_lengths(column.data_type), nullable=column.nullable) for column in inside
    )
