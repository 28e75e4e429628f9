"""What the doctor finds and repairs, on the in-memory store and through its command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from gluewright_core import leases
from gluewright_core.errors import ConditionalWritesIgnoredError, InvalidStateError, TableChangedError, UnsupportedTableError
from gluewright_core.leases import Lease
from gluewright_core.state import Documents
from gluewright_core.state_doctor import examine_state
from gluewright_core.storage import ANY, open_storage
from gluewright_core.storage.conditions import NOTE
from gluewright_core.tables.__main__ import main
from gluewright_core.tables.commit_protocol import CommitProtocol
from gluewright_core.tables.doctor import Patient
from gluewright_testing.killpoints import effects_of, killed_at
from gluewright_testing.memory import MemoryCatalog, MemoryStorage

RUNS = "gluewright-runs/t"


class Table:
    """Three partitions of one file each, published by runs that write their files first."""

    def __init__(self, storage=None) -> None:
        self.storage = storage or MemoryStorage()
        self.catalog = MemoryCatalog(batch=1)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.publish("first")

    def protocol(self) -> CommitProtocol:
        return CommitProtocol(self.catalog, "db.t", ["p"], self.storage, "t", clock=lambda: self.now, patience=0)

    def publish(self, run: str, *partitions: str) -> None:
        targets, files = {}, {}
        for name in partitions or "xyz":
            for part in "ab":
                self.storage.write(f"{RUNS}/{run}-0a/p={name}/{part}.parquet", run.encode())
            targets[name,] = self.storage.uri_of(f"{RUNS}/{run}-0a/p={name}")
            files[name,] = (2, 2 * len(run))
        protocol = self.protocol()
        protocol.publish(run, targets, since=protocol.finish(run), rows=3, files=files)

    def at(self) -> dict[str, str]:
        return {name: uri.split("/")[-2].removesuffix("-0a") for (name,), uri in self.catalog.partitions.items()}

    def patient(self) -> Patient:
        return Patient(self.catalog, "db.t", self.storage, "t", self.protocol(), ("p",))

    def wait(self) -> None:
        self.now += timedelta(seconds=leases.LEASE_SECONDS + 1)


@pytest.fixture
def table():
    return Table()


def test_nothing_is_wrong_with_a_table_that_is_published(table):
    assert table.patient().examine() == []
    assert table.protocol().pending() == {}


def test_a_publish_that_died_between_partitions_is_told_to_readers_and_finished_without_a_writer(table):
    effects = effects_of(lambda: Table().publish("second"))
    first = max(n for n, e in enumerate(effects) if e.kind == "catalog.move" and "'x'" in e.target)
    begin = len(effects_of(Table))
    with killed_at(first - begin, "after"):
        table.publish("second")
    assert table.at() == {"x": "second", "y": "first", "z": "first"}
    assert table.protocol().pending() == {"p=y": "second", "p=z": "second"}
    table.wait()
    [finding] = table.patient().examine()
    assert str(finding) == (
        "run second decided its publish and did not finish it [finished: 2 partitions are still to be changed]"
    )
    table.patient().repair()
    assert set(table.at().values()) == {"second"}
    assert table.protocol().pending() == {}
    assert table.patient().examine() == []


def test_a_late_request_is_put_back_and_what_nothing_explains_is_kept_or_put_back_as_said(table):
    table.publish("second", "x")
    table.catalog.partitions["x",] = table.storage.uri_of(f"{RUNS}/first-0a/p=x")
    assert "came late [it is put back]" in str(table.patient().examine()[0])
    table.patient().repair()
    assert table.at()["x"] == "second"

    table.storage.write(f"{RUNS}/by-hand-0a/p=x/a", b"1")
    table.catalog.partitions["x",] = table.storage.uri_of(f"{RUNS}/by-hand-0a/p=x")
    with pytest.raises(TableChangedError, match="p=x was changed by something else"):
        table.protocol().finish("daily")
    assert "no publish explains it [--keep catalog" in str(table.patient().examine()[0])
    table.patient().repair(keep="publishes")
    assert table.at()["x"] == "second"
    table.catalog.partitions.pop(("x",))
    table.patient().repair(keep="catalog")
    assert "x" not in table.at()
    assert table.patient().examine() == []
    assert table.protocol().version() == 5  # two publishes, two repairs, and what was kept


def test_a_partition_dropped_by_hand_may_be_published_again_without_the_doctor(table):
    table.publish("second", "x")
    table.catalog.partitions.pop(("x",))
    protocol = table.protocol()
    target = {("x",): table.storage.uri_of(f"{RUNS}/first-0a/p=x")}
    protocol.publish("third", target, since=protocol.version(), rows=1)
    assert table.at()["x"] == "first"


def test_a_head_that_was_deleted_is_an_error_and_is_made_anew_from_the_plans(table):
    table.publish("second", "x")
    table.storage.delete(["_gluewright/tables/t/head.json"])
    with pytest.raises(InvalidStateError, match=r"head.json is gone, although the table has been published"):
        table.protocol().finish("daily")
    assert "made anew from the plans" in str(table.patient().examine()[0])
    table.patient().repair()
    assert (table.protocol().version(), table.patient().examine()) == (2, [])
    table.publish("third", "y")
    assert table.at() == {"x": "second", "y": "third", "z": "first"}
    table.protocol().undo("third")
    assert table.at()["y"] == "first"


def test_a_head_that_is_older_than_a_run_that_works_is_an_error(table):
    since = table.protocol().finish("slow")
    table.storage.delete([found.key for found in table.storage.list_objects("_gluewright/")])
    with pytest.raises(InvalidStateError, match="version 0, and run slow began at version 1"):
        table.protocol().publish("slow", {("x",): "memory://store/x"}, since=since, rows=1)


@pytest.mark.parametrize(
    ("key", "body", "why"),
    [
        ("head", {"version": "x", "publishing": "", "recent": [], "confirmed": 0}, "not a gluewright document"),
        ("head", {"publishing": ""}, "no 'recent'"),
        ("lease", {"holder": "me"}, "no 'until'"),
        ("runs/first", {"run": "first"}, "not a gluewright document"),
    ],
)
def test_a_document_with_a_mistake_is_an_error_that_names_it(table, key, body, why):
    document = json.dumps({"format": 1, "number": 9, "marks": [], "body": body}).encode()
    table.storage.write(f"_gluewright/tables/t/{key}.json", document)
    with pytest.raises(InvalidStateError, match=f"tables/t/{key}.json.*{why}"):
        table.publish("first", "x")


def test_files_that_are_gone_are_told_and_an_undo_is_refused_when_some_are(table):
    table.publish("second", "x", "y")
    table.storage.delete([f"{RUNS}/second-0a/p=y/a.parquet", f"{RUNS}/first-0a/p=z/a.parquet"])
    table.storage.delete([f"{RUNS}/first-0a/p=z/b.parquet"])
    told = [str(finding) for finding in table.patient().examine()]
    assert [line.partition(" there at")[0] for line in told] == ["p=y: 1 of 2 files are", "p=z: 0 of 2 files are"]
    table.storage.delete([f"{RUNS}/first-0a/p=x/a.parquet"])
    with pytest.raises(UnsupportedTableError, match="files of p=x from before run second are not there"):
        table.protocol().undo("second")
    assert table.at()["x"] == "second"


def test_the_command_shows_a_lease_and_breaks_it_with_a_reason(tmp_path, capsys):
    table = Table(open_storage(tmp_path))
    Lease(Documents(table.storage, "tables/t"), "lease", holder="dead", clock=lambda: datetime.now(UTC)).acquire()
    command = ["doctor", "--location", str(tmp_path / "t")]
    assert main(command, catalog=table.catalog) == 1
    assert "the lease is held by dead until" in capsys.readouterr().out
    assert main([*command, "--apply", "--break-lease", "the machine is gone"], catalog=table.catalog) == 0
    assert capsys.readouterr().out == "nothing is wrong\n"
    broken = Documents(table.storage, "tables/t").read("lease").body["broken"]
    assert broken["why"] == "the machine is gone"
    assert main(["doctor", "--location", str(tmp_path / "other")], catalog=table.catalog) == 1
    assert "nothing was published here" in capsys.readouterr().err


class Lax(MemoryStorage):
    """A store that speaks S3's protocol and ignores conditions."""

    def __init__(self) -> None:
        super().__init__()
        self.conditions_known = False

    def write(self, key, body, *, expect=ANY):
        return super().write(key, body)


def test_a_store_that_ignores_conditions_is_refused_at_the_first_write_unless_one_writer_is_stated(monkeypatch, capsys):
    store = Lax()
    with pytest.raises(ConditionalWritesIgnoredError, match=r"memory://store: the store performs"):
        Documents(store, "d").write("x", {})
    assert list(store.list_objects()) == []
    assert "although their condition does not hold" in next(examine_state(store))
    monkeypatch.setattr("gluewright_core.tables.__main__.open_storage", lambda uri: store)
    main(["doctor", "--state", "s3://lake", "--one-writer", "one job, one run at a time", "--apply"])
    assert "one writer is guaranteed, says" in capsys.readouterr().out
    assert Documents(store, "d").write("x", {"n": 1}).number == 1
    assert json.loads(store.read(NOTE)[0])["why"] == "one job, one run at a time"


def test_the_state_is_looked_at_for_leases_and_lost_ledgers():
    store = MemoryStorage()
    Lease(Documents(store, "leases"), "ledgers/flights/source", holder="run-1").acquire()
    store.write("_gluewright/ledgers/flights/source/batches/00000001-aa.json.gz", b"")
    store.write("_gluewright/ledgers/other.json", b"{half")
    told = list(examine_state(store))
    assert len(told) == 3
    assert "is held by run-1 until" in told[0]
    assert "other.json is not a gluewright document" in told[1]
    assert "ledgers/flights.json is gone, although batches were read" in told[2]
