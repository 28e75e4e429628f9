"""S3 through boto3: conditional writes, paged listings, joins on the server, and errors that say what to do."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ResponseStreamingError,
)

from gluewright_core.effects import effect
from gluewright_core.errors import (
    ConcurrentUpdateError,
    GluewrightError,
    ObjectNotFoundError,
    OutcomeUnknownError,
    StorageDeniedError,
    StorageError,
    StorageUnreachableError,
)
from gluewright_core.storage.interface import ABSENT, ANY, Expect, Storage, StoredObject
from gluewright_core.storage.joining import LARGEST_PART, SMALLEST_PART, Part, plan_join

_DELETE_BATCH = 1000
# One small request, all attempts together, takes less than half a lease: gluewright_core.storage.conditions.
_SMALL = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=3, read_timeout=12)
# S3 copies up to 5 GiB on its side before it answers.
_LARGE = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=300)
_ATTEMPTS = 4


class S3Storage(Storage):
    """Objects below a prefix of a bucket.

    Conditional writes use S3's own ``If-None-Match`` and ``If-Match`` on PutObject and CompleteMultipartUpload (Amazon S3
    User Guide, "How to prevent object overwrites with conditional writes").

    Args:
        bucket: its name.
        prefix: without leading or trailing ``/``; may be empty.
        scheme: ``s3`` or ``s3a``, for the URIs given to Spark.
        client: a boto3 S3 client; by default boto3's usual chain of credentials and Region.
    """

    def __init__(self, bucket: str, prefix: str = "", *, scheme: str = "s3", client: Any = None) -> None:
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        self.uri = f"{scheme}://{bucket}/{prefix}".rstrip("/")
        with _explained(self.uri):
            self._s3: Any = client or boto3.client("s3", config=_SMALL)
            self._large: Any = client or boto3.client("s3", config=_LARGE)
        self.conditions_known = False
        self.request_seconds = _longest_request(self._s3.meta.config)

    def list_objects(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:  # noqa: D102
        # A page marker before the prefix would be legal too, but some servers then answer with nothing.
        start = {"StartAfter": self._root + after} if after else {}
        last = b""
        with _explained(self.uri_of(prefix)):
            for page in self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._root + prefix, **start
            ):
                for found in page.get("Contents", []):
                    # A page that is asked for again may overlap the one before.
                    if (encoded := found["Key"].encode()) > last:
                        last = encoded
                        yield self._stored(found["Key"].removeprefix(self._root), found["Size"], found)

    def list_folders(self, prefix: str = "") -> list[str]:  # noqa: D102
        full = self._root + prefix
        with _explained(self.uri_of(prefix)):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=full, Delimiter="/")
            return sorted(common["Prefix"][len(full) : -1] for page in pages for common in page.get("CommonPrefixes", []))

    def stat(self, key: str) -> StoredObject | None:  # noqa: D102
        with _explained(self.uri_of(key)):
            try:
                found = self._s3.head_object(Bucket=self._bucket, Key=self._root + key)
            except ClientError as error:
                if _status(error) == 404:
                    return None
                raise
        return self._stored(key, found["ContentLength"], found)

    def read(self, key: str) -> tuple[bytes, str]:  # noqa: D102
        return self._get(key)

    def read_range(self, key: str, start: int, length: int) -> bytes:  # noqa: D102
        wanted = f"bytes={start}-{start + length - 1}" if start >= 0 else f"bytes={start}"
        try:
            return self._get(key, Range=wanted)[0][:length]
        except StorageError as error:
            # Behind the end there is nothing.
            if isinstance(error.__cause__, ClientError) and _status(error.__cause__) == 416:
                return b""
            raise

    def _get(self, key: str, **part: str) -> tuple[bytes, str]:
        with _explained(self.uri_of(key)):
            for attempt in range(1, _ATTEMPTS + 1):
                found = self._s3.get_object(Bucket=self._bucket, Key=self._root + key, **part)
                try:
                    return found["Body"].read(), _etag(found)
                except (HTTPClientError, IncompleteReadError, ResponseStreamingError):
                    # boto3 repeats a request that failed, but not an answer that broke off.
                    if attempt == _ATTEMPTS:
                        raise
        raise AssertionError("unreachable")

    def write(self, key: str, body: bytes, *, expect: str | Expect = ANY) -> str:  # noqa: D102
        uri = self.uri_of(key)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with effect("storage.write", uri):
                    return _etag(self._put(key, body, expect))
            except (ClientError, BotoCoreError) as error:
                if not _is_conflict(error):
                    raise _write_error(uri, error, is_first=attempt == 1) from error
                # 409: another request for the same object is under way, perhaps this one's own first attempt.
                doubt = error
                time.sleep(0.1 * 2 ** (attempt - 1))
        raise OutcomeUnknownError(
            f"{uri}: another write of the same object was under way each time; whether this one was performed is not known"
        ) from doubt

    def _put(self, key: str, body: bytes, expect: str | Expect) -> dict[str, Any]:
        answer: dict[str, Any] = self._s3.put_object(
            Bucket=self._bucket, Key=self._root + key, Body=body, **_condition(expect)
        )
        return answer

    def delete(self, keys: Iterable[str]) -> int:  # noqa: D102
        remaining, asked = iter(keys), 0
        while batch := list(islice(remaining, _DELETE_BATCH)):
            asked += len(batch)
            with _explained(self.uri), effect("storage.delete", self.uri_of(batch[0])):
                answer = self._s3.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": self._root + key} for key in batch], "Quiet": True},
                )
            if errors := answer.get("Errors", []):
                first = errors[0]
                raise StorageDeniedError(
                    f"{len(errors)} of {len(batch)} objects below {self.uri} were not deleted, the first: "
                    f"{first.get('Key')} ({first.get('Code')}); grant s3:DeleteObject on the prefix"
                )
        return asked

    def delete_version(self, key: str, version: str) -> None:  # noqa: D102
        with _explained(self.uri_of(key)), effect("storage.delete", self.uri_of(key)):
            try:
                self._s3.delete_object(Bucket=self._bucket, Key=self._root + key, IfMatch=version)
            except ClientError as error:
                if _status(error) != 404:
                    raise

    def join(self, sources: Sequence[str], target: str, *, expect: Expect = ANY) -> str:  # noqa: D102
        found = [self._must_stat(source) for source in sources]
        size = sum(source.size for source in found)
        if len(found) == 1 and size <= LARGEST_PART and expect is ANY:
            return self._copy(found[0], target)
        if size < SMALLEST_PART:
            return self.write(target, b"".join(self.read(source)[0] for source in sources), expect=expect)
        return self._join_parts(found, plan_join([source.size for source in found]), target, expect)

    def _copy(self, source: StoredObject, target: str) -> str:
        with _explained(self.uri_of(target)), effect("storage.write", self.uri_of(target)):
            answer = self._large.copy_object(Bucket=self._bucket, Key=self._root + target, **self._source(source))
        return _etag(answer["CopyObjectResult"])

    def _join_parts(self, found: Sequence[StoredObject], parts: Sequence[Part], target: str, expect: Expect) -> str:
        where = {"Bucket": self._bucket, "Key": self._root + target}
        with _explained(self.uri_of(target)):
            with effect("storage.begin", self.uri_of(target)):
                upload = {**where, "UploadId": self._large.create_multipart_upload(**where)["UploadId"]}
            try:
                done = [
                    {"PartNumber": number, "ETag": self._put_part(found, part, {**upload, "PartNumber": number})}
                    for number, part in enumerate(parts, start=1)
                ]
                with effect("storage.write", self.uri_of(target)):
                    answer = self._complete(upload, done, expect)
            except BaseException:
                with suppress(BotoCoreError, ClientError, GluewrightError):
                    self._large.abort_multipart_upload(**upload)
                raise
        return _etag(answer)

    def _complete(self, upload: dict[str, Any], parts: list[dict[str, Any]], expect: Expect) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._large.complete_multipart_upload(
                **upload, MultipartUpload={"Parts": parts}, **_condition(expect)
            )
        except (ClientError, BotoCoreError) as error:
            raise _write_error(f"s3://{self._bucket}/{upload['Key']}", error, is_first=not _is_conflict(error)) from error
        return answer

    def _put_part(self, found: Sequence[StoredObject], part: Part, upload: dict[str, Any]) -> str:
        first = part.pieces[0]
        if len(part.pieces) == 1 and part.size >= SMALLEST_PART:
            copied = self._large.upload_part_copy(
                **upload, **self._source(found[first.source]), CopySourceRange=f"bytes={first.start}-{first.end - 1}"
            )
            return str(copied["CopyPartResult"]["ETag"])
        body = b"".join(self._read_range(found[piece.source], piece.start, piece.end) for piece in part.pieces)
        return str(self._large.upload_part(**upload, Body=body)["ETag"])

    def _read_range(self, source: StoredObject, start: int, end: int) -> bytes:
        answer = self._s3.get_object(
            Bucket=self._bucket, Key=self._root + source.key, Range=f"bytes={start}-{end - 1}", IfMatch=source.version
        )
        return bytes(answer["Body"].read())

    def _source(self, source: StoredObject) -> dict[str, Any]:
        return {
            "CopySource": {"Bucket": self._bucket, "Key": self._root + source.key},
            "CopySourceIfMatch": source.version,
        }

    def _must_stat(self, key: str) -> StoredObject:
        found = self.stat(key)
        if found is None:
            raise ObjectNotFoundError(f"{self.uri_of(key)} does not exist, so it cannot be joined")
        return found

    def _stored(self, key: str, size: int, answer: dict[str, Any]) -> StoredObject:
        return StoredObject(key, size, _etag(answer), answer["LastModified"])


def _etag(answer: dict[str, Any]) -> str:
    return str(answer["ETag"]).strip('"')


def _condition(expect: str | Expect) -> dict[str, str]:
    if expect is ANY:
        return {}
    return {"IfNoneMatch": "*"} if expect is ABSENT else {"IfMatch": str(expect)}


def _is_conflict(error: Exception) -> bool:
    return isinstance(error, ClientError) and _status(error) == 409


def _write_error(uri: str, error: Exception, *, is_first: bool) -> GluewrightError:
    """Explain a write that failed: a refusal is one only if no earlier attempt can have been performed."""
    explained = _explanation(uri, error) if isinstance(error, ClientError) else _connection_explanation(uri, error)
    if isinstance(error, ClientError):
        retried = not is_first or int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)) > 0
        is_refusal = isinstance(explained, ConcurrentUpdateError) or error.operation_name == "CompleteMultipartUpload"
        if (is_refusal and retried) or _status(error) >= 500:
            why = "was refused after an attempt without an answer" if is_refusal else f"failed ({_status(error)})"
            return OutcomeUnknownError(f"{uri}: the write {why}; whether it was performed is not known")
    return explained


def _longest_request(config: Any) -> float:
    """Return how long a client may wait for one request: its attempts and the pauses between them, in seconds."""
    retries = config.retries or {}
    attempts = retries.get("total_max_attempts") or int(retries.get("max_attempts", 4)) + 1
    pauses = sum(min(2.0**attempt, 20.0) for attempt in range(attempts - 1))
    return float(attempts * (config.connect_timeout + config.read_timeout) + pauses)


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _explanation(uri, error) from error
    except BotoCoreError as error:
        raise _connection_explanation(uri, error) from error


def _connection_explanation(uri: str, error: Exception) -> GluewrightError:
    if isinstance(error, EndpointConnectionError):
        return StorageUnreachableError(
            f"{uri}: S3 does not answer at {error.kwargs.get('endpoint_url')}; check the endpoint, the Region, and in a VPC "
            "the gateway endpoint for S3"
        )
    if isinstance(error, NoCredentialsError):
        return StorageDeniedError(f"{uri}: no AWS credentials; give the job a role, or set AWS_PROFILE")
    return StorageUnreachableError(f"{uri}: {error}")


def _explanation(uri: str, error: ClientError) -> GluewrightError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = _status(error)
    if code == "NoSuchBucket":
        return ObjectNotFoundError(f"{uri}: the bucket does not exist; check its name, account and Region")
    if code in {"NoSuchKey", "404", "NotFound"} or status == 404:
        # A conditional write that finds nothing answers 404: what was expected to be there is gone.
        return (
            ConcurrentUpdateError(f"{uri} is gone")
            if error.operation_name == "PutObject"
            else ObjectNotFoundError(f"{uri} does not exist")
        )
    if status in {409, 412} or code in {"PreconditionFailed", "ConditionalRequestConflict"}:
        return ConcurrentUpdateError(f"{uri} was written by another writer at the same time; read it again")
    if status == 403:
        return StorageDeniedError(
            f"{uri}: {error.operation_name} is denied ({code}); grant the job's role the S3 action on this prefix"
        )
    return StorageError(
        f"{uri}: {error.operation_name} failed: {code} {error.response.get('Error', {}).get('Message', '')}".rstrip()
    )
