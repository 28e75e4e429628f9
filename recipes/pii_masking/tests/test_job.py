"""The job: a policy's file in, a masked table out; refused without a trace, finished after a kill."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from gluewright_core.errors import ConcurrentUpdate
from gluewright_core.job import run
from gluewright_core.schema import Column, Contract
from gluewright_core.schema.files import save_contract
from gluewright_pii_masking.job import Arguments, MaskingRefused, main
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.killpoints import every_kill_point
from gluewright_testing.rows import rows

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
    with pytest.raises(MaskingRefused, match="--old_key needs --key"):
        run(main, Arguments, argv=argv(arguments, old_key="env:OLD_KEY", key=None))


def test_a_policy_of_a_file_hides_what_is_found_in_free_text(spark, arguments, tmp_path):
    path = tmp_path / "notes.json"
    path.write_text('{"columns": {"id": "keep", "born": "drop", "email": {"action": "hide_found", "kinds": ["email"]}}}')
    run(main, Arguments, argv=argv(arguments, policy=path, key=None))
    assert_same_rows(spark.table(arguments["target"]), [(1, "[email] "), (2, "[email]"), (3, None)])
    path.write_text(path.read_text().replace('["email"]', '["mail"]'))
    with pytest.raises(MaskingRefused, match="columns.email: hide_found: there is no detector 'mail'"):
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
        with pytest.raises(MaskingRefused, match=said) as error:
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
        except ConcurrentUpdate:
            return "refused"

    run(main, Arguments, argv=argv(arguments))
    with ThreadPoolExecutor(2) as threads:
        assert "succeeded" in list(threads.map(attempt, range(2)))
    assert_same_rows(spark.table(arguments["target"]), MASKED)


def test_killed_anywhere_and_run_again_it_publishes_the_masked_rows(spark, arguments, tmp_path, monkeypatch):
    monkeypatch.setattr("gluewright_core.state.LEASE_SECONDS", 0.2)
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
