"""Doubles of AWS: moto in this process, or moto's server for whoever is not Python (Spark, a child process)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from gluewright_testing.sessions import FAKE_CREDENTIALS, REGION

# Names that would lead boto3 to a real account or another endpoint.
REAL_SETTINGS = (
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_GLUE",
)

# URL of another S3 server on this machine that may be emptied and takes the fake credentials.
ENDPOINT_OVERRIDE = "GLUEWRIGHT_S3_ENDPOINT"


def fake_environment() -> dict[str, str]:
    """Return environment variables with credentials that no real account accepts, and a Region."""
    user, password = FAKE_CREDENTIALS
    return {
        "AWS_ACCESS_KEY_ID": user,
        "AWS_SECRET_ACCESS_KEY": password,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }


@dataclass(frozen=True)
class AwsServer:
    """A server on this machine that answers as S3, Glue, Secrets Manager and SSM do, with some known gaps.

    moto accepts a stale ``VersionId`` in Glue's ``update_table``, stale copy-source conditions and wrong checksums in
    S3, and puts every partition in one page: what depends on those needs another proof.

    Attributes:
        url: such as ``http://127.0.0.1:40001``.
    """

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which boto3 and the AWS SDKs of a child process talk to this server."""
        return fake_environment() | {"AWS_ENDPOINT_URL": self.url}

    def client(self, service: str = "s3", **settings: Any) -> Any:
        """Return a boto3 client of this server.

        Args:
            service: such as ``"s3"`` or ``"glue"``.
            settings: more arguments for ``boto3.client``.
        """
        import boto3  # noqa: PLC0415 - slow, and pytest loads this package at every start

        user, password = FAKE_CREDENTIALS
        settings = {"region_name": REGION, "aws_access_key_id": user, "aws_secret_access_key": password} | settings
        return boto3.client(service, endpoint_url=self.url, **settings)  # type: ignore[call-overload]

    def bucket(self, name: str = "data") -> str:
        """Make a bucket and return its name.

        Args:
            name: at least 3 letters.
        """
        self.client().create_bucket(Bucket=name)
        return name

    def reset(self) -> None:
        """Forget every bucket and object; moto's server forgets databases and secrets too."""
        if ENDPOINT_OVERRIDE in os.environ:
            for bucket in self.client().list_buckets()["Buckets"]:
                self._delete(bucket["Name"])
            return
        from http.client import HTTPConnection  # noqa: PLC0415

        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        connection.request("POST", "/moto-api/reset")
        connection.getresponse().read()
        connection.close()

    def _delete(self, bucket: str) -> None:
        s3 = self.client()
        for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for entry in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                s3.delete_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])
        s3.delete_bucket(Bucket=bucket)


@contextmanager
def running_server() -> Iterator[AwsServer]:
    """Start moto's server on a free port of this machine, or use the server that ``GLUEWRIGHT_S3_ENDPOINT`` names."""
    if url := os.environ.get(ENDPOINT_OVERRIDE):
        yield AwsServer(url)
        return
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _one_conditional_write_at_a_time(server)
    host, port = server.get_host_and_port()
    try:
        yield AwsServer(f"http://{host}:{port}")
    finally:
        server.stop()


def _one_conditional_write_at_a_time(server: Any) -> None:
    """Make writes under a condition atomic, as they are in S3: moto compares first and writes then."""
    app, lock = server._server.app, threading.Lock()

    def guarded(environ: dict[str, Any], start_response: Any) -> Any:
        conditional = {"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"} & environ.keys()
        with lock if conditional and environ["REQUEST_METHOD"] != "GET" else nullcontext():
            return app(environ, start_response)

    server._server.app = guarded
