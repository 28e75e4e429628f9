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
