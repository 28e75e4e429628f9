"""A contract's file: there and back without loss, and every mistake named with its place."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings

from core.tests.schema_strategies import contracts
from gluewright_core.errors import InvalidContractError, ObjectNotFoundError
from gluewright_core.schema import Column, Contract
from gluewright_core.schema.files import contract_from_text, contract_to_text, load_contract, save_contract

GOOD = """\
name: shop.orders
key: [id]
values: freeze
columns:
- {name: id, type: bigint, nullable: false}
- name: items
  type: array
  items:
    type: struct
    nullable: false
    fields:
    - {name: price, type: 'decimal(10, 2)', comment: with tax, tags: [pii]}
- {name: day, type: date, format: dd.MM.yyyy}
"""


@settings(max_examples=150, deadline=None)
@given(contract=contracts())
def test_a_file_gives_back_the_contract_it_was_written_from(contract):
    assert contract_from_text(contract_to_text(contract, "yaml"), "yaml") == contract
    assert contract_from_text(contract_to_text(contract, "json"), "json") == contract


def test_a_file_reads_as_it_looks_and_is_saved_so(tmp_path):
    (tmp_path / "orders.yaml").write_text(GOOD)
    contract = load_contract(tmp_path / "orders.yaml")
    assert contract.key == ("id",)
    items = contract["items"].data_type
    assert (items.containsNull, items.elementType["price"].metadata) == (False, {"comment": "with tax", "tags": ["pii"]})
    save_contract(contract, tmp_path / "orders.json")
    assert load_contract(tmp_path / "orders.json") == contract
    assert json.loads((tmp_path / "orders.json").read_text())["columns"][2] == {
        "name": "day",
        "type": "date",
        "format": "dd.MM.yyyy",
    }


def test_a_contract_in_s3_is_read_from_there(s3_server):
    contract = Contract("t", (Column("a", "int"),))
    save_contract(contract, "s3://warehouse/contracts/t.json")
    assert load_contract("s3://warehouse/contracts/t.json") == contract
    with pytest.raises(ObjectNotFoundError):
        load_contract("s3://warehouse/contracts/u.json")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("bigint", "bigit", "orders.yaml:5 columns[0].type: unknown type 'bigit'; did you mean bigint?"),
        ("decimal(10, 2)", "decimal(10, x)", "orders.yaml:12 columns[1].items.fields[0].type: a whole number"),
        ("name: day", "name: ID", "orders.yaml:13 columns[2]: the columns id and ID have the same name but for case"),
        ("name: price, ", "", "orders.yaml:12 columns[1].items.fields[0]: it has no 'name'"),
        ("key: [id]", "key: [ID]", "orders.yaml:2 key[0]: key: ID is not a column; did you mean id?"),
        ("freeze", "ignore", "orders.yaml:3 values: unknown mode 'ignore'; use one of evolve"),
        ("format: dd", "on_surprise: drop, format: dd", "orders.yaml:13 columns[2].on_surprise: unknown mode 'drop'"),
        ("nullable: false}", "nullable: 'no'}", "orders.yaml:5 columns[0].nullable: it is 'no'; write true or false"),
        ("tags:", "tag:", "orders.yaml:12 columns[1].items.fields[0].tag: unknown entry 'tag'; did you mean tags?"),
        ("comment: with tax", "comment: no", "comment: a text was expected, not False; put it in quotes"),
        ("  items:\n", "  fields:\n", "orders.yaml:8 columns[1].fields: fields does not go with the type array"),
        ("type: array\n", "type: map\n", "columns[1].items: items does not go with the type map"),
        ("type: struct\n", "type: map\n", "columns[1].items.fields: fields does not go with the type map"),
        ("key: [id]", "name: again", "orders.yaml:2: 'name' stands twice"),
        ("key: [id]", "key: [id", "orders.yaml:3: not YAML"),
        ("key: [id]", "key: !Ref Id", "for the tag '!Ref'; if it is a CloudFormation template, write cfn:"),
        ("columns:", "colums:", "orders.yaml:4 colums: unknown entry 'colums'; did you mean columns?"),
    ],
)
def test_a_mistake_is_named_with_its_file_line_and_path(tmp_path, old, new, said):
    assert old in GOOD
    (tmp_path / "orders.yaml").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InvalidContractError) as raised:
        load_contract(tmp_path / "orders.yaml")
    assert said in str(raised.value)


@pytest.mark.parametrize("tags", ["pii", '"PII"', "[pii]", "pii, gdpr"])
def test_tags_may_be_a_text(tags):
    text = f"""
name: t
columns:
- {{name: id, type: int}}
- name: person
  type: struct
  fields: [{{name: email, type: string, tags: {tags if "," not in tags else repr(tags)}}}]
- name: email
  type: string
  tags: {tags}
"""
    contract = contract_from_text(text, "yaml")
    read = {"pii": ["pii"], '"PII"': ["PII"], "[pii]": ["pii"], "pii, gdpr": ["pii", "gdpr"]}[tags]
    assert list(contract["email"].tags) == contract["person"].data_type["email"].metadata["tags"] == read
    assert contract_from_text(contract_to_text(contract, "yaml"), "yaml") == contract


def test_tags_that_are_no_texts_are_refused_with_their_place():
    with pytest.raises(InvalidContractError, match=r"t.yaml:3 columns\[0\].tags\[0\]: a text was expected, not 5"):
        contract_from_text("name: t\ncolumns:\n- {name: id, type: int, tags: [5]}\n", "yaml", where="t.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"name": "t", "columns": [{"name": "a", "type": "int"}, {"name": "b"}]}', "t.json columns[1]: it has no 'type'"),
        ('{"name": "t", "name": "u"}', "'name' stands twice"),
        ('{"name": "t"', "t.json: not JSON"),
        ("[]", "t.json: a mapping with name, comment"),
        ('{"name": "t"}', "t.json: it has no 'columns'"),
        (
            '{"name": "t", "columns": [{"name": "a", "type": "map", "keys": "strin", "values": "int"}]}',
            "t.json columns[0].keys: unknown type 'strin'",
        ),
    ],
)
def test_a_mistake_in_json_is_named_with_its_path(text, said):
    with pytest.raises(InvalidContractError) as raised:
        contract_from_text(text, "json", where="t.json")
    assert said in str(raised.value)


def test_without_pyyaml_json_works_and_yaml_says_what_to_install(tmp_path):
    program = (
        "import sys; sys.modules['yaml'] = None\n"
        "from gluewright_core.errors import SchemaError\n"
        "from gluewright_core.schema.files import contract_from_text, contract_to_text\n"
        'contract = contract_from_text(\'{"name": "t", "columns": [{"name": "a", "type": "int"}]}\', "json")\n'
        "try: contract_to_text(contract, 'yaml')\n"
        "except SchemaError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "install gluewright-core[yaml]" in said
