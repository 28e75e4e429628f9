"""Vault tokens: random, one for each value, and values again for who has the key and the vault."""

from __future__ import annotations

from datetime import date

import pytest

from gluewright_pii_masking import (
    InvalidKeyError,
    InvalidPolicyError,
    Keep,
    Key,
    Policy,
    PolicyMismatchError,
    Token,
    VaultMismatchError,
    VaultToken,
    decrypt,
    exchanged,
    issued,
    mask,
    rekeyed,
    sealed,
    vault,
    vault_columns,
    vault_entries,
)
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.rows import rows

PEOPLE = [
    (1, "Ada@x.org", {"e-mail": "ada@x.org ", "born": "1815-12-10", "tax": "1"}, 7),
    (2, "ben@x.org", {"e-mail": None, "born": None, "tax": "7"}, None),
    (3, None, None, 7),
    (4, "ADA@X.ORG", {"e-mail": "Cleo\u0301@x.org", "born": "1815-12-10", "tax": None}, 1),
]
SCHEMA = "id int, email string, `the person` struct<`e-mail`:string,born:date,tax:string>, number bigint"
FOLDED = VaultToken(normalise=("trim", "lower", "nfc"))
POLICY = Policy(
    {
        "id": Keep(),
        "email": FOLDED,
        "`the person`.`e-mail`": FOLDED,
        "`the person`.born": VaultToken(domain="dates"),
        "`the person`.tax": VaultToken(domain="numbers"),
        "number": VaultToken(domain="numbers"),
    }
)


@pytest.fixture
def people(spark):
    return rows(spark, SCHEMA, PEOPLE)


def filled(spark, people, key, known=()):
    """Return the vault after a write: what was random is certain."""
    before = spark.createDataFrame(list(known), "domain string, lookup string, sealed string, token string")
    new = issued(vault_entries(people, POLICY, key=key), before).collect()
    return [*known, *map(tuple, new)]


def test_equal_values_of_a_domain_have_one_token_and_come_back_by_key_and_vault(spark, people, key):
    entries = filled(spark, people, key)
    assert sorted(domain for domain, *_ in entries) == ["", "", "", "dates", "numbers", "numbers"]
    assert len({token for *_, token in entries}) == 6 and all(len(token) == 24 for *_, token in entries)
    kept = spark.createDataFrame(entries, ", ".join(f"{column} string" for column in vault.VAULT))
    columns = vault_columns(people, POLICY)
    masked = exchanged(mask(people, POLICY, key=key), columns, kept)
    assert masked.schema.simpleString() == people.schema.simpleString().replace("date", "string").replace("bigint", "string")
    found = {row.id: row for row in masked.collect()}
    assert found[1].email == found[4].email == found[1]["the person"]["e-mail"] != found[2].email
    assert found[1].number == found[2]["the person"].tax == found[3].number
    assert found[1]["the person"].tax == found[4].number
    assert found[3].email is None and found[3]["the person"] is None and found[2]["the person"].born is None
    # Nothing but a table tells what they stand for: they differ from any keyed token, and from those of another vault.
    assert {token for *_, token in entries}.isdisjoint(token for *_, token in filled(spark, people, key))

    opened = decrypt(sealed(masked, ["email", "number"], kept), {"email": "string", "number": "bigint"}, [key])
    plain = [(1, "ada@x.org", 7), (2, "ben@x.org", None), (3, None, 7), (4, "ada@x.org", 1)]
    assert_same_rows(opened.select("id", "email", "number"), plain)
    inside = masked.selectExpr("id", "`the person`.born AS born", "`the person`.`e-mail` AS mail").where("id = 4")
    opened = decrypt(sealed(inside, ["born", "mail"], kept), {"born": "date", "mail": "string"}, [key])
    assert_same_rows(opened, [(4, date(1815, 12, 10), "cle\u00f3@x.org")])


def test_what_a_vault_knows_keeps_its_token_and_only_the_rest_is_issued(spark, people, key):
    first = filled(spark, people.where("id < 3"), key)
    both = filled(spark, people, key, first)
    assert both[: len(first)] == first and len(both) > len(first)
    assert filled(spark, people, key, both) == both
    other = filled(spark, people, Key("k2", bytes(40)))
    assert {lookup for _, lookup, *_ in other}.isdisjoint(lookup for _, lookup, *_ in both)
    assert "ada@x.org" not in str(both) and "1815-12-10" not in str(both)


def test_a_vault_whose_key_was_exchanged_gives_the_same_tokens(spark, people, key):
    entries, new = filled(spark, people, key), Key("k2", bytes(range(7, 50)))
    kept = spark.createDataFrame(entries, ", ".join(f"{column} string" for column in vault.VAULT))
    changed = rekeyed(kept, old=key, new=new)
    columns = vault_columns(people, POLICY)
    before = exchanged(mask(people, POLICY, key=key), columns, kept)
    assert_same_rows(exchanged(mask(people, POLICY, key=new), columns, changed), [tuple(row) for row in before.collect()])
    opened = vault_entries(people, POLICY, key=new).collect()
    assert_same_rows(changed.select("domain", "lookup", "sealed"), [tuple(row) for row in opened])
    with pytest.raises(InvalidKeyError, match="both keys have this id"):
        rekeyed(kept, old=key, new=key)
    with pytest.raises(Exception, match="sealed: a value cannot be decrypted"):
        rekeyed(kept, old=Key("k1", bytes(32)), new=new).collect()


def test_what_has_no_token_fails_and_is_not_told(spark, people, key):
    none = spark.createDataFrame([], ", ".join(f"{column} string" for column in vault.VAULT))
    masked = mask(people, POLICY, key=key)
    with pytest.raises(Exception, match="email: a value has no token in the vault") as error:
        exchanged(masked, ["email"], none).collect()
    assert "x.org" not in str(error.value)
    with pytest.raises(Exception, match="email: a text is no token of this vault"):
        sealed(people, ["email"], none).collect()
    for path, said in (("mail", "no column mail; there are id, email"), ("id", "id is int")):
        with pytest.raises(VaultMismatchError, match=said):
            exchanged(masked, [path], none)
    assert exchanged(masked, [], none).collect() == masked.collect()


def test_a_vault_token_is_refused_where_it_cannot_be(spark, key):
    given = rows(spark, "a array<string>, m map<string,string>, f double", [])
    policy = {"a[]": VaultToken(), "m{}.key": VaultToken(), "m{}.value": Keep(), "f": VaultToken()}
    with pytest.raises(PolicyMismatchError) as error:
        mask(given, Policy(policy), key=key)
    told = str(error.value)
    for said in ("a[] (string): inside arrays and maps", "m{}.key (string): inside arrays", "f (double): floating numbers"):
        assert said in told
    with pytest.raises(InvalidPolicyError, match="vault_token: normalise has 'upper'"):
        VaultToken(normalise="upper")
    with pytest.raises(InvalidKeyError, match="need a key"):
        mask(given.select("a"), Policy({"a[]": Token()}))
    assert vault_entries(given.select("a"), Policy({"a[]": Keep()}), key=key).collect() == []
