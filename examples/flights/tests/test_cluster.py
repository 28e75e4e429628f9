"""The same script on a cluster: a master and two workers of pip's pyspark, packages as zips."""

from __future__ import annotations

import zipfile
from pathlib import Path

import duckdb

import gluewright_cdc_merge
import gluewright_core
import gluewright_flights
import gluewright_incremental
import gluewright_pii_masking
import gluewright_reprocessing
import gluewright_single_file_output
from gluewright_flights import landing
from gluewright_testing.cluster import standalone_cluster
from gluewright_testing.sharing import once

RECIPES = (
    gluewright_cdc_merge,
    gluewright_incremental,
    gluewright_pii_masking,
    gluewright_reprocessing,
    gluewright_single_file_output,
)


def zipped(package, folder):
    source = Path(package.__file__).parent
    target = folder / f"{package.__name__}.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(source.rglob("*.py")):
            archive.write(file, file.relative_to(source.parent))
    return target


@once(0, days=2)
def test_the_script_runs_unchanged_on_a_cluster_with_its_packages_as_zips(tmp_path):
    landing.land(str(tmp_path / "landing"), last=landing.date(2013, 1, 3))
    packages = gluewright_core, *RECIPES, gluewright_flights
    zips = [zipped(package, tmp_path) for package in packages]
    script = Path(gluewright_flights.__file__).parent / "job.py"
    places = [f"--{name}={tmp_path / name}" for name in ("landing", "warehouse", "report")]
    with standalone_cluster(tmp_path) as cluster:
        run = cluster.submit(script, *places, py_files=zips, conf={"spark.sql.warehouse.dir": str(tmp_path / "databases")})
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
        assert cluster.executors() == 2

    written = f"{tmp_path}/warehouse/gluewright-runs/{{}}/*/*/*.parquet"
    query = duckdb.sql
    assert query(f"SELECT dt, count(*)::INT FROM '{written.format('flights')}' GROUP BY dt ORDER BY dt").fetchall() == [
        (landing.date(2013, 1, 1), 842),
        (landing.date(2013, 1, 2), 943),
        (landing.date(2013, 1, 3), 914),
    ]
    assert query(f"SELECT sum(flights)::INT FROM '{written.format('on_time')}'").fetchall() == [(2699,)]
    assert (tmp_path / "report" / "on_time.svg").exists()
