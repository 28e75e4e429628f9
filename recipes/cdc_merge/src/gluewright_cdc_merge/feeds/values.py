# gluewright-cdc-merge 0.1.0 feeds/values.py
# SPDX-License-Identifier: Apache-2.0
"""Convert values to the types of the table's columns without loss, as a chain of SQL expressions."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    CharType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegralType,
    MapType,
    NullType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
    VarcharType,
)

from .._sql import literal
from .decoded import Unit, UnsupportedFeedError
from .records import Encodings
from .sql import null_of

# How values are read: one or more steps of SQL, each of which is a column before the next uses it, often more than once.

_Step = Callable[[str], str]


_NUMBER = "'^-?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]+)?$'"


_PLAIN = "'^-?([0-9]+([.][0-9]*)?|[.][0-9]+)$'"


_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"


_ZONE = "(Z|[-+][0-9]{2}(:[0-9]{2})?)"


# A number below is a time before March 1973 in microseconds, and one of our time in milliseconds or seconds.
_LEAST_MICROS = 100_000_000_000_000


NO_UNIT = "in microseconds it is a time near 1970, or far from any; declare the unit of timestamps"


_FIRST_MICROS, _LAST_MICROS = -62_135_596_800_000_000, 253_402_300_799_999_999


_CONNECT_DECIMAL = "'org.apache.kafka.connect.data.Decimal'"


_UNITS = {
    "millis": ("io.debezium.time.Timestamp", "org.apache.kafka.connect.data.Timestamp"),
    "micros": ("io.debezium.time.MicroTimestamp",),
    "nanos": ("io.debezium.time.NanoTimestamp",),
}


def convert(x: str, name: str, comes_as: DataType, kind: DataType, how: Encodings) -> str:
    """Read a value in one expression, for the few that are keys."""
    steps = conversions(name, x, comes_as, kind, how)
    if len(steps) < 2:
        return steps[0](x) if steps else x
    made = f"array({x})"
    for step in steps:
        made = f"transform({made}, x -> {step('x')})"
    return f"get({made}, 0)"


def conversions(name: str, raw: str, comes_as: DataType, kind: DataType, how: Encodings) -> list[_Step]:
    """Give the steps that bring a value to a column's type. Their last gives NULL for a value that does not fit."""
    if comes_as.simpleString() == kind.simpleString():
        return []
    if isinstance(comes_as, NullType):
        return [lambda _: null_of(kind)]
    at = f"CAST(array_position(_gw_types.field, {literal(name)}) AS INT) - 1"
    connect = f"get(_gw_types.name, {at})", f"get(_gw_types.parameters, {at})"
    if not isinstance(kind, ArrayType):
        return _scalar(name, comes_as, kind, connect if how.hints else None, how)
    connect = f"get(_gw_types.items.name, {at})", f"get(_gw_types.items.parameters, {at})"
    typed = isinstance(comes_as, ArrayType)
    element: DataType = comes_as.elementType if isinstance(comes_as, ArrayType) else StringType()
    each = []
    if element.simpleString() != kind.elementType.simpleString():
        each = _scalar(name, element, kind.elementType, connect if how.hints else None, how)

    def parsed(x: str) -> str:
        return x if typed else f"from_json({as_text(x, comes_as)}, 'array<string>')"

    def fitting(x: str) -> str:
        nulls = (f"size(filter({of}, v -> v IS NULL))" for of in (x, parsed(raw)))
        return f"CASE WHEN NOT exists({x}, v -> v IS NULL) OR {' = '.join(nulls)} THEN {x} END"

    return [parsed, *(lambda x, step=step: f"transform({x}, e -> {step('e')})" for step in each), fitting]


def _scalar(name: str, comes_as: DataType, kind: DataType, connect: tuple[str, str] | None, how: Encodings) -> list[_Step]:  # noqa: PLR0911
    def text(x: str) -> str:
        return as_text(x, comes_as)

    sql = kind.simpleString().upper()
    match kind:
        case StringType():
            return [text]
        case BooleanType():
            return [lambda x: f"try_cast({text(x)} AS BOOLEAN)"]
        case IntegralType():
            return [lambda x: _whole(text(x), sql)]
        case DecimalType():
            return [*_numerals(comes_as, kind.scale, connect, how), lambda x: _decimal(x, kind.precision, kind.scale)]
        case FloatType() | DoubleType():
            return [*_numerals(comes_as, None, connect, how), lambda x: _floating(x, sql)]
        case DateType():
            return [text, _date]
        case TimestampType() | TimestampNTZType():
            made = _timestamp if isinstance(kind, TimestampType) else _timestamp_ntz
            return [lambda x: _micros(x, comes_as, connect, how.timestamps), made]
        case BinaryType() if how.base64:
            return [lambda x: f"try_to_binary({text(x)}, 'base64')"]
    raise UnsupportedFeedError(
        f"column {name}: a {comes_as.simpleString()} cannot be decoded to {kind.simpleString()};"
        " declare it text, or convert it before"
    )


def _numerals(comes_as: DataType, scale: int | None, connect: tuple[str, str] | None, how: Encodings) -> list[_Step]:
    """Write a number as text: as it is, or from the unscaled bytes of a decimal as ``12345E-2``."""
    if isinstance(comes_as, BinaryType) and scale is not None:
        return [lambda x: f"named_struct('text', '', 'bytes', hex({x}), 'scale', {scale})", _numeral]
    if isinstance(comes_as, StructType) and {"scale", "value"} <= set(comes_as.names):
        return [lambda x: f"named_struct('text', '', 'bytes', hex({x}.value), 'scale', CAST({x}.scale AS INT))", _numeral]
    if not how.base64 or not isinstance(comes_as, StringType):
        return [lambda x: as_text(x, comes_as)]
    precise, known = "true" if how.decimals == "precise" and scale is not None else "false", f"{scale or 0}"
    if connect:
        precise = f"(CASE WHEN _gw_types IS NULL THEN {precise} ELSE coalesce({connect[0]} = {_CONNECT_DECIMAL}, false) END)"
        known = f"coalesce(try_cast(try_element_at({connect[1]}, 'scale') AS INT), {known})"

    def parsed(x: str) -> str:
        own = f"hex(try_to_binary(get_json_object({x}, '$.value'), 'base64'))"
        padded = f"{precise} AND length({x}) % 4 = 0"
        encoded = f"CASE WHEN {x} LIKE '{{%' THEN {own} WHEN {padded} THEN hex(try_to_binary({x}, 'base64')) END"
        places = f"CASE WHEN {x} LIKE '{{%' THEN try_cast(get_json_object({x}, '$.scale') AS INT) ELSE {known} END"
        # Base64 that is no number of this length is no number at all; and zeros in front are base64.
        text = f"CASE WHEN NOT {precise} AND NOT {x} RLIKE '^-?0[0-9]' THEN {x} END"
        return f"named_struct('text', {text}, 'bytes', {encoded}, 'scale', {places})"

    return [parsed, _numeral]


def _numeral(x: str) -> str:
    number = f"concat({_unscaled(f'{x}.bytes')}, 'E', CAST(-{x}.scale AS STRING))"
    return f"CASE WHEN {x}.bytes IS NULL THEN {x}.text ELSE {number} END"


def _unscaled(digits: str) -> str:
    """Write the number in up to 16 bytes, given as hexadecimal digits of big-endian two's complement, as decimal digits."""
    negative = f"{digits} >= '8'"
    short = f"conv(lpad({digits}, 16, if({negative}, 'F', '0')), 16, -10)"
    # Of a negative number the complement, one less than its magnitude: no part exceeds 38 digits before the whole does.
    complement = f"if({negative}, translate({digits}, '0123456789ABCDEF', 'FEDCBA9876543210'), {digits})"
    limb = "CAST(conv(substr(lpad({}, 32, '0'), {}, {}), 16, 10) AS DECIMAL({}, 0))"
    high, middle, low = (limb.format(complement, *part) for part in ((1, 4, 5), (5, 14, 17), (19, 14, 17)))
    upper = f"try_add(try_multiply({high}, {1 << 112}BD), try_multiply({middle}, {1 << 56}BD))"
    magnitude = f"try_add(try_add({upper}, {low}), if({negative}, 1BD, 0BD))"
    long = f"concat(if({negative}, '-', ''), CAST({magnitude} AS STRING))"
    size = f"length({digits})"
    return f"CASE WHEN {size} BETWEEN 2 AND 16 THEN {short} WHEN {size} BETWEEN 17 AND 32 THEN {long} END"


def _whole(x: str, kind: str) -> str:
    return f"CASE WHEN CAST(try_cast({x} AS {kind}) AS STRING) = {x} THEN try_cast({x} AS {kind}) END"


def _decimal(x: str, precision: int, scale: int) -> str:
    value = f"try_cast({x} AS DECIMAL({precision}, {scale}))"
    places = f"length(regexp_extract({x}, '[.]([0-9]*?)0*$', 1))"
    mantissa, exponent = f"substring_index({x}, 'E', 1)", f"try_cast(substring_index({x}, 'E', -1) AS INT)"
    zeros = f"length({mantissa}) - length(trim(TRAILING '0' FROM {mantissa}))"
    whole = f"{mantissa} IN ('0', '-0') OR -{exponent} - ({zeros}) <= {scale}"
    return (
        f"CASE WHEN CAST({value} AS STRING) = {x} THEN {value}"
        f" WHEN {x} RLIKE {_PLAIN} THEN CASE WHEN {places} <= {scale} THEN {value} END"
        f" WHEN {x} RLIKE '^-?[0-9]+E-?[0-9]+$' THEN CASE WHEN {whole} THEN {value} END"
        f" WHEN {x} RLIKE {_NUMBER} AND CAST({value} AS DOUBLE) = try_cast({x} AS DOUBLE) THEN {value} END"
    )


def _floating(x: str, kind: str) -> str:
    """Read a number that the type holds: all its digits, neither infinite nor zero because it is too great or too small."""
    value = f"try_cast({x} AS {kind})"
    digits = f"trim(BOTH '0' FROM regexp_replace(regexp_replace({x}, '[eE].*$', ''), '[-.]', ''))"
    held = f"length({digits}) <= {9 if kind == 'FLOAT' else 17}"
    if kind == "FLOAT":
        held = f"({held} OR CAST({value} AS DOUBLE) = try_cast({x} AS DOUBLE))"
    sized = f"abs({value}) < CAST('Infinity' AS {kind}) AND ({value} <> 0 OR NOT {x} RLIKE '^[^eE]*[1-9]')"
    return (
        f"CASE WHEN {x} IN ('NaN', 'NAN') THEN CAST('NaN' AS {kind})"
        f" WHEN {x} IN ('Infinity', 'POSITIVE_INFINITY') THEN CAST('Infinity' AS {kind})"
        f" WHEN {x} IN ('-Infinity', 'NEGATIVE_INFINITY') THEN CAST('-Infinity' AS {kind})"
        f" WHEN CAST({value} AS STRING) = {x} THEN {value}"
        f" WHEN {x} RLIKE {_NUMBER} AND {sized} AND {held} THEN {value} END"
    )


def _date(x: str) -> str:
    days, day = f"try_cast({x} AS INT)", f"try_cast(substr({x}, 1, 10) AS DATE)"
    return (
        f"CASE WHEN {x} RLIKE '^-?[0-9]{{1,7}}$' THEN"
        f" CASE WHEN {days} BETWEEN -719162 AND 2932896 THEN date_add(DATE'1970-01-01', {days}) END"
        f" WHEN {x} RLIKE '^{_DAY}([ T]00:00:00([.]0+)?)?Z?$' AND {day} >= DATE'0001-01-01' THEN {day} END"
    )


def _micros(x: str, comes_as: DataType, connect: tuple[str, str] | None, unit: Unit | None) -> str:
    """Count microseconds since 1970-01-01 in UTC."""
    if isinstance(comes_as, TimestampType):
        return f"unix_micros({x})"
    text = as_text(x, comes_as)
    number, first, last = f"try_cast({text} AS BIGINT)", _FIRST_MICROS // 1000, _LAST_MICROS // 1000
    counted: dict[str | None, str] = {
        None: f"CASE WHEN {number} = 0 OR {number} NOT BETWEEN -{_LEAST_MICROS} AND {_LEAST_MICROS} THEN {number} END",
        "seconds": f"CASE WHEN {number} BETWEEN {first // 1000} AND {last // 1000} THEN {number} * 1000000 END",
        "millis": f"CASE WHEN {number} BETWEEN {first} AND {last} THEN {number} * 1000 END",
        "micros": number,
        "nanos": f"CASE WHEN {number} % 1000 = 0 THEN {number} div 1000 END",
    }
    whens = ""
    if connect:
        names = {each: ", ".join(map(literal, known)) for each, known in _UNITS.items()}
        whens = " ".join(f"WHEN {connect[0]} IN ({names[each]}) THEN {counted[each]}" for each in _UNITS)
    told = f"CASE {whens} ELSE {counted[unit]} END" if whens else counted[unit]
    readable = f"{text} RLIKE '^{_DAY}[ T][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}([.][0-9]{{1,9}})?)?{_ZONE}?$'"
    exact = f"NOT {text} RLIKE '[.][0-9]{{6}}[0-9]*[1-9]'"
    zoned = f"if({text} RLIKE ':[0-9]{{2}}([.][0-9]+)?{_ZONE}$', {text}, concat({text}, 'Z'))"
    return (
        f"CASE WHEN {text} RLIKE '^-?[0-9]{{1,19}}$' THEN {told}"
        f" WHEN {readable} AND {exact} THEN unix_micros(try_cast({zoned} AS TIMESTAMP)) END"
    )


def _timestamp(x: str) -> str:
    return f"CASE WHEN {x} BETWEEN {_FIRST_MICROS} AND {_LAST_MICROS} THEN timestamp_micros({x}) END"


def _timestamp_ntz(x: str) -> str:
    seconds = f"CAST({x} * 0.000001BD AS DECIMAL(18, 6))"
    made = f"TIMESTAMP_NTZ'1970-01-01 00:00:00' + make_dt_interval(0, 0, 0, {seconds})"
    return f"CASE WHEN {x} BETWEEN {_FIRST_MICROS} AND {_LAST_MICROS} THEN {made} END"


def as_text(x: str, kind: DataType) -> str:
    """Write a value as Debezium would in JSON; the time of a timestamp in UTC."""
    match kind:
        case StringType():
            return x
        case NullType():
            return "CAST(NULL AS STRING)"
        case BinaryType():
            # Spark 3.5 may break lines in it.
            return f"regexp_replace(base64({x}), '[^A-Za-z0-9+/=]', '')"
        case StructType() | ArrayType() | MapType():
            return f"to_json({x})"
        case TimestampType():
            return f"concat(CAST({_timestamp_ntz(f'unix_micros({x})')} AS STRING), 'Z')"
    return f"CAST({x} AS STRING)"


# Small parts.


def plain_type(kind: DataType) -> DataType:
    """Return the type without the length that ``char`` and ``varchar`` have."""
    return StringType() if isinstance(kind, CharType | VarcharType) else kind
