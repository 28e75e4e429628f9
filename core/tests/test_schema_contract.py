"""A contract as an object: what it refuses, its Spark schema, and how it differs from another."""

import pytest
from pyspark.sql.types import ArrayType, IntegerType, StringType, StructField, StructType

from gluewright_core.errors import InvalidContractError
from gluewright_core.schema import Column, Contract, Mode


def of(*columns, **others):
    return Contract("shop.orders", columns, **others)


ID, DAY, TAGS = Column("id", "bigint", nullable=False), Column("day", "date"), Column("tags", "map<string,int>")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Column("a", "strng"), "a: unknown type 'strng'; did you mean string? (at offset 0)"),
        (lambda: Column("a", None), "a: the type is None"),
        (lambda: Column("", "int"), "name ''"),
        (lambda: Column("a", "int", on_surprise="ignore"), "a: unknown mode 'ignore'; use one of evolve, freeze"),
        (lambda: of(ID, values="drop"), "shop.orders: unknown mode 'drop'"),
        (lambda: of(), "has no columns"),
        (lambda: of(ID, Column("ID", "int")), "the columns id and ID have the same name but for case"),
        (lambda: of(Column("a", "array<struct<b:int,B:int>>")), "a[]: the fields b and B have the same name"),
        (lambda: of(ID, key=("Id",)), "key: Id is not a column; did you mean id?"),
        (lambda: of(ID, DAY, partition_by=("month",)), "partition_by: month is not a column; it has id, day"),
        (lambda: of(ID, key=("id", "id")), "key names id and id twice"),
        (lambda: of(ID, TAGS, partition_by=("tags",)), "partition_by: tags is map<string,int>"),
        (lambda: of(ID, TAGS, key=("tags",)), "holds a map"),
        (lambda: of(ID, partition_by=("id",)), "every column partitions"),
        (
            lambda: of(Column("a", StructType([StructField("b", IntegerType(), True, {"on_surprise": "x"})]))),
            "a.b: unknown mode 'x'",
        ),
    ],
)
def test_a_contradiction_is_refused_with_its_place(make, said):
    with pytest.raises(InvalidContractError) as raised:
        make()
    assert said in str(raised.value)


def test_every_contradiction_is_named_at_once():
    with pytest.raises(InvalidContractError, match=r"key: nope .*partition_by: never "):
        of(ID, key=("nope",), partition_by=("never",))


def test_the_spark_schema_carries_everything_there_and_back():
    contract = of(
        Column("Id", "bigint", nullable=False, comment="it's", tags=["pii", "hr"], on_surprise="freeze", format="yyyy"),
        Column("code", "varchar(3)"),
        key=["Id"],
        values="evolve",
    )
    assert contract.struct["Id"].metadata == {
        "comment": "it's",
        "tags": ["pii", "hr"],
        "on_surprise": "freeze",
        "format": "yyyy",
    }
    again = Contract.from_struct("shop.orders", contract.struct, key=("Id",), values=Mode.EVOLVE)
    assert again == contract
    assert hash(again) == hash(contract)


def test_a_table_of_spark_gives_its_char_and_varchar_back(spark, catalog):
    spark.sql("CREATE TABLE t (a char(3) COMMENT 'c', b array<struct<x: varchar(5)>>, c string) USING parquet")
    read = Contract.from_struct("t", spark.table("t").schema)
    columns = (Column("a", "char(3)", comment="c"), Column("b", "array<struct<x:varchar(5)>>"), Column("c", "string"))
    assert read == Contract("t", columns)


def test_the_difference_reads_path_by_path():
    before = of(
        ID,
        Column("items", "array<struct<sku:string,price:decimal(10,2)>>"),
        Column("note", "string", comment="old"),
        Column("Zip", "string"),
        Column("gone", "map<string,struct<a:int>>"),
        key=("id",),
    )
    after = of(
        Column("zip", "string"),
        ID,
        Column("items", "array<struct<sku:string NOT NULL,price:decimal(12,2),qty:int>>"),
        Column("note", "string", comment="new", tags=("pii",)),
        Column("scores", ArrayType(IntegerType(), False)),
        values="freeze",
    )
    assert [str(difference) for difference in before.diff(after)] == [
        "key id -> (none)",
        "values discard_row -> freeze",
        "items[].sku: nullable true -> false",
        "items[].price: type decimal(10,2) -> decimal(12,2)",
        "items[].qty: column added (int)",
        "note: comment old -> new",
        "note: tags (none) -> pii",
        "Zip: name Zip -> zip",
        "gone: column removed",
        "scores: column added (array<int>)",
        "order id, items, note, Zip -> Zip, id, items, note",
    ]
    assert before.diff(before) == ()


def test_tags_of_a_field_may_be_one_text():
    tagged = StructType([StructField("a", StringType(), True, {"tags": "pii"}), StructField("b", StringType())])
    assert Contract.from_struct("t", tagged)["a"].tags == ("pii",)


@pytest.mark.parametrize(
    ("tags", "read"), [("pii", ("pii",)), ("PII", ("PII",)), ("pii, gdpr", ("pii", "gdpr")), ("", ()), (["pii"], ("pii",))]
)
def test_tags_may_be_a_text(spark, tags, read):
    contract = of(ID, Column("email", "string", tags=tags))
    assert contract["email"].tags == read
    # What is tagged pii is withheld from quarantine, however it was written.
    rows = spark.createDataFrame([("x", "ada@example.org")], "id string, email string")
    shown = "ada@example.org" in str(contract.conform(rows).quarantine.collect())
    assert shown == ("pii" not in str(read).lower())
