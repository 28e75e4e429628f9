"""The job around it: from a folder into a folder, and the same again when it is run again."""

import pytest

from gluewright_core.job import run
from gluewright_core.landing import LandingError
from gluewright_testing.compare import assert_same_rows
from gluewright_testing.rows import rows
from gluewright_{{recipe}}.job import Arguments, main


def test_a_second_run_leaves_the_same_rows(spark, tmp_path):
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    rows(spark, "id bigint, at date", [(1, "2024-03-01"), (1, "2024-03-02"), (2, "2024-03-01")]).write.parquet(source)
    for _ in range(2):
        summary = run(main, Arguments, argv=["--source", source, "--target", target, "--key", "id", "--newest_by", "at"])
        assert summary.steps[0].counts() == {"read": 3, "written": 2}
        assert_same_rows(spark.read.parquet(target), [(1, "2024-03-02"), (2, "2024-03-01")])


def test_a_folder_without_files_is_an_error_and_the_target_stays(tmp_path):
    (tmp_path / "source").mkdir()
    argv = ["--source", f"{tmp_path}/source", "--target", f"{tmp_path}/target", "--key", "id", "--newest_by", "at"]
    with pytest.raises(LandingError, match="source"):
        run(main, Arguments, argv=argv)
    assert not (tmp_path / "target").exists()
