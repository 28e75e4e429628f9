"""Secrets as references: a job is told where a secret lies, never the secret itself.

Job arguments are logged and shown in consoles, so a password has no place among them (AWS Glue API, "Jobs":
``DefaultArguments``). An argument of type `Secret` holds a reference instead; the value is read when the job first asks
for it, and no `repr`, format, pickle or log line of this package shows it.
"""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, get_ident
from typing import Any, NoReturn, cast

from gluewright_core.errors import SecretUnavailableError

FORMS = "secretsmanager:<name or ARN>[#<JSON key>], ssm:<parameter>, kms:<encrypted data key> or env:<VARIABLE>"
_HIDDEN = "***"
# Shorter values are not masked in log lines: they occur by chance and would shred them.
_SHORTEST_MASKED = 4
_revealed: set[str] = set()


class Secret:
    """A reference to a secret, resolved when first used.

    Args:
        reference: ``secretsmanager:<name or ARN>``, with ``#<key>`` for one key of a JSON secret; ``ssm:<parameter>``
            for a Systems Manager parameter; ``kms:<base64>`` for a data key as KMS encrypted it (``CiphertextBlob`` of
            ``GenerateDataKey``), whose value is the plain key in base64; ``env:<VARIABLE>`` for an environment variable of
            the driver.

    Raises:
        ValueError: the text is not a reference. The message does not repeat it: it may be the secret itself.

    Example:
        >>> import os
        >>> os.environ["DB_PASSWORD"] = "hunter2"
        >>> password = Secret("env:DB_PASSWORD")
        >>> password
        Secret('env:DB_PASSWORD')
        >>> password.reveal() == "hunter2"
        True
    """

    __slots__ = ("_lock", "_value", "reference")

    def __init__(self, reference: str) -> None:
        kind, _, place = reference.partition(":")
        if kind not in _READERS or not place.partition("#")[0]:
            raise ValueError(f"a reference to a secret is {FORMS}")
        self.reference = reference
        self._value: str | None = None
        self._lock = Lock()

    def reveal(self) -> str:
        """Return the secret's value, read at the first call and kept in this process's memory.

        Returns:
            The value as text: for a JSON key that holds something else than text, its JSON.

        Raises:
            SecretUnavailableError: the secret is missing, may not be read, or has no such JSON key.
        """
        with self._lock:
            if self._value is None:
                kind, _, place = self.reference.partition(":")
                self._value = _READERS[kind](place)
                if len(self._value) >= _SHORTEST_MASKED:
                    _revealed.update({self._value, json.dumps(self._value)[1:-1]})
            return self._value

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reference == self.reference

    def __hash__(self) -> int:
        return hash(self.reference)

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        # Executors and pickles get the reference; the value stays in the process that asked for it.
        return Secret, (self.reference,)


def masked(text: str) -> str:
    """Return ``text`` with every secret value revealed in this process replaced by asterisks.

    Args:
        text: a log line, or any text about to leave the process.
    """
    for value in sorted(_revealed, key=len, reverse=True):
        text = text.replace(value, _HIDDEN)
    return text


def _from_environment(variable: str) -> str:
    value = os.environ.get(variable)
    if value is None:
        raise SecretUnavailableError(f"env:{variable}: not set; set this environment variable for the driver")
    return value


def _from_secrets_manager(place: str) -> str:
    name, _, key = place.partition("#")
    reference = f"secretsmanager:{place}"
    answer = _ask(reference, "secretsmanager", name, "get_secret_value", SecretId=name)
    if "SecretString" not in answer:
        raise SecretUnavailableError(f"{reference}: this secret is binary; store it as text")
    text = cast("str", answer["SecretString"])
    return _json_key(reference, text, key) if key else text


def _from_parameter_store(name: str) -> str:
    answer = _ask(f"ssm:{name}", "ssm", name, "get_parameter", Name=name, WithDecryption=True)
    return cast("str", answer["Parameter"]["Value"])


def _from_key_management(encrypted: str) -> str:
    reference = f"kms:{encrypted}"
    try:
        blob = base64.b64decode(encrypted, validate=True)
    except ValueError:
        _not_there(reference, "not base64; give the CiphertextBlob that GenerateDataKey answered, in base64")
    answer = _ask(reference, "kms", "", "decrypt", CiphertextBlob=blob)
    return base64.b64encode(answer["Plaintext"]).decode()


def _ask(reference: str, service: str, name: str, operation: str, **request: Any) -> dict[str, Any]:
    import boto3  # noqa: PLC0415 - comes with Glue, and costs most of a second to import
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    # An ARN says in which Region its secret lives, which need not be the job's own.
    region = name.split(":")[3] if name.startswith("arn:") else None
    try:
        client = boto3.client(service, region_name=region)  # type: ignore[call-overload]
        with _without_bodies():
            return cast("dict[str, Any]", getattr(client, operation)(**request))
    except (BotoCoreError, ClientError) as error:
        raise SecretUnavailableError(
            f"{reference}: {error}; check the name, the Region, and that the job's role may read it"
        ) from error


@contextmanager
def _without_bodies() -> Iterator[None]:
    """Drop what botocore logs in this thread: at level DEBUG the bodies of responses, which hold the secret."""
    thread = get_ident()
    loggers = [logging.getLogger(f"botocore.{name}") for name in ("parsers", "endpoint")]

    def other_threads(record: logging.LogRecord) -> bool:
        return get_ident() != thread

    for logger in loggers:
        logger.addFilter(other_threads)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(other_threads)


def _json_key(reference: str, text: str, key: str) -> str:
    # The decoder's own error would carry the whole secret, so it is never chained.
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        _not_there(reference, "the secret is not a JSON object; leave out the part after #")
    if key not in document:
        _not_there(reference, f"the secret has no key {key!r}")
    value = document[key]
    return value if isinstance(value, str) else json.dumps(value)


def _not_there(reference: str, why: str) -> NoReturn:
    raise SecretUnavailableError(f"{reference}: {why}")


_READERS = {
    "env": _from_environment,
    "kms": _from_key_management,
    "secretsmanager": _from_secrets_manager,
    "ssm": _from_parameter_store,
}
