"""Objects that a queue tells of: each once, however often its message comes; what was not read stays in the queue."""

import json

import boto3
import pytest

from gluewright_core.storage import open_storage
from gluewright_incremental.job.incremental import Incremental
from gluewright_incremental.job.notifications import ObjectQueue, UnreadableMessageError
from gluewright_incremental.ledger import Limits
from gluewright_testing.killpoints import every_kill_point
from gluewright_testing.memory import MemoryStorage
from gluewright_testing.sharing import once, shared

pytestmark = once(0)


class World:
    def __init__(self):
        self.sqs = boto3.client("sqs")
        attributes = {"VisibilityTimeout": "0"}  # what is not deleted comes again at once
        self.url = self.sqs.create_queue(QueueName=f"q{id(self)}", Attributes=attributes)["QueueUrl"]
        s3, bucket = boto3.client("s3"), f"b{id(self)}"
        s3.create_bucket(Bucket=bucket)
        self.bucket, self.source, self.state = bucket, open_storage(f"s3://{bucket}/in"), MemoryStorage("memory://state")
        self.sink, self.hour = {}, 0

    def put(self, key, body=b"x"):
        self.source.write(key, body)
        self.tell({"Records": [self.event(f"in/{key}".replace(" ", "+"))]})

    def event(self, key, name="ObjectCreated:Put", bucket=None):
        return {"eventName": name, "s3": {"bucket": {"name": bucket or self.bucket}, "object": {"key": key}}}

    def tell(self, body):
        self.sqs.send_message(QueueUrl=self.url, MessageBody=json.dumps(body))

    def run(self, **limits):
        # Each message is received once a run, though it would come again at once.
        queue = ObjectQueue(self.url, most=self.waiting() or 1)
        incremental = Incremental(self.source, consumer="c", state=self.state, close_after=1, patience=0, lease_seconds=600)
        with incremental.notified(queue, Limits(**limits)) as batch:
            if batch:
                self.sink.setdefault(batch.id, [each.key for each in batch.objects])
        return batch

    def waiting(self):
        told = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(told["Attributes"]["ApproximateNumberOfMessages"])


def test_objects_are_read_once_and_messages_deleted_when_they_are_known(aws):
    world = World()
    world.tell({"Event": "s3:TestEvent"})
    for name in ("dt=1/a b", "dt=1/a b", "dt=2/b", "dt=2/_SUCCESS"):
        world.put(name)
    world.tell({"Type": "Notification", "Message": json.dumps({"Records": [world.event("in/dt=2/gone")]})})
    world.tell({"Records": [world.event("in/dt=1/x", "ObjectRemoved:Delete"), world.event("elsewhere/y")]})
    assert [each.key for each in world.run(max_files=1).objects] == ["dt=1/a b"]
    assert world.waiting() == 1
    assert [each.key for each in world.run().objects] == ["dt=2/b"]
    assert world.waiting() == 0
    world.put("dt=3/c")
    world.run()
    world.put("dt=1/a b", b"again")
    batch = world.run()
    assert (batch.rewritten, [each["prefix"] for each in batch.late], world.waiting()) == (1, ["dt=1/"], 0)
    assert not world.run()


def test_a_message_that_cannot_be_understood_stays_and_is_told(aws):
    for wrong, said in [({"hello": 1}, "no notification"), ([], "no notification")]:
        world = World()
        world.tell(wrong)
        with pytest.raises(UnreadableMessageError, match=said):
            world.run()
        assert world.waiting() == 1
    world.sqs.purge_queue(QueueUrl=world.url)
    world.tell({"Records": [world.event("in/a", bucket="other")]})
    with pytest.raises(UnreadableMessageError, match="notifications of bucket other"):
        world.run()


def test_killed_anywhere_no_object_is_lost_or_double(aws):
    def make():
        world = World()
        world.put("dt=1/a")
        world.put("dt=2/b")
        return world

    def job(world):
        world.state.delete(["_gluewright/leases/ledgers/c/source.json"])  # as if it had expired
        while world.run():
            pass

    def check(world):
        assert list(world.sink.values()) == [["dt=1/a", "dt=2/b"]]
        assert world.waiting() == 0

    assert every_kill_point(make, job, check, at=lambda each: each.kind != "storage.read") >= len(shared(range(8)))
