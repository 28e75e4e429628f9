"""The key and the plain values are nowhere: a job in a process of its own, and all that it leaves behind."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gluewright_pii_masking.keys import derived, pads
from gluewright_testing.sharing import once

SECRET = bytes((7 * n + 200) % 256 for n in range(40))
PLAIN = ["lovelace@example.org", "4929-5555-0199-1234", "Wollstonecraft", "+44-7700-900123"]

# Runs the job well, shows the plan in every mode, then runs into a failure while rows are masked. What Python deletes is
# noted: a file that was there for a moment is on the disk all the same.
SCRIPT = """
import contextlib, os, pathlib, sys
from gluewright_core.job import run
from gluewright_core.secret import Secret
from gluewright_pii_masking.job import Arguments, main, masked
from gluewright_testing.sessions import start_session

folder = pathlib.Path(sys.argv[1])
spark = start_session(workspace=folder / "work", conf={
    "spark.eventLog.enabled": "true", "spark.eventLog.dir": (folder / "events").as_uri(), "spark.eventLog.compress": "false",
    "spark.eventLog.rolling.enabled": "false", "spark.local.dir": str(folder / "local"), "spark.log.level": "INFO",
})
rows = [(n, *PLAIN, {"A": "x", "a": "y"} if n == 50 else {}) for n in range(100)]
people = spark.createDataFrame(
    rows, "id int, email string, card string, name string, phone string, labels map<string,string>")
people.write.parquet(str(folder / "people"))

unlink = os.unlink
def noted(path, *more, **named):
    with contextlib.suppress(OSError), open(folder / "deleted", "ab") as file:
        file.write(pathlib.Path(path).read_bytes())
    unlink(path, *more, **named)
os.unlink = os.remove = noted
# The test would see it if a temporary file had the key in it.
spark.createDataFrame([("a canary",)], "a string").collect()

def arguments(policy):
    return [f"--source={folder}/people", "--target=default.masked", f"--location={folder.as_uri()}/masked",
            f"--policy={folder}/{policy}.json", "--key=env:MASKING_KEY", "--vault=default.vault",
            f"--vault_location={folder.as_uri()}/vault"]

run(main, Arguments, argv=arguments("good"))
asked = Arguments("people", "default.masked", f"{folder}/good.json", key=Secret("env:MASKING_KEY"))
shown = masked(spark.read.parquet(str(folder / "people")), asked)
for mode in ("simple", "extended", "codegen", "cost", "formatted"):
    shown.explain(mode=mode)
shown.orderBy("email").distinct().collect()
plan = shown._jdf.queryExecution()
print(repr(shown), repr(asked), plan.toString(), plan.logical().toJSON(), plan.executedPlan().toJSON())
print("the end of the good part", flush=True)
run(main, Arguments, argv=arguments("failing"))
"""


# Masks, rotates and decrypts while everything logs all it can, and writes down what can be asked about the process. Only
# standard input has the key.
LOUD_SCRIPT = """
import base64, logging, pathlib, sys, urllib.request
from gluewright_pii_masking import Encrypt, Keep, Key, Policy, Token, VaultToken, decrypt, mask, rotation, vault_entries
from gluewright_testing.sessions import start_session

folder = pathlib.Path(sys.argv[1])
key = Key.from_base64("k2", sys.stdin.read())
old = Key("k1", bytes(range(40)))
handler = logging.FileHandler(folder / "python.log")
logging.basicConfig(level=logging.DEBUG, handlers=[handler])
spark = start_session(workspace=folder / "work", conf={
    "spark.eventLog.enabled": "true", "spark.eventLog.dir": (folder / "events").as_uri(), "spark.eventLog.compress": "false",
    "spark.eventLog.rolling.enabled": "false", "spark.ui.enabled": "true", "spark.ui.port": "0",
    "spark.sql.planChangeLog.level": "WARN",
})
java = spark.sparkContext._jvm.java.util.logging
java.Logger.getLogger("py4j").setLevel(java.Level.ALL)
spark.sparkContext.setLogLevel("TRACE")
for name in (None, "py4j", "py4j.clientserver", "py4j.java_gateway"):
    logging.getLogger(name).setLevel(logging.DEBUG)

rows = [(1, "a", "b", "c", "d"), (2, "e", "f", "g", "h")]
people = spark.createDataFrame(rows, "id int, a string, b string, c string, d string")
actions = {"a": Token(), "b": Token(domain="x"), "c": Encrypt(), "d": Encrypt(deterministic=True)}
masked = mask(people, Policy({"id": Keep(), **actions}), key=key)
for mode in ("simple", "extended", "codegen", "cost", "formatted"):
    masked.explain(mode=mode)
masked.write.parquet(str(folder / "masked"))
masked.cache().count()
masked.createOrReplaceTempView("masked")
assert decrypt(spark.table("masked"), {"c": "string", "d": "string"}, [old, key]).where("c = 'g' and d = 'h'").count() == 1
assert rotation(people, Policy({"id": Keep(), **actions}), old=old, new=key).count() == 4
vault = Policy({"id": Keep(), **dict.fromkeys("abcd", VaultToken())})
assert vault_entries(people, vault, key=key).count() == 8

web = spark.sparkContext.uiWebUrl
app = f"{web}/api/v1/applications/{spark.sparkContext.applicationId}"
pages = ["environment", "jobs", "stages?details=true", "allexecutors", "storage/rdd", "sql?details=true&length=1000",
         "allmiscellaneousprocess", "executors/driver/threads"]
with open(folder / "pages", "wb") as file:
    for page in [app, *(f"{app}/{page}" for page in pages), f"{web}/environment/", f"{web}/SQL/", f"{web}/storage/"]:
        file.write(urllib.request.urlopen(page).read())
    for number in range(8):
        file.write(urllib.request.urlopen(f"{web}/SQL/execution/?id={number}").read())
with open(folder / "processes", "wb") as file:
    for process in ("self", spark.sparkContext._gateway.proc.pid):
        for name in ("environ", "cmdline"):
            file.write(pathlib.Path(f"/proc/{process}/{name}").read_bytes())
print("the end", flush=True)
spark.stop()
"""


def written(secret):
    """Return every way in which bytes might be written."""
    signed = [byte - 256 if byte > 127 else byte for byte in secret]
    lists = [separator.join(map(str, numbers)) for numbers in (list(secret), signed) for separator in (", ", ",", " ")]
    texts = [secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:-1], " ".join(f"{byte:02x}" for byte in secret)]
    # Inside longer base64, what a secret is written as depends on how many bytes stand in front.
    shifted = [base64.b64encode(bytes(shift) + secret + bytes(2)).decode()[4 : len(secret) // 3 * 4] for shift in range(3)]
    return [secret, *(text.encode().lower() for text in (*texts, *lists, *shifted))]


def forms_of_the_key(*purposes):
    derived_keys = [derived(SECRET, purpose) for purpose in purposes]
    both = [pad for key in (SECRET, *derived_keys) for pad in pads(key)]
    return list(itertools.chain.from_iterable(map(written, [SECRET, *derived_keys, *both])))


@once(1)
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
def test_at_the_most_verbose_log_levels_the_key_is_in_no_log_page_or_process(tmp_path):
    (tmp_path / "events").mkdir()
    (tmp_path / "script.py").write_text(LOUD_SCRIPT)
    with (tmp_path / "stdout").open("wb") as stdout, (tmp_path / "stderr").open("wb") as stderr:
        script = [sys.executable, tmp_path / "script.py", tmp_path]
        subprocess.run(script, input=base64.b64encode(SECRET), stdout=stdout, stderr=stderr, timeout=400)
    files = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*") if path.is_file()}
    found = {name: path.read_bytes() for name, path in files.items()}
    assert b"the end" in found["stdout"], found["stderr"][-5000:].decode()
    assert b"Command to send" in found["python.log"]
    assert b" TRACE " in found["stderr"] and b"Returning command" in found["stderr"]
    assert b"createDataFrame" in found["python.log"] and b"SPARK_" in found["processes"] and b"java" in found["processes"]
    for place, content in found.items():
        lower = content.lower()
        for text in forms_of_the_key("aes", "iv", "vault", "token x"):
            assert text not in content and text not in lower, f"{place} has {text[:20]!r}"


@once(1)
def test_no_plan_log_event_file_or_exception_has_the_key_or_a_plain_value(tmp_path):
    actions = {"id": "keep", "email": "token", "card": {"action": "encrypt", "deterministic": True}, "name": "encrypt"}
    actions["phone"] = "vault_token"
    good = {**actions, "labels{}.key": {"action": "token", "normalise": "lower"}, "labels{}.value": "drop"}
    # Two keys of a map become one token in one row: there Spark fails the job, and says which key it was.
    for name, columns in {"good": good, "failing": {**good, "labels{}.value": "keep"}}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"columns": columns}))
    for folder in ("events", "local"):
        (tmp_path / folder).mkdir()
    (tmp_path / "script.py").write_text(SCRIPT.replace("PLAIN", repr(PLAIN)))
    ran = subprocess.run(
        [sys.executable, tmp_path / "script.py", tmp_path],
        env={**os.environ, "MASKING_KEY": base64.b64encode(SECRET).decode()},
        capture_output=True,
        timeout=300,
    )
    assert b"the end of the good part" in ran.stdout, ran.stderr.decode()[-5000:]
    assert ran.returncode == 1 and b"duplicate" in ran.stderr.lower(), ran.stderr.decode()[-5000:]

    found = {"stdout": ran.stdout, "stderr": ran.stderr, "deleted": (tmp_path / "deleted").read_bytes()}
    # All there is but what has to be plain. (The files of a table lie beside its folder.)
    folders = [folder for folder in tmp_path.iterdir() if folder.is_dir() and folder.name != "people"]
    files = [path for folder in folders for path in folder.rglob("*")]
    found |= {str(path.relative_to(tmp_path)): path.read_bytes() for path in files if path.is_file()}
    tables = " ".join(path for path in found if path.endswith(".parquet"))
    assert "vault" in tables and "masked" in tables, tables
    (events,) = [content for path, content in found.items() if path.startswith("events/") and not path.endswith(".crc")]
    assert b"BroadcastNestedLoopJoin" in events and b"SparkListenerTaskEnd" in events
    assert b"a canary" in found["deleted"]
    wanted = [*forms_of_the_key("aes", "iv", "vault"), *(text.lower().encode() for text in PLAIN)]
    for place, content in found.items():
        lower = content.lower()
        for text in wanted:
            assert text not in content and text not in lower, f"{place} has {text[:20]!r}"
