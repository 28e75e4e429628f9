"""Hear of new objects from an SQS queue that S3 notifies, in place of listing.

S3 delivers a notification at least once, in any order, and SQS delivers a message again until it is deleted. Both do no
harm: the ledger knows what was read, and a message is deleted after its objects are known. A notification that never came is
found by a listing: run one with ``full=True`` now and then. (Amazon S3 User Guide, "Amazon S3 Event Notifications".)
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from gluewright_core.effects import effect
from gluewright_core.errors import GluewrightError

_AT_ONCE = 10


class UnreadableMessageError(GluewrightError):
    """A message of the queue is no notification of S3, or of another bucket. It stays in the queue."""


@dataclass(frozen=True)
class Message:
    """One message: the keys that it tells of, below the source, and the receipt by which it is deleted."""

    keys: frozenset[str]
    receipt: str


class ObjectQueue:
    """An SQS queue with S3's notifications of new objects.

    Args:
        url: of the queue.
        most: at most so many messages for one batch; more wait for the next.
        client: a boto3 SQS client; by default boto3's usual chain.
    """

    def __init__(self, url: str, *, most: int = 10_000, client: Any = None) -> None:
        self._url = url
        self._most = most
        if client is None:
            import boto3  # noqa: PLC0415 - only who has no client waits for it

            client = boto3.client("sqs")
        self._sqs: Any = client

    def receive(self, source: str) -> list[Message]:
        """Receive what is waiting. Until they are deleted, messages come again when their visibility timeout is over.

        Args:
            source: the URI of the source; keys are told below it.

        Raises:
            UnreadableMessageError: a message is no notification, or of another bucket.
        """
        found: list[Message] = []
        while len(found) < self._most:
            answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=_AT_ONCE, WaitTimeSeconds=1)
            if not (messages := answer.get("Messages", [])):
                break
            found += [Message(self._keys(each["Body"], source), each["ReceiptHandle"]) for each in messages]
        return found

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages."""
        for start in range(0, len(messages), _AT_ONCE):
            some = messages[start : start + _AT_ONCE]
            entries = [{"Id": str(number), "ReceiptHandle": each.receipt} for number, each in enumerate(some)]
            with effect("queue.delete", self._url):
                self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)

    def _keys(self, body: str, source: str) -> frozenset[str]:
        bucket, _, prefix = source.partition("://")[2].partition("/")
        root = f"{prefix}/" if prefix else ""
        try:
            told = json.loads(body)
            told = json.loads(told["Message"]) if told.get("Type") == "Notification" else told  # by way of SNS
            if told.get("Event") == "s3:TestEvent":
                return frozenset()
            events = [
                (each["eventName"], each["s3"]["bucket"]["name"], each["s3"]["object"]["key"]) for each in told["Records"]
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnreadableMessageError(
                f"{self._url} has a message that is no notification of S3 ({type(error).__name__}); send others elsewhere"
            ) from error
        if others := sorted({name for _, name, _ in events if name != bucket}):
            raise UnreadableMessageError(f"{self._url} has notifications of bucket {others[0]}, the source is {source}")
        created = (unquote_plus(key) for event, _, key in events if event.startswith("ObjectCreated:"))
        return frozenset(key.removeprefix(root) for key in created if key.startswith(root))


def settled(messages: Sequence[Message], waiting: Collection[str]) -> list[Message]:
    """Choose the messages that tell of nothing that is still to be read.

    Args:
        messages: as received.
        waiting: keys that a batch did not take because of its limits.
    """
    return [each for each in messages if each.keys.isdisjoint(waiting)]
