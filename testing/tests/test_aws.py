"""AWS in this process: no call leaves the machine, whatever the machine's own settings are."""

import boto3
import pytest


@pytest.fixture
def real_looking_settings(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "real")


@pytest.mark.parametrize("time_round", [1, 2])
def test_every_test_starts_with_an_empty_account_and_fake_credentials(real_looking_settings, aws, time_round):
    s3 = boto3.client("s3")
    assert s3.list_buckets()["Buckets"] == []
    s3.create_bucket(Bucket="mine")
    assert boto3.Session().get_credentials().access_key != "real"
    assert boto3.client("sts").get_caller_identity()["Account"] == "123456789012"


@pytest.mark.independent_s3
def test_reset_forgets_versions_delete_markers_and_open_uploads(s3_server):
    bucket, s3 = s3_server.bucket(), s3_server.client()
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"old", b"new"):
        s3.put_object(Bucket=bucket, Key="folder/key", Body=body)
    s3.delete_object(Bucket=bucket, Key="folder/key")
    s3.create_multipart_upload(Bucket=bucket, Key="large")
    s3_server.reset()
    assert s3.list_buckets()["Buckets"] == []
