"""Types, their spellings and contracts, drawn at random."""

from __future__ import annotations

import string

from hypothesis import strategies as st
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    ByteType,
    CharType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
    VarcharType,
)

SPELLINGS = {
    BooleanType: ["boolean"],
    ByteType: ["tinyint", "byte"],
    ShortType: ["smallint", "short"],
    IntegerType: ["int", "integer"],
    LongType: ["bigint", "long"],
    FloatType: ["float", "real"],
    DoubleType: ["double"],
    StringType: ["string"],
    BinaryType: ["binary"],
    DateType: ["date"],
    TimestampType: ["timestamp", "timestamp_ltz"],
    TimestampNTZType: ["timestamp_ntz"],
}
KEYWORDS = ["array", "struct", "not", "null", "comment", "timestamp", "order", "select", "interval", "double", "precision"]

decimals = st.integers(1, 38).flatmap(lambda p: st.builds(DecimalType, st.just(p), st.integers(0, p)))
atoms = st.one_of(
    st.sampled_from([kind() for kind in SPELLINGS]),
    decimals,
    st.builds(CharType, st.integers(1, 255)),
    st.builds(VarcharType, st.integers(1, 65535)),
)
simple_names = st.one_of(
    st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True).filter(str.isascii), st.sampled_from(KEYWORDS)
)
odd_characters = st.characters(exclude_categories=["C", "Z"], include_characters=" `:<>,'\"$")
odd_names = st.text(odd_characters, min_size=1, max_size=6).filter(str.strip)
names = st.one_of(simple_names, odd_names)
comments = st.text(st.characters(exclude_categories=["C"], include_characters="\n\t'\"\\%_"), min_size=1, max_size=12)
always, either = st.just(True), st.booleans()


def distinct_names(wanted=names, **sizes):
    return st.lists(wanted, unique_by=lambda name: (name.lower(), name.casefold()), **sizes)


@st.composite
def structs(draw, inner, *, metadata, wanted_names=names, nullables=either, min_size=1):
    fields = [
        StructField(name, draw(inner), draw(nullables), draw(metadata))
        for name in draw(distinct_names(wanted_names, min_size=min_size, max_size=4))
    ]
    return StructType(fields)


def types(*, metadata=None, wanted_names=names, nullables=either, contains_null=always, leaves=atoms):
    """Any type; by default with what a type's text can say: names, NOT NULL and comments."""
    if metadata is None:
        metadata = st.one_of(st.just({}), st.fixed_dictionaries({"comment": comments}))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(ArrayType, inner, contains_null),
            st.builds(MapType, leaves, inner, contains_null),
            structs(inner, metadata=metadata, wanted_names=wanted_names, nullables=nullables),
        ),
        max_leaves=8,
    )


spaces = st.sampled_from(["", "", " ", "  ", "\n", "\t "])
gaps = st.sampled_from([" ", "  ", "\n "])


@st.composite
def cased(draw, text):
    return draw(st.sampled_from([text, text.upper(), text.title()]))


@st.composite
def spelled(draw, kind):
    """A text of the type, as anyone could have written it for Spark."""
    some = lambda: draw(spaces)  # noqa: E731
    word = lambda text: draw(cased(text))  # noqa: E731
    inner = lambda other: some() + draw(spelled(other)) + some()  # noqa: E731
    match kind:
        case ArrayType():
            return f"{word('array')}{some()}<{inner(kind.elementType)}>"
        case MapType():
            return f"{word('map')}{some()}<{inner(kind.keyType)},{inner(kind.valueType)}>"
        case StructType():
            return f"{word('struct')}{some()}<{','.join(draw(spelled_field(field)) for field in kind)}>"
        case DecimalType():
            name = word(draw(st.sampled_from(["decimal", "dec", "numeric"])))
            if (kind.precision, kind.scale) == (10, 0) and draw(st.booleans()):
                return name
            scale = "" if kind.scale == 0 and draw(st.booleans()) else f",{some()}{kind.scale}{some()}"
            return f"{name}{some()}({some()}{kind.precision}{some()}{scale})"
        case CharType() | VarcharType():
            return f"{word(kind.typeName())}{some()}({some()}{kind.length}{some()})"
    return word(draw(st.sampled_from(SPELLINGS[type(kind)])))


@st.composite
def spelled_field(draw, field):
    plain = set(field.name) <= set(string.ascii_letters + string.digits + "_") and not field.name[0].isdigit()
    quoted = "`" + field.name.replace("`", "``") + "`"
    name = quoted if not plain or draw(st.booleans()) else field.name
    after_name = draw(st.sampled_from([":", " :", ": ", " "]))
    text = draw(spaces) + name + after_name + draw(spelled(field.dataType))
    if not field.nullable:
        text += draw(gaps) + draw(cased("not")) + draw(gaps) + draw(cased("null"))
    if "comment" in field.metadata:
        quote = draw(st.sampled_from("'\""))
        escaped = field.metadata["comment"].replace("\\", "\\\\").replace(quote, "\\" + quote)
        text += draw(gaps) + draw(cased("comment")) + draw(spaces) + quote + escaped + quote
    return text + draw(spaces)


tags = st.lists(st.sampled_from(["pii", "gdpr", "no", "true", "2024-01-01"]), max_size=2, unique=True)
modes = st.sampled_from(["evolve", "freeze", "discard_row", "discard_value"])


@st.composite
def metadata_of_contracts(draw):
    """What a field of a contract carries beside name, type and nullable."""
    said = {
        "comment": draw(st.one_of(st.just(""), comments)),
        "tags": draw(tags),
        "on_surprise": draw(st.one_of(st.just(""), modes)),
        "format": draw(st.sampled_from(["", "dd.MM.yyyy", "yyyy-MM-dd'T'HH:mm"])),
    }
    return {key: value for key, value in said.items() if value}


@st.composite
def contracts(draw, *, metadata=None, wanted_names=names, kinds=None, dataset_names=simple_names, nullables=either):
    """Contracts with keys and partitions where the types allow them."""
    from gluewright_core.schema import Column, Contract

    metadata = metadata_of_contracts() if metadata is None else metadata
    kinds = types(metadata=metadata, wanted_names=wanted_names, contains_null=either) if kinds is None else kinds
    struct = draw(structs(kinds, metadata=metadata, wanted_names=wanted_names, nullables=nullables, min_size=2))
    columns = [Column.from_field(field) for field in struct]
    comparable = [column.name for column in columns if "map<" not in column.type.simpleString()]
    plain = [
        column.name for column in columns if not hasattr(column.type, "fields") and "<" not in column.type.simpleString()
    ]
    return Contract(
        draw(dataset_names),
        columns,
        key=draw(st.lists(st.sampled_from(comparable), unique=True, max_size=2)) if comparable else (),
        partition_by=draw(st.lists(st.sampled_from(plain), unique=True, max_size=1)) if plain else (),
        comment=draw(st.one_of(st.just(""), comments)),
        values=draw(modes),
        new_columns=draw(modes),
    )
