"""The job: a policy's file in, a masked table out; refused without a trace, finished after a kill."""

from __future__ import annotations

import base64
import collections
import hashlib
import hmac
import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from gluewright_core.errors import ConcurrentUpdateError, SecretUnavailableError
from gluewright_core.job import run
from gluewright_core.schema import Column, Contract
from gluewright_core.schema.files import save_contract
from gluewright_core.tables import Kind
from gluewright_pii_masking import Key
from gluewright_pii_masking.job import Arguments, MaskingRefusedError, PlainValuesFoundError, main
from gluewright_pii_masking.job.vaulting import VaultRefusedError, filled, open_vault
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.killpoints import every_kill_point
from gluewright_testing.rows import rows
from gluewright_testing.sharing import in_turn

SECRET = bytes(range(32))
POLICY = """
columns:
  id: keep
  born: {action: truncate_date, to: year}
tags:
  pii: {action: token, normalise: [trim, lower]}
"""
ROWS = [(1, "Ada@x.org ", "1815-12-10"), (2, "ben@x.org", "1990-05-05"), (3, None, None)]


def token(text):
    return f"2026.{hmac.new(SECRET, text.encode(), hashlib.sha256).hexdigest()}"


MASKED = [(1, token("ada@x.org"), "1815-01-01"), (2, token("ben@x.org"), "1990-01-01"), (3, None, None)]


@pytest.fixture
def arguments(spark, catalog, tmp_path, monkeypatch):
    monkeypatch.setenv("MASKING_KEY", base64.b64encode(SECRET).decode())
    rows(spark, "id int, email string, born date", ROWS).write.parquet(f"{tmp_path}/people")
    (tmp_path / "policy.yaml").write_text(POLICY)
    columns = (Column("id", "int"), Column("email", "string", tags=("pii",)), Column("born", "date"))
    save_contract(Contract("crm.people", columns), tmp_path / "people.json")
    return {
        "source": f"{tmp_path}/people",
        "target": f"{catalog.name}.masked",
        "policy": f"{tmp_path}/policy.yaml",
        "contract": f"{tmp_path}/people.json",
        "key": "env:MASKING_KEY",
        "key_id": "2026",
        "location": f"file://{tmp_path}/masked",
    }


def argv(arguments, **changed):
    return [f"--{name}={value}" for name, value in {**arguments, **changed}.items() if value is not None]


def test_a_folder_becomes_a_masked_table_and_again_the_same(spark, arguments, tmp_path):
    for _ in range(2):
        summary = run(main, Arguments, argv=argv(arguments))
        assert summary.steps[0].counts() == {"read": 3, "written": 3}
        assert_same_rows(spark.table(arguments["target"]), MASKED)
    # A table as the source, an Iceberg table with partitions as the target, and no key.
    path = tmp_path / "other.json"
    path.write_text('{"columns": {"id": "keep", "email": "drop", "born": "keep"}}')
    changed = {"source": arguments["target"], "target": "ice.masking.again", "policy": path, "catalog": "iceberg"}
    without = dict.fromkeys(("contract", "key", "location"))
    again = argv(arguments, **changed, **without, partition_by="born", replace="touched")
    run(main, Arguments, argv=again)
    assert_same_rows(spark.table("ice.masking.again"), [(row[0], row[2]) for row in MASKED])


def test_while_the_key_is_exchanged_the_pairs_of_tokens_are_published_too(spark, arguments, monkeypatch):
    before = bytes(range(50, 100))
    monkeypatch.setenv("OLD_KEY", base64.b64encode(before).decode())
    run(main, Arguments, argv=argv(arguments, old_key="env:OLD_KEY", old_key_id="2025"))
    assert_same_rows(spark.table(arguments["target"]), MASKED)
    olds = [f"2025.{hmac.new(before, text, hashlib.sha256).hexdigest()}" for text in (b"ada@x.org", b"ben@x.org")]
    pairs = [("email", old, new[1]) for old, new in zip(olds, MASKED, strict=False)]
    assert_same_rows(spark.table(f"{arguments['target']}_rotation"), pairs)
    with pytest.raises(MaskingRefusedError, match="--old_key needs --key"):
        run(main, Arguments, argv=argv(arguments, old_key="env:OLD_KEY", key=None))


def test_a_policy_of_a_file_hides_what_is_found_in_free_text(spark, arguments, tmp_path):
    path = tmp_path / "notes.json"
    path.write_text('{"columns": {"id": "keep", "born": "drop", "email": {"action": "hide_found", "kinds": ["email"]}}}')
    run(main, Arguments, argv=argv(arguments, policy=path, key=None))
    assert_same_rows(spark.table(arguments["target"]), [(1, "[email] "), (2, "[email]"), (3, None)])
    path.write_text(path.read_text().replace('["email"]', '["mail"]'))
    with pytest.raises(MaskingRefusedError, match="columns.email: hide_found: there is no detector 'mail'"):
        run(main, Arguments, argv=argv(arguments, policy=path, key=None))


def test_what_does_not_fit_is_refused_in_one_line_and_nothing_is_published(spark, arguments, tmp_path, monkeypatch):
    unnamed = tmp_path / "unnamed.json"
    unnamed.write_text('{"columns": {"id": "keep"}}')
    hashed = tmp_path / "hashed.json"
    hashed.write_text('{"columns": {"email": "sha256"}}')
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    monkeypatch.setenv("SHORT", "c2hvcnQ=")
    monkeypatch.setenv("TEXT", "a passphrase, not a key")
    for changed, said in (
        (
            {"policy": unnamed},
            "unnamed.json: .*people: the policy does not fit: email .string.: the policy does not name it",
        ),
        ({"policy": hashed}, "hashed.json: columns.email: an unkeyed hash protects nothing"),
        ({"policy": broken}, "broken.json: it is not JSON"),
        ({"key": None}, "need a key"),
        ({"key": "env:SHORT"}, "key 2026: it has 5 bytes, at least 32"),
        ({"key": "env:TEXT"}, "key 2026: it is not base64"),
        ({"contract": None}, "the tag pii names no column"),
    ):
        with pytest.raises(MaskingRefusedError, match=said) as error:
            run(main, Arguments, argv=argv(arguments, **changed))
        assert error.value.__cause__ is None or "JSON" in said
        assert "passphrase" not in str(error.value) and not spark.catalog.tableExists(arguments["target"])


def test_a_source_without_rows_empties_the_table(spark, arguments):
    run(main, Arguments, argv=argv(arguments))
    spark.read.parquet(arguments["source"]).where("id < 0").write.parquet(f"{arguments['source']}_none")
    summary = run(main, Arguments, argv=argv(arguments, source=f"{arguments['source']}_none"))
    assert summary.steps[0].counts() == {"read": 0, "written": 0}
    assert spark.table(arguments["target"]).collect() == []


def test_of_two_at_once_one_publishes_and_the_other_too_or_not_at_all(spark, arguments):
    def attempt(number):
        try:
            return run(main, Arguments, argv=argv(arguments, run_id=f"run{number}")).status
        except ConcurrentUpdateError:
            return "refused"

    run(main, Arguments, argv=argv(arguments))
    with ThreadPoolExecutor(2) as threads:
        assert "succeeded" in list(threads.map(attempt, range(2)))
    assert_same_rows(spark.table(arguments["target"]), MASKED)


def test_killed_anywhere_and_run_again_it_publishes_the_masked_rows(spark, arguments, tmp_path, monkeypatch):
    monkeypatch.setattr("gluewright_core.leases.LEASE_SECONDS", 0.2)
    numbers = itertools.count()

    def fresh():
        number = next(numbers)
        return argv(
            arguments, target=f"{arguments['target']}{number}", location=f"{arguments['location']}{number}", run_id="once"
        )

    def complete(given):
        (table,) = (each.partition("=")[2] for each in given if each.startswith("--target"))
        assert_same_rows(spark.table(table), MASKED)

    every_kill_point(fresh, lambda given: run(main, Arguments, argv=given), complete)


def test_the_key_comes_from_secrets_manager_and_from_the_parameter_store(spark, arguments, aws):
    text = base64.b64encode(SECRET).decode()
    stored = {"2026": text, "short": "c2hvcnQ="}
    boto3.client("secretsmanager").create_secret(Name="masking", SecretString=json.dumps(stored))
    boto3.client("ssm").put_parameter(Name="/masking/2026", Value=text, Type="SecureString")
    for place in ("secretsmanager:masking#2026", "ssm:/masking/2026"):
        run(main, Arguments, argv=argv(arguments, key=place))
        assert_same_rows(spark.table(arguments["target"]), MASKED)
    for place, kind, said in (
        ("secretsmanager:masking#short", MaskingRefusedError, "key 2026: it has 5 bytes"),
        ("secretsmanager:masking#2025", SecretUnavailableError, "no key '2025'"),
        ("ssm:/masking/2025", SecretUnavailableError, "ParameterNotFound"),
    ):
        with pytest.raises(kind, match=said) as error:
            run(main, Arguments, argv=argv(arguments, key=place))
        assert text not in str(error.value) and "c2hvcnQ" not in str(error.value)


def test_plain_values_that_came_through_stop_the_job_before_it_publishes(spark, arguments, tmp_path):
    people = rows(spark, "id int, email string, note string", [(1, "Ada@x.org", "to ada@x.org"), (2, None, "by Ada@x.org")])
    people.write.parquet(f"{tmp_path}/notes")
    path = tmp_path / "notes.json"
    path.write_text('{"columns": {"id": "keep", "email": "token", "note": "keep"}}')
    leaky = {"source": f"{tmp_path}/notes", "policy": path, "contract": None}
    for changed in ({"leak_check": "full"}, {"leak_check": "sampled", "leak_fraction": 1.0}):
        with pytest.raises(PlainValuesFoundError, match="note has 1 values of email; mask these columns") as error:
            run(main, Arguments, argv=argv(arguments, **leaky, **changed))
        assert "x.org" not in str(error.value) and spark.table(arguments["target"]).collect() == []
        assert [file for file in tmp_path.glob("masked*/**/*.parquet") if file.is_file()] == []
    for changed, said in (
        ({"leak_columns": "mail"}, "no column mail to search for"),
        ({"leak_shortest": 1}, "shortest is 1"),
    ):
        with pytest.raises(MaskingRefusedError, match=said):
            run(main, Arguments, argv=argv(arguments, **leaky, leak_check="full", **changed))
    # Of none of the rows nothing is found, and a run again publishes once.
    for _ in range(2):
        sampled = argv(arguments, **leaky, leak_check="sampled", leak_fraction=0.0, run_id="r1")
        assert run(main, Arguments, argv=sampled).steps[0].counts()["written"] == 2
    path.write_text('{"columns": {"id": "keep", "email": "token", "note": "drop"}}')
    other = {"target": f"{arguments['target']}2", "location": f"{arguments['location']}2"}
    run(main, Arguments, argv=argv(arguments, **leaky, leak_check="full", **other))
    assert spark.table(f"{arguments['target']}2").columns == ["id", "email"]
    # What the policy asks for holds without an argument, and an argument does not weaken it.
    path.write_text('{"leak_check": "full", "columns": {"id": "keep", "email": "token", "note": "keep"}}')
    for changed in ({}, {"leak_check": "sampled", "leak_fraction": 0.0}):
        with pytest.raises(PlainValuesFoundError, match="note has 1 values of email"):
            run(main, Arguments, argv=argv(arguments, **leaky, **changed))
    path.write_text('{"leak_check": "some", "columns": {"id": "keep"}}')
    with pytest.raises(MaskingRefusedError, match="leak_check is 'some'; it is none, sampled or full"):
        run(main, Arguments, argv=argv(arguments, **leaky))
    path.write_text('{"columns": {"id": "keep", "email": "keep", "note": "keep"}}')
    with pytest.raises(MaskingRefusedError, match="it hides no column whole; name with --leak_columns"):
        run(main, Arguments, argv=argv(arguments, **leaky, leak_check="full"))


ENTRIES = "domain string, lookup string, sealed string"
VAULTED = '{"columns": {"id": "keep", "email": {"action": "vault_token", "normalise": ["trim", "lower"]}, "born": "drop"}}'


@pytest.fixture
def vaulted(arguments, catalog, tmp_path):
    (tmp_path / "vaulted.json").write_text(VAULTED)
    more = {"policy": f"{tmp_path}/vaulted.json", "contract": None}
    return {**arguments, **more, "vault": f"{catalog.name}.vault", "vault_location": f"file://{tmp_path}/vault"}


def tokens(spark, table):
    return {row.id: row.email for row in spark.table(table).select("id", "email").collect()}


@pytest.mark.parametrize("kind", in_turn(["parquet", "delta", "iceberg"]))
def test_a_value_has_one_vault_token_in_every_run_and_table_also_when_the_key_is_exchanged(
    spark, vaulted, tmp_path, monkeypatch, kind
):
    places = {"catalog": kind}
    if kind == "iceberg":
        places |= {"target": "ice.masking.t", "vault": "ice.masking.v", "location": None, "vault_location": None}
    vaulted |= places
    run(main, Arguments, argv=argv(vaulted, leak_check="full"))
    first = tokens(spark, vaulted["target"])
    assert first[3] is None and len({first[1], first[2]}) == 2
    assert_same_rows(spark.table(vaulted["vault"]).select("token"), [(first[1],), (first[2],)])
    rows(spark, "id int, email string, born date", [(1, "BEN@x.org", None), (2, "cleo@x.org", None)]).write.parquet(
        f"{tmp_path}/more"
    )
    monkeypatch.setenv("NEW_KEY", base64.b64encode(bytes(40)).decode())
    new = {"key": "env:NEW_KEY", "key_id": "2027", "source": f"{tmp_path}/more", "location": f"file://{tmp_path}/other"}
    new["target"] = vaulted["target"] + "2"
    if kind == "iceberg":
        del new["location"]
    with pytest.raises(VaultRefusedError, match="entries of key 2026, and the key is 2027"):
        run(main, Arguments, argv=argv(vaulted, **new))
    run(main, Arguments, argv=argv(vaulted, **new, old_key="env:MASKING_KEY", old_key_id="2026"))
    second = tokens(spark, new["target"])
    assert second[1] == first[2] and second[2] not in first.values()
    kept = spark.table(vaulted["vault"]).collect()
    assert len(kept) == 3 and all(row.lookup.startswith("2027.") and row.sealed.startswith("2027.") for row in kept)
    assert "x.org" not in str(kept)


def test_a_vault_that_is_not_asked_for_or_not_named_is_refused(vaulted, arguments):
    for given, said in (
        (argv(vaulted, vault=None), "email has one"),
        (argv(arguments, vault="default.vault"), "no column has one"),
    ):
        with pytest.raises(MaskingRefusedError, match=said):
            run(main, Arguments, argv=given)
    with pytest.raises(VaultRefusedError, match="not a bare folder"):
        run(main, Arguments, argv=argv(vaulted, catalog="folder"))


def test_two_at_once_issue_one_token_for_a_value(spark, vaulted, tmp_path, monkeypatch):
    """Each masks another table; some values are in both."""
    monkeypatch.setattr("gluewright_pii_masking.job.vaulting.PAUSE_SECONDS", 0.1)
    for name, first in (("a", 0), ("b", 10)):
        people = [(number, f"p{number}@x.org", None) for number in range(first, first + 20)]
        rows(spark, "id int, email string, born date", people).write.parquet(f"{tmp_path}/{name}")

    def attempt(name):
        changed = {
            "source": f"{tmp_path}/{name}",
            "target": f"{vaulted['target']}{name}",
            "location": f"file://{tmp_path}/m{name}",
        }
        return run(main, Arguments, argv=argv(vaulted, **changed, run_id=f"run-{name}")).status

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(attempt, "ab")) == ["succeeded", "succeeded"]
    a, b = (tokens(spark, f"{vaulted['target']}{name}") for name in "ab")
    assert {number: a[number] for number in range(10, 20)} == {number: b[number] for number in range(10, 20)}
    kept = collections.Counter(row.lookup for row in spark.table(vaulted["vault"]).collect())
    assert len(kept) == 30 and set(kept.values()) == {1}
    assert len({*a.values(), *b.values()}) == 30


def test_killed_anywhere_tokens_stay_what_they_were_and_no_value_gets_two(spark, catalog, tmp_path, monkeypatch):
    monkeypatch.setattr("gluewright_core.leases.LEASE_SECONDS", 0.2)
    monkeypatch.setattr("gluewright_pii_masking.job.vaulting.PAUSE_SECONDS", 0.1)
    key, numbers, before = Key("k", SECRET), itertools.count(), {}
    entries = [spark.createDataFrame([("", f"k.{n}", f"k.s{n}") for n in range(last)], ENTRIES) for last in (2, 3)]

    def fresh():
        number = next(numbers)
        return open_vault(spark, f"{catalog.name}.vault{number}", f"file://{tmp_path}/vault{number}", Kind.PARQUET)

    def known(vault):
        return [(row.lookup, row.token) for row in vault.read().collect()]

    def look(vault):
        before[vault.spec.name] = known(vault)

    def issue(vault):
        """Again, the same run may have more rows."""
        filled(vault, entries[vault.spec.name in before], key=key, old_key=None, run="once")

    def complete(vault):
        found = known(vault)
        assert len(dict(found)) == len(found) == (3 if vault.spec.name in before else 2)
        assert set(before.get(vault.spec.name, [])) <= set(found)

    def moves(happening):
        return happening.kind != "spark.write" and "/leases/" not in happening.target

    assert every_kill_point(fresh, issue, complete, look=look, at=moves)
