"""One suite for every storage: local folder, S3 (moto's server, or the independent one), memory."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluewright_core.errors import (
    ConcurrentUpdateError,
    ObjectNotFoundError,
    OutcomeUnknownError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
)
from gluewright_core.storage import ABSENT, open_storage, parent_uri
from gluewright_core.storage.joining import MIB, SMALLEST_PART, plan_join
from gluewright_testing.aws import AwsServer
from gluewright_testing.fault_proxy import FaultProxy
from gluewright_testing.killpoints import effects_of, every_kill_point
from gluewright_testing.memory import MemoryStorage


@pytest.fixture(params=["local", "memory", pytest.param("s3", marks=pytest.mark.independent_s3)])
def storage(request, tmp_path):
    if request.param == "local":
        return open_storage(tmp_path / "root")
    if request.param == "memory":
        return MemoryStorage()
    request.getfixturevalue("s3_server").bucket("data")
    return open_storage("s3://data/some/root")


def keys(storage, prefix=""):
    return [found.key for found in storage.list_objects(prefix)]


def test_objects_are_written_listed_read_and_deleted(storage):
    names = ["b/2.txt", "b/10.txt", "a b/ü%=x", "b.txt", "b/c/1", "z"]
    for name in names:
        storage.write(name, name.encode())
    assert keys(storage) == sorted(names, key=str.encode)
    assert keys(storage, "b/") == ["b/10.txt", "b/2.txt", "b/c/1"]
    assert [found.key for found in storage.list_objects("b", after="b/10.txt")] == ["b/2.txt", "b/c/1"]
    assert storage.list_folders() == ["a b", "b"]
    assert storage.list_folders("b/") == ["c"]
    body, version = storage.read("a b/ü%=x")
    found = storage.stat("a b/ü%=x")
    assert (body.decode(), version, found.size) == ("a b/ü%=x", found.version, len(body))
    assert [listed.version for listed in storage.list_objects("a b/")] == [version]
    assert storage.delete(["b/2.txt", "b/10.txt", "b/c/1", "never there"]) == 4
    assert keys(storage, "b/") == []
    assert storage.list_folders() == ["a b"]
    with pytest.raises(ObjectNotFoundError, match="b/2.txt"):
        storage.read("b/2.txt")
    assert storage.stat("b/2.txt") is None


def test_a_listing_pages_through_more_than_a_thousand_objects(storage):
    if isinstance(storage, MemoryStorage):
        pytest.skip("memory has no pages")
    for number in range(1005):
        storage.write(f"many/{number:04d}", b"")
    assert len(keys(storage, "many/")) == 1005
    assert storage.delete(keys(storage, "many/")) == 1005
    assert keys(storage) == []


def test_a_conditional_write_is_refused_when_the_object_is_another(storage):
    first = storage.write("doc", b"1", expect=ABSENT)
    with pytest.raises(ConcurrentUpdateError, match="doc"):
        storage.write("doc", b"other", expect=ABSENT)
    second = storage.write("doc", b"2", expect=first)
    with pytest.raises(ConcurrentUpdateError, match="doc"):
        storage.write("doc", b"other", expect=first)
    with pytest.raises(ConcurrentUpdateError, match="gone"):
        storage.write("gone", b"other", expect=second)
    assert storage.read("doc")[0] == b"2"


def test_of_racing_conditional_writes_exactly_one_wins(storage):
    def race(expect, key):
        won, ready = [], threading.Barrier(4)

        def writer(number):
            ready.wait()
            with suppress(ConcurrentUpdateError):
                # An ETag is of the content: a body that was there before would match again.
                won.append(storage.write(key, f"{expect} {number}".encode(), expect=expect))

        threads = [threading.Thread(target=writer, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return won

    for round_ in range(25):
        first = race(ABSENT, f"race-{round_}")
        assert len(first) == 1
        assert len(race(first[0], f"race-{round_}")) == 1


def test_a_join_is_the_concatenation_and_appears_whole(storage):
    parts = {"a": b"x" * 3, "b": b"", "c": b"y" * (6 * MIB), "d": b"z" * (2 * MIB), "e": b"w" * (11 * MIB)}
    for name, body in parts.items():
        storage.write(f"parts/{name}", body)
    version = storage.join([f"parts/{name}" for name in parts], "whole", expect=ABSENT)
    assert storage.read("whole") == (b"".join(parts.values()), version)
    with pytest.raises(ConcurrentUpdateError):
        storage.join(["parts/c", "parts/e"], "whole", expect=ABSENT)
    with pytest.raises(ObjectNotFoundError, match="parts/nothing"):
        storage.join(["parts/a", "parts/nothing"], "other")
    storage.join(["parts/a"], "copy")
    assert storage.read("copy")[0] == b"xxx"
    assert [key for key in keys(storage) if not key.startswith("parts/")] == ["copy", "whole"]


@given(st.lists(st.integers(0, 40 * MIB), max_size=12), st.integers(11 * MIB, 60 * MIB))
@settings(max_examples=200, deadline=None)
def test_a_join_plan_has_every_byte_once_and_only_parts_that_s3_takes(sizes, largest):
    parts = plan_join(sizes, largest=largest)
    pieces = [piece for part in parts for piece in part.pieces if piece.size]
    covered = [(source, offset) for source, size in enumerate(sizes) for offset in ([0] if size else [])]
    assert [(piece.source, piece.start) for piece in pieces if piece.start == 0] == covered
    for before, piece in pairwise(pieces):
        assert piece.start == (before.end if piece.source == before.source else 0)
        assert piece.source == before.source or before.end == sizes[before.source]
    assert sum(part.size for part in parts) == sum(sizes)
    assert all(SMALLEST_PART <= part.size <= largest for part in parts[:-1])


def test_a_join_of_more_bytes_than_an_upload_holds_is_refused_by_plan():
    assert len(plan_join([5 * 1024 * 1024 * MIB])) == 1024
    with pytest.raises(StorageError, match="10001 parts"):
        plan_join([SMALLEST_PART] * 10_001)


def test_a_moved_folder_is_whole_whatever_move_was_killed(storage, tmp_path):
    if isinstance(storage, MemoryStorage):
        pytest.skip("the real ones are the point")
    worlds = iter(range(1000))

    def make_world():
        world = f"world-{next(worlds)}"
        storage.write(f"{world}/from/dt=1/a", b"a")
        storage.write(f"{world}/from/dt=1/b", b"b")
        return world

    def check(world):
        assert keys(storage, f"{world}/") == [f"{world}/to/dt=1/a", f"{world}/to/dt=1/b"]
        assert storage.list_folders(f"{world}/") == ["to"]

    points = every_kill_point(make_world, lambda world: storage.move(f"{world}/from/", f"{world}/to/"), check)
    print(f"move: {points} kill points")
    storage.move("nothing/", "nowhere/")


def test_a_key_cannot_leave_the_root(tmp_path):
    with pytest.raises(StorageError, match="not a key below"):
        open_storage(tmp_path).write("../escaped", b"")


def test_a_killed_write_leaves_nothing_that_a_listing_shows(tmp_path):
    storage = open_storage(tmp_path)
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / ".gluewright-unfinished-x").write_bytes(b"half")
    storage.write("f/a", b"1")
    assert keys(storage) == ["f/a"]


def test_one_write_is_one_effect(storage):
    assert [happening.kind for happening in effects_of(lambda: storage.write("a", b"1"))] == ["storage.write"]


@pytest.mark.parametrize("uri", ["s3://", "gs://bucket/x"])
def test_a_uri_that_is_no_storage_is_refused(uri):
    with pytest.raises(StorageError, match="names no bucket|not known"):
        open_storage(uri)


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/", "/", "flights"])
def test_a_uri_without_parent_is_refused(uri):
    with pytest.raises(StorageError, match="has no parent folder"):
        parent_uri(uri)


def test_a_missing_bucket_is_named(s3_server):
    with pytest.raises(ObjectNotFoundError, match="s3://nowhere/x.*bucket does not exist"):
        open_storage("s3://nowhere").write("x", b"")


def test_an_endpoint_that_does_not_answer_is_named(aws, monkeypatch):
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3", endpoint_url="http://127.0.0.1:9", config=Config(retries={"max_attempts": 0}, connect_timeout=2)
    )
    with pytest.raises(StorageUnreachableError, match=r"127.0.0.1:9.*check the endpoint"):
        open_storage("s3://data/x", client=client).write("a", b"")


def test_a_denied_request_says_what_to_grant(aws):
    import boto3
    from botocore.stub import Stubber

    client = boto3.client("s3")
    with Stubber(client) as stub:
        stub.add_client_error("put_object", "AccessDenied", http_status_code=403)
        with pytest.raises(StorageDeniedError, match="PutObject is denied"):
            open_storage("s3://data/x", client=client).write("a", b"")


def test_a_partly_failed_delete_is_told(aws):
    import boto3
    from botocore.stub import ANY, Stubber

    client = boto3.client("s3")
    with Stubber(client) as stub:
        stub.add_response(
            "delete_objects",
            {"Errors": [{"Key": "x/b", "Code": "AccessDenied"}]},
            {"Bucket": "data", "Delete": ANY},
        )
        with pytest.raises(StorageDeniedError, match="1 of 2 objects"):
            open_storage("s3://data/x", client=client).delete(["a", "b"])


def test_a_full_disk_is_told():
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    from gluewright_core.storage.local import _explained

    with pytest.raises(StorageFullError, match="free space"), _explained("file:///x"), full.open("wb", buffering=0) as file:
        file.write(b"x")


def test_a_read_only_folder_is_told(tmp_path, monkeypatch):
    if os.geteuid() == 0:
        # root may write anywhere: the refusal comes from the system call instead
        import tempfile

        def denied(*args, **kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(tempfile, "mkstemp", denied)
    tmp_path.chmod(0o500)
    with pytest.raises(StorageDeniedError, match="check its permissions"):
        open_storage(tmp_path).write("x", b"")


@pytest.mark.independent_s3
def test_an_answer_that_breaks_off_is_asked_for_again(s3_server):
    s3_server.bucket("data")
    with FaultProxy(s3_server.url, share=0.25, kinds=("truncated",), seed=3) as proxy:
        storage = open_storage("s3://data/root", client=AwsServer(proxy.url).client())
        storage.write("doc", b"x" * 10_000)
        assert {storage.read("doc")[0] for _ in range(12)} == {b"x" * 10_000}
        assert proxy.counts["truncated"] > 0


@pytest.mark.independent_s3
def test_a_write_refused_after_an_attempt_without_an_answer_is_not_called_a_refusal(s3_server):
    s3_server.bucket("data")
    only_writes = {"matching": lambda method, path, headers: method == "PUT"}
    with FaultProxy(s3_server.url, share=1.0, kinds=("lost",), seed=3, **only_writes) as proxy:
        storage = open_storage("s3://data/root", client=AwsServer(proxy.url).client())
        with pytest.raises(OutcomeUnknownError):
            storage.write("doc", b"1", expect=ABSENT)
    assert open_storage("s3://data/root").read("doc")[0] == b"1"
    with pytest.raises(ConcurrentUpdateError):
        open_storage("s3://data/root").write("doc", b"2", expect=ABSENT)
