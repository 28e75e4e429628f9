"""A secret is a reference: readable by the job, shown nowhere."""

import base64
import copy
import json
import logging
import pickle
import traceback

import boto3
import pytest
from moto import mock_aws

from gluewright_core.errors import SecretUnavailableError
from gluewright_core.secret import Secret, masked

VALUE = 'c0rrect "horse"\n'


@pytest.fixture
def cloud(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        yield


def put_secret(name, text, region="eu-west-1"):
    return boto3.client("secretsmanager", region_name=region).create_secret(Name=name, SecretString=text)["ARN"]


def test_each_place_yields_its_value_once_and_then_from_memory(cloud, monkeypatch):
    put_secret("db", json.dumps({"password": VALUE, "port": 5432}))
    elsewhere = put_secret("plain", VALUE, region="us-east-2")
    boto3.client("ssm").put_parameter(Name="/jobs/token", Value=VALUE, Type="SecureString")
    monkeypatch.setenv("TOKEN", VALUE)

    secrets = [
        Secret("secretsmanager:db#password"),
        Secret(f"secretsmanager:{elsewhere}"),
        Secret("ssm:/jobs/token"),
        Secret("env:TOKEN"),
    ]
    assert [secret.reveal() for secret in secrets] == [VALUE] * 4
    assert Secret("secretsmanager:db#port").reveal() == "5432"

    boto3.client("secretsmanager").delete_secret(SecretId="db", ForceDeleteWithoutRecovery=True)
    monkeypatch.delenv("TOKEN")
    assert [secret.reveal() for secret in secrets] == [VALUE] * 4


def test_a_data_key_that_kms_encrypted_is_revealed_in_base64(cloud):
    kms = boto3.client("kms")
    made = kms.generate_data_key(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], KeySpec="AES_256")
    secret = Secret(f"kms:{base64.b64encode(made['CiphertextBlob']).decode()}")
    assert base64.b64decode(secret.reveal()) == made["Plaintext"]


def test_botocore_logs_no_secret_at_level_debug(cloud, monkeypatch, caplog):
    put_secret("db", "a secret value")
    boto3.client("ssm").put_parameter(Name="/jobs/token", Value="a secret value", Type="SecureString")
    kms = boto3.client("kms")
    made = kms.generate_data_key(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], KeySpec="AES_256")
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("botocore").setLevel(logging.DEBUG)
        caplog.clear()
        assert Secret("secretsmanager:db").reveal() == Secret("ssm:/jobs/token").reveal() == "a secret value"
        plain = Secret(f"kms:{base64.b64encode(made['CiphertextBlob']).decode()}").reveal()
        assert "a secret value" not in caplog.text and plain not in caplog.text
        # Only then: other calls are logged as before.
        boto3.client("ssm").get_parameter(Name="/jobs/token", WithDecryption=True)
        assert "a secret value" in caplog.text
    logging.getLogger("botocore").setLevel(logging.NOTSET)


def test_a_revealed_value_is_in_no_text_form_of_the_secret(monkeypatch):
    monkeypatch.setenv("TOKEN", VALUE)
    secret = Secret("env:TOKEN")
    secret.reveal()
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "got %s and %r", (secret, {"k": secret}), None)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", record.getMessage(), repr([secret])]
    assert all("env:TOKEN" in text and "horse" not in text for text in shown)
    assert b"horse" not in pickle.dumps(secret)
    assert pickle.loads(pickle.dumps(secret)) == secret == copy.deepcopy(secret)
    assert pickle.loads(pickle.dumps(secret)).reveal() == VALUE


def test_a_line_that_quotes_a_revealed_value_is_masked_raw_and_as_json(monkeypatch):
    monkeypatch.setenv("TOKEN", VALUE)
    assert masked("a word") == "a word"
    Secret("env:TOKEN").reveal()
    assert masked(f"login failed for {VALUE}!") == "login failed for ***!"
    assert masked(json.dumps({"error": f"login failed for {VALUE}"})) == '{"error": "login failed for ***"}'


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("env:NOT_SET_ANYWHERE", "not set"),
        ("secretsmanager:missing", "ResourceNotFoundException"),
        ("ssm:/missing", "ParameterNotFound"),
        ("secretsmanager:db#user", "no key 'user'"),
        ("secretsmanager:text#password", "not a JSON object"),
        ("secretsmanager:list#password", "not a JSON object"),
        ("secretsmanager:bytes", "binary"),
        ("kms:no base64", "not base64"),
        ("kms:bm90aGluZw==", "check the name"),
    ],
)
def test_what_cannot_be_read_is_named_without_showing_what_was_read(cloud, reference, says):
    put_secret("db", json.dumps({"password": VALUE}))
    put_secret("text", VALUE)
    put_secret("list", json.dumps([VALUE]))
    boto3.client("secretsmanager").create_secret(Name="bytes", SecretBinary=b"horse")
    with pytest.raises(SecretUnavailableError) as failure:
        Secret(reference).reveal()
    whole = "".join(traceback.format_exception(failure.value))
    assert reference in str(failure.value)
    assert says in whole
    assert "horse" not in whole


@pytest.mark.parametrize("text", ["hunter2", "", "vault:x", "env:", "secretsmanager:#key", "ssm"])
def test_a_value_given_in_place_of_a_reference_is_refused_and_not_repeated(text):
    with pytest.raises(ValueError, match="secretsmanager:") as failure:
        Secret(text)
    assert "hunter2" not in str(failure.value)
