"""The part `hive`: a catalog that outlives the process, as a local run of a job needs it."""

import subprocess
import sys

from gluewright_testing.sharing import once

PROGRAM = """
import sys
from pathlib import Path
from gluewright_testing.sessions import start_session
spark = start_session("hive", workspace=Path(sys.argv[1]))
if sys.argv[2] == "write":
    spark.createDataFrame([(1, "a"), (2, "b")], "id int, day string").write.saveAsTable("kept", partitionBy="day")
print("rows", sorted(map(tuple, spark.table("kept").collect())), spark.table("kept").inputFiles()[0])
"""


@once(0, days=2)
def test_the_next_process_finds_the_tables_and_nothing_lands_in_the_current_folder(tmp_path):
    workspace, current = tmp_path / "workspace", tmp_path / "current"
    current.mkdir()
    for does in ("write", "read"):
        command = [sys.executable, "-c", PROGRAM, str(workspace), does]
        run = subprocess.run(command, cwd=current, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        assert "rows [(1, 'a'), (2, 'b')]" in run.stdout
        assert f"{workspace}/warehouse/kept/" in run.stdout
    assert list(current.iterdir()) == []
