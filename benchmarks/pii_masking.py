"""What masking costs: five columns become full-length tokens, beside the usual ways to hash and beside a plain copy.

Every side reads six columns of Parquet and writes six. *tokens* is this recipe, *tokens, base64url* the same digest in 43
characters instead of 64. The UDFs compute the same HMAC-SHA-256 with Python's `hmac`, row by row or by batches of pandas,
with the key in their closure. *copy* writes the columns as they are: what is left is the price of masking. *two digests* is
the least that an HMAC costs in Spark's functions: two `sha2` of each value, with pads that are no secret.

``hatch run peers:bench pii_masking`` adds Presidio, which looks for personal data in each value by its patterns (no language
model) and hashes what it finds. It is compared on one row in ``SAMPLE``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from benchmarks.bench import Steps
from gluewright_pii_masking import Keep, Key, Policy, Token, mask

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from benchmarks.bench import Context

ROWS, QUICK_ROWS = 5_000_000, 50_000
PARTS = ()
SAMPLE = 500
KEY = Key("k1", bytes(range(32)))
COLUMNS = {
    "email": "concat('customer.', id * 7919 % 1000003, '@example.org')",
    "name": "concat(element_at(array('Ada', 'Ben', 'Cleo', 'Dan'), CAST(id % 4 + 1 AS INT)), ' ', hex(id * 31 % 100003))",
    "phone": "concat('+44 20 ', lpad(CAST(id * 104729 % 100000000 AS STRING), 8, '0'))",
    "card": "lpad(CAST(id * 1000003 % 10000000000000000 AS STRING), 16, '4')",
    "street": "concat(id * 17 % 500, ' ', element_at(array('Elm', 'Oak', 'High'), CAST(id % 3 + 1 AS INT)), ' Street')",
}


def prepare(context: Context) -> None:
    """Lay the rows down."""
    made = context.spark.range(context.rows).selectExpr("id", *(f"{sql} AS {name}" for name, sql in COLUMNS.items()))
    made.write.parquet(f"{context.inputs}/people")


def _people(context: Context) -> DataFrame:
    return context.spark.read.parquet(f"{context.inputs}/people")


def _sample(context: Context) -> DataFrame:
    return _people(context).where(F.col("id") < max(context.rows // SAMPLE, 1)).repartition(2)


def _written(context: Context) -> str:
    return f"{context.workspace}/written"


def _tokens(alphabet: str, *, rows: Callable[[Context], DataFrame] = _people) -> Callable[[Context], None]:
    token = Token(alphabet=alphabet, with_key_id=False)

    def run(context: Context) -> None:
        policy = Policy({"id": Keep(), **dict.fromkeys(COLUMNS, token)})
        mask(rows(context), policy, key=KEY).write.parquet(_written(context))

    return run


def _copy(context: Context) -> None:
    _people(context).write.parquet(_written(context))


def _two_digests(context: Context) -> None:
    inner = {name: f"sha2(concat(repeat('6', 64), {name}), 256)" for name in COLUMNS}
    digests = [f"sha2(concat(CAST(repeat('c', 64) AS BINARY), unhex({sql})), 256) AS {name}" for name, sql in inner.items()]
    _people(context).selectExpr("id", *digests).write.parquet(_written(context))


def _with(context: Context, token: Callable[[Column], Column]) -> None:
    columns = [token(F.col(name)).alias(name) for name in COLUMNS]
    _people(context).select("id", *columns).write.parquet(_written(context))


def _python_udf(context: Context) -> None:
    secret = KEY.secret

    def token(value: str | None) -> str | None:
        return None if value is None else hmac.new(secret, value.encode(), hashlib.sha256).hexdigest()

    _with(context, F.udf(token, "string"))


def _pandas_udf(context: Context) -> None:
    import pandas as pd  # noqa: PLC0415 - not always there
    from pyspark.sql.pandas.functions import pandas_udf  # noqa: PLC0415

    secret = KEY.secret

    def hashed(values: pd.Series[str]) -> pd.Series[str]:
        return values.map(lambda value: hmac.new(secret, value.encode(), hashlib.sha256).hexdigest(), na_action="ignore")

    # The annotations of this file are texts, and these name what only this function knows.
    hashed.__annotations__ = {"values": pd.Series, "return": pd.Series}
    vectorised: Any = pandas_udf
    _with(context, vectorised(hashed, "string"))


def _presidio(context: Context) -> None:
    import pandas as pd  # noqa: PLC0415 - not always there
    from presidio_anonymizer.entities import OperatorConfig  # type: ignore[import-not-found]  # noqa: PLC0415
    from pyspark.sql.pandas.functions import pandas_udf  # noqa: PLC0415

    def anonymised(batches: Iterator[pd.Series[str]]) -> Iterator[pd.Series[str]]:
        import spacy  # type: ignore[import-not-found]  # noqa: PLC0415 - in the executors' Python
        from presidio_analyzer import AnalyzerEngine  # type: ignore[import-not-found]  # noqa: PLC0415
        from presidio_analyzer.nlp_engine import SpacyNlpEngine  # type: ignore[import-not-found]  # noqa: PLC0415
        from presidio_anonymizer import AnonymizerEngine  # type: ignore[import-not-found]  # noqa: PLC0415

        # A tokenizer and nothing learned: what is left are Presidio's patterns and checksums.
        engine = SpacyNlpEngine()
        engine.nlp = {"en": spacy.blank("en")}
        analyzer, anonymizer = AnalyzerEngine(nlp_engine=engine), AnonymizerEngine()
        hashed = {"DEFAULT": OperatorConfig("hash", {"hash_type": "sha256"})}

        def found(value: str) -> str:
            return str(anonymizer.anonymize(value, analyzer.analyze(value, language="en"), hashed).text)

        for values in batches:
            yield values.map(found, na_action="ignore")

    anonymised.__annotations__ = {"batches": Iterator[pd.Series], "return": Iterator[pd.Series]}
    vectorised: Any = pandas_udf
    columns = [vectorised(anonymised, "string")(name).alias(name) for name in COLUMNS]
    _sample(context).select("id", *columns).write.parquet(_written(context))


def _checked(name: str) -> Callable[[Context], dict[str, list[str]]]:
    """Sum what was written up, for the sides that write the same."""

    def check(context: Context) -> dict[str, list[str]]:
        columns = ", ".join(COLUMNS)
        sums = context.spark.read.parquet(_written(context)).selectExpr("count(*)", f"sum(crc32(concat_ws(' ', {columns})))")
        return {name: [str(value) for value in sums.first() or ()]}

    return check


def _counted(context: Context, of: str = "sample") -> dict[str, int]:
    # Presidio salts its hashes anew in every process.
    return {of: context.spark.read.parquet(_written(context)).count()}


def _ready(context: Context) -> None:
    """Start the session."""
    context.spark.range(1).collect()


SIDES = {
    "tokens": Steps(_ready, _tokens("hex"), _checked("hex")),
    "tokens, base64url": Steps(_ready, _tokens("base64url"), _checked("base64url")),
    "copy": Steps(_ready, _copy, _checked("plain")),
    "two digests": Steps(_ready, _two_digests, partial(_counted, of="rows")),
    "Python UDF": Steps(_ready, _python_udf, _checked("hex")),
}
RATIOS = {
    "tokens / copy": ("tokens", "copy", 1.6),
    "tokens in base64url / copy": ("tokens, base64url", "copy", 1.6),
    "tokens / Python UDF": ("tokens", "Python UDF", 0.25),
}
if find_spec("pandas") and find_spec("pyarrow"):
    SIDES["pandas UDF"] = Steps(_ready, _pandas_udf, _checked("hex"))
    RATIOS["tokens / pandas UDF"] = ("tokens", "pandas UDF", 1.0)
if find_spec("presidio_analyzer") and find_spec("presidio_anonymizer"):
    SIDES["tokens of a sample"] = Steps(_ready, _tokens("hex", rows=_sample), _counted)
    SIDES["Presidio on a sample"] = Steps(_ready, _presidio, _counted)
    RATIOS["tokens / Presidio, on a sample"] = ("tokens of a sample", "Presidio on a sample", 0.25)
