"""Each kind of fault: what the store holds afterwards, and what the client saw. Without a fault, the same bytes."""

import http.client
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from gluewright_testing.aws import AwsServer
from gluewright_testing.errors import FaultProxyError
from gluewright_testing.fault_proxy import KINDS, FaultProxy


def client_of(proxy, service="s3", attempts=1, **settings):
    config = Config(retries={"total_max_attempts": attempts, "mode": "standard"}, **settings)
    return AwsServer(proxy.url).client(service, config=config)


def one_kind(server, kind, **more):
    """A proxy whose every PUT or GET meets one kind of fault."""
    return FaultProxy(server.url, share=1.0, kinds=[kind], **more)


def puts(method, path, headers):
    return method == "PUT"


@pytest.fixture
def store(s3_server):
    """The server, its bucket `data`, and a client that goes past the proxy."""
    s3 = s3_server.client()
    s3_server.bucket("data")
    s3.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
    return s3


def held(s3, key="k"):
    return s3.get_object(Bucket="data", Key=key)["Body"].read()


def versions(s3):
    return len(s3.list_object_versions(Bucket="data").get("Versions", []))


@pytest.mark.independent_s3
def test_without_faults_objects_listings_errors_and_multipart_uploads_pass_unchanged(s3_server, store):
    large = bytes(range(256)) * 4096 * 6
    with FaultProxy(s3_server.url, share=0.0) as proxy:
        s3 = client_of(proxy)
        s3.put_object(Bucket="data", Key="folder/a b+ü", Body=b"x" * 100_000, ChecksumAlgorithm="SHA256")
        assert s3.head_object(Bucket="data", Key="folder/a b+ü")["ContentLength"] == 100_000
        assert s3.get_object(Bucket="data", Key="folder/a b+ü", Range="bytes=5-9")["Body"].read() == b"xxxxx"
        upload = s3.create_multipart_upload(Bucket="data", Key="large")["UploadId"]
        where = {"Bucket": "data", "Key": "large", "UploadId": upload}
        etag = s3.upload_part(**where, PartNumber=1, Body=large)["ETag"]
        s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
        assert s3.get_object(Bucket="data", Key="large")["Body"].read() == large
        with pytest.raises(ClientError, match="PreconditionFailed"):
            s3.put_object(Bucket="data", Key="large", Body=b"", IfNoneMatch="*")
        assert s3.list_objects_v2(Bucket="data")["KeyCount"] == 2
        s3.delete_object(Bucket="data", Key="large")
        assert s3.list_objects_v2(Bucket="data")["KeyCount"] == 1
        assert proxy.counts == dict.fromkeys(KINDS, 0)


@pytest.mark.independent_s3
def test_a_lost_answer_is_performed_and_the_client_sees_a_closed_connection(s3_server, store):
    with one_kind(s3_server, "lost", matching=puts) as proxy:
        with pytest.raises(ConnectionClosedError):
            client_of(proxy).put_object(Bucket="data", Key="k", Body=b"new")
        assert (held(store), versions(store), proxy.counts) == (b"new", 1, {"lost": 1})


def test_a_repeat_after_a_lost_answer_is_refused_by_its_own_first_attempt(s3_server, store):
    first_only = iter([True])
    with one_kind(s3_server, "lost", matching=lambda method, *_: method == "PUT" and next(first_only, False)) as proxy:
        with pytest.raises(ClientError, match="PreconditionFailed"):
            client_of(proxy, attempts=3).put_object(Bucket="data", Key="k", Body=b"mine", IfNoneMatch="*")
        assert held(store) == b"mine"


def test_a_held_connection_runs_into_the_clients_timeout(s3_server, store):
    with one_kind(s3_server, "lost", matching=puts, hold_seconds=30.0) as proxy:
        began = time.monotonic()
        with pytest.raises(ReadTimeoutError):
            client_of(proxy, read_timeout=0.5).put_object(Bucket="data", Key="k", Body=b"new")
        assert 0.5 <= time.monotonic() - began < 10
        assert held(store) == b"new"


@pytest.mark.independent_s3
def test_a_late_request_overwrites_what_came_after_it(s3_server, store):
    with one_kind(s3_server, "late", matching=puts, late_seconds=60.0, late_requests=1000) as proxy:
        with pytest.raises(ConnectionClosedError):
            client_of(proxy).put_object(Bucket="data", Key="k", Body=b"old")
        assert versions(store) == 0
        store.put_object(Bucket="data", Key="k", Body=b"new")
        assert proxy.drain() == 1
        assert (held(store), versions(store), proxy.counts) == (b"old", 2, {"late": 1})
        assert proxy.drain() == 0


def test_a_late_request_arrives_by_itself_after_a_time_or_after_others_have_passed(s3_server, store):
    with one_kind(s3_server, "late", matching=puts, late_seconds=0.2, late_requests=3) as proxy:
        s3, keys = client_of(proxy), [f"k{number}" for number in range(12)]
        for key in keys:
            with pytest.raises(ConnectionClosedError):
                s3.put_object(Bucket="data", Key=key, Body=b"")
        time.sleep(0.5)
        in_time = versions(store)
        assert 0 < in_time < len(keys), "some wait for a time, some for requests"
        for _ in range(3):
            s3.list_buckets()
        assert versions(store) == len(keys)
        assert proxy.drain() == 0


@pytest.mark.independent_s3
def test_a_doubled_request_is_answered_and_arrives_again_later(s3_server, store):
    with one_kind(s3_server, "doubled", matching=puts, late_seconds=60.0, late_requests=1000) as proxy:
        client_of(proxy).put_object(Bucket="data", Key="k", Body=b"old")
        assert versions(store) == 1
        store.put_object(Bucket="data", Key="k", Body=b"new")
        assert proxy.drain() == 1
        assert (held(store), versions(store), proxy.counts) == (b"old", 3, {"doubled": 1})


@pytest.mark.independent_s3
def test_a_retried_request_is_performed_twice_and_the_second_answer_counts(s3_server, store):
    with one_kind(s3_server, "retried", matching=puts) as proxy:
        s3 = client_of(proxy)
        s3.put_object(Bucket="data", Key="k", Body=b"once")
        assert versions(store) == 2
        with pytest.raises(ClientError, match="PreconditionFailed"):
            s3.put_object(Bucket="data", Key="claim", Body=b"mine", IfNoneMatch="*")
        assert (held(store, "claim"), proxy.counts) == (b"mine", {"retried": 2})


@pytest.mark.independent_s3
def test_a_truncated_answer_ends_halfway_and_other_methods_are_spared(s3_server, store):
    with one_kind(s3_server, "truncated") as proxy:
        s3 = client_of(proxy)
        s3.put_object(Bucket="data", Key="k", Body=b"0123456789")
        answer = s3.get_object(Bucket="data", Key="k")
        assert answer["ContentLength"] == 10
        with pytest.raises((ResponseStreamingError, IncompleteReadError)):
            answer["Body"].read()
        assert proxy.counts == {"truncated": 1}


def test_glues_requests_meet_faults_too_and_can_be_chosen_by_their_header(s3_server):
    def creates(method, path, headers):
        return headers.get("x-amz-target", "").endswith("CreateDatabase")

    with one_kind(s3_server, "lost", matching=creates) as proxy:
        glue = client_of(proxy, "glue")
        with pytest.raises(ConnectionClosedError):
            glue.create_database(DatabaseInput={"Name": "sales"})
        assert [database["Name"] for database in glue.get_databases()["DatabaseList"]] == ["sales"]
        assert proxy.counts == {"lost": 1}


def faults(server, seed, keys, workers):
    """The keys whose PUT met a fault."""

    def put(key):
        try:
            client.put_object(Bucket="data", Key=key, Body=b"")
        except ConnectionClosedError:
            return key
        return None

    with FaultProxy(server.url, share=0.3, seed=seed, kinds=["lost", "late"]) as proxy, ThreadPoolExecutor(workers) as pool:
        client = client_of(proxy)
        found = {key for key in pool.map(put, keys) if key}
        assert sum(proxy.counts.values()) == len(found)
    return found


def test_the_seed_decides_which_requests_meet_a_fault_whatever_their_order(s3_server, store):
    keys = [f"k{number}" for number in range(60)]
    found = faults(s3_server, 1, keys, workers=1)
    assert 5 < len(found) < 40
    assert faults(s3_server, 1, keys[::-1], workers=8) == found
    assert faults(s3_server, 2, keys, workers=1) != found


# --- beneath boto3 ---


class Echo(BaseHTTPRequestHandler):
    """Answers with the bytes that it received, and notes them."""

    protocol_version = "HTTP/1.1"
    seen: list[bytes]

    def do_PUT(self):
        head = self.raw_requestline + b"".join(b"%s: %s\r\n" % (k.encode(), v.encode()) for k, v in self.headers.items())
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while not body.endswith(b"0\r\n\r\n"):
                body += self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(head + b"\r\n" + body)
        if self.path == "/until-the-end":
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nall of it")
            self.close_connection = True
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        self.wfile.write(b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: t\r\n\r\n")
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def echo():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.seen, server.daemon_threads = [], True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.shutdown()
    server.server_close()


CHUNKED = (
    b"PUT /k?x=1 HTTP/1.1\r\nHost: signed.example:1234\r\nauthorization: AWS4-HMAC-SHA256 a\r\nX-Twice: 1\r\nX-Twice: 2\r\n"
    b"Content-Encoding: aws-chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;chunk-signature=ab\r\nhello\r\n0\r\n\r\n"
)
EXPECTING = b"PUT /k HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"


def test_requests_reach_the_upstream_byte_for_byte_and_connections_stay_open(echo):
    with FaultProxy(echo.url, share=0.0) as proxy, closing(connected(proxy)) as connection:
        stream = connection.makefile("rb")
        for _ in range(2):
            connection.sendall(CHUNKED)
            answer = b"".join(iter(stream.readline, b"Trailer: t\r\n"))
            assert stream.readline() == b"\r\n"
            assert answer.startswith(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n")
        connection.sendall(EXPECTING)
        assert stream.readline() + stream.readline() == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"body")
        assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
    assert echo.seen == [CHUNKED, CHUNKED, EXPECTING + b"body"]


def test_an_answer_that_ends_with_the_connection_gets_a_length(echo):
    with FaultProxy(echo.url, share=0.0) as proxy:
        client = http.client.HTTPConnection(proxy.url.removeprefix("http://"))
        for _ in range(2):
            client.request("PUT", "/until-the-end", b"x")
            answer = client.getresponse()
            assert (answer.read(), answer.getheader("content-length"), answer.will_close) == (b"all of it", "9", False)
        client.close()


def test_an_upstream_that_is_not_there_is_a_bad_gateway_and_a_stopped_proxy_closes_its_connections(echo):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with FaultProxy(f"http://127.0.0.1:{taken.getsockname()[1]}", share=0.0) as proxy:
            client = http.client.HTTPConnection(proxy.url.removeprefix("http://"))
            client.request("GET", "/")
            assert client.getresponse().status == 502
            idle = connected(proxy)
            time.sleep(0.1)
    with closing(idle):
        assert idle.recv(1) == b""


@pytest.mark.parametrize(
    ("url", "kinds", "message"),
    [
        ("http://192.0.2.1:5000", KINDS, "not a server on this machine"),
        ("https://127.0.0.1:5000", KINDS, "not a server on this machine"),
        ("http://127.0.0.1:5000", ["lots"], "unknown kind of fault 'lots'; there are lost, late"),
    ],
)
def test_another_machine_and_an_unknown_kind_are_refused(url, kinds, message):
    with pytest.raises(FaultProxyError, match=message):
        FaultProxy(url, kinds=kinds)


def connected(proxy):
    host, _, port = proxy.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=10)
