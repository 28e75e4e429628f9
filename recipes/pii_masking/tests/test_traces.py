"""The key and the plain values are nowhere: a job in a process of its own, and all that it leaves behind."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import sys

from gluewright_pii_masking.masking import derived, pads
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


def written(secret):
    """Return every way in which bytes might be written."""
    signed = [byte - 256 if byte > 127 else byte for byte in secret]
    lists = [separator.join(map(str, numbers)) for numbers in (list(secret), signed) for separator in (", ", ",", " ")]
    texts = [secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:-1], " ".join(f"{byte:02x}" for byte in secret)]
    return [secret, *(text.encode().lower() for text in (*texts, *lists))]


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
    keys = [SECRET, *(derived(SECRET, purpose) for purpose in ("aes", "iv", "vault"))]
    keys += [pad for purpose in (SECRET, *keys[2:]) for pad in pads(purpose)]
    wanted = [*itertools.chain.from_iterable(map(written, keys)), *(text.lower().encode() for text in PLAIN)]
    for place, content in found.items():
        lower = content.lower()
        for text in wanted:
            assert text not in content and text not in lower, f"{place} has {text[:20]!r}"
