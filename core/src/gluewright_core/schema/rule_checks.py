"""Have Spark check the patterns and the SQL of a contract's rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, StructType

from gluewright_core.schema.conform import ansi, guarded
from gluewright_core.schema.contract import Contract, Place
from gluewright_core.schema.types import without_lengths


def broken_rules(contract: Contract) -> Iterator[tuple[Place, str]]:
    """Find rules that Spark cannot evaluate, each with its place in the contract.

    Args:
        contract: with rules. An active session is needed.
    """
    for column, each in enumerate(contract.columns):
        for number, rule in enumerate(each.rules):
            if rule.pattern and (reason := _of_pattern(rule.pattern)):
                yield ("columns", column, "rules", number, "pattern"), f"{each.name}: the pattern {rule.pattern}: {reason}"
    struct = without_lengths(contract.struct)
    assert isinstance(struct, StructType)
    for number, rule in enumerate(contract.rules):
        if rule.sql and (reason := _of_sql(rule.sql, struct.json())):
            yield ("rules", number, "sql"), f"the rule {rule.name}: {reason}"


@lru_cache(1000)
def _of_pattern(pattern: str) -> str:
    session = SparkSession.getActiveSession()
    assert session is not None
    try:
        session._jvm.java.util.regex.Pattern.compile(f"^(?:{pattern})$")  # type: ignore[union-attr]
    except (Py4JError, PySparkException) as error:
        found = str(getattr(error, "java_exception", None) or error).strip().splitlines()[0]
        return f"{found.rpartition('Exception: ')[2].partition(' near ')[0]}; write a regular expression of Java"
    return ""


@lru_cache(1000)
def _of_sql(sql: str, struct: str) -> str:
    session = SparkSession.getActiveSession()
    assert session is not None
    columns = StructType.fromJson(json.loads(struct))
    none = session.range(0).select(*(F.lit(None).cast(field.dataType).alias(field.name) for field in columns))
    try:
        with ansi(session):
            found = none.selectExpr("*", f"({sql}) AS `_gw_rule`").schema["_gw_rule"].dataType
            none.selectExpr("*", f"{guarded(sql)} AS `_gw_rule`")
        parsed = session._jsparkSession.sessionState().sqlParser().parseExpression(sql)
        patterns = session._jvm.org.apache.spark.sql.catalyst.trees.TreePattern  # type: ignore[union-attr]
        if parsed.containsPattern(patterns.PLAN_EXPRESSION()):
            return f"{sql} has a subquery; write a condition over the columns of one row"
    except PySparkException as error:
        return str(error).strip().splitlines()[0]
    kind = found.simpleString()
    return "" if isinstance(found, BooleanType) else f"{sql} is {kind}; write a condition that is true or false"
