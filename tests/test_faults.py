"""Two worker processes behind the fault proxies lose nothing: the short form of `hatch run faults`."""

import json
import subprocess
import sys

from gluewright_testing.sharing import once
from tools.fault_audit import Audit
from tools.fault_worker import DATABASE, SHORT_TIMEOUTS, Task, Worker

pytestmark = once(0)


def test_four_pairs_lose_nothing():
    command = [sys.executable, "-m", "tools.faults", "--pairs", "4", "--server", "moto", "--lanes", "1", "--minutes", "1"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    result = json.loads(run.stdout.splitlines()[-1])
    assert run.returncode == 0, run.stderr
    assert result == {"pairs": 4, "faults": result["faults"], "lost_updates": 0, "dead_files": 0, "met": True}
    assert result["faults"] > 0


def test_the_audit_finds_a_lost_increment_one_too_many_and_a_file_that_is_gone(s3_server):
    from gluewright_core.tables.catalog_glue import GlueDataCatalog

    s3_server.bucket("lake")
    glue, s3 = s3_server.client("glue"), s3_server.client(config=SHORT_TIMEOUTS)
    glue.create_database(DatabaseInput={"Name": DATABASE})
    worker = Worker("s3://lake/here", s3, GlueDataCatalog(glue))
    audit = Audit(worker, glue)
    task, lost, refused = (Task("partitioned", "t", run) for run in ("r1", "r2", "r3"))
    audit.prepare(task)
    assert worker.perform(task).outcomes == {"published": 1}
    audit.note(task, told=True)
    assert audit.check() == ([], [])

    audit.note(lost, told=True)
    worker.perform(refused)
    found, dead = audit.check()
    assert [text.split(" is in")[0] for text in found] == ["t: the increment of run r2", "t: the increment of run r3"]
    assert dead == []

    for each in s3.list_objects_v2(Bucket="lake", Prefix="here/gluewright-runs/t/r3-")["Contents"]:
        s3.delete_object(Bucket="lake", Key=each["Key"])
    assert len(audit.check()[1]) == 1


def test_the_audit_finds_an_object_that_a_sink_has_twice_or_not_at_all(s3_server):
    s3_server.bucket("lake")
    worker = Worker("s3://lake/here", s3_server.client(config=SHORT_TIMEOUTS), None)
    audit, task = Audit(worker, None), Task("ledger", "c", "unused")
    audit.prepare(task)
    assert len(audit.check()[0]) == 3
    assert worker.perform(task).outcomes == {"read everything": 1}
    assert audit.check() == ([], [])
    s3_server.client().put_object(Bucket="lake", Key="here/sinks/c/dt=000/0001.csv@another", Body=b"")
    assert audit.check()[0] == ["c: dt=000/0001.csv is in the sink 2 times"]
