"""A cluster on this machine: a master and workers of pip's pyspark, and jobs that are submitted to it.

A local session hides what is missing on executors: there, driver and workers are one machine with one environment. Here the
Python of both sees Spark and what is handed to ``--py-files``, and no other package.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gluewright_testing.errors import ClusterStartError
from gluewright_testing.java import ensure_java

_CONF = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.executor.memory": "512m",
    "spark.executor.cores": "1",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
}
_PATIENCE = 120


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        master: its address, as ``--master`` takes it.
        environment: the variables that jobs are submitted with.
        folder: with the logs of the master and the workers, and the jobs' working directory.
    """

    master: str
    environment: Mapping[str, str]
    folder: Path

    def submit(
        self,
        script: Path,
        *arguments: str,
        py_files: Sequence[Path] = (),
        conf: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a script by ``spark-submit`` and wait until it ends.

        Args:
            script: the job.
            arguments: of the job.
            py_files: zips and modules for driver and executors.
            conf: Spark settings beside those that a small cluster needs.

        Returns:
            How it ended, with what it printed; the exit code is not looked at.
        """
        command = [str(_spark() / "bin" / "spark-submit"), "--master", self.master]
        command += ["--py-files", ",".join(map(str, py_files))] if py_files else []
        command += [part for name, value in (_CONF | dict(conf or {})).items() for part in ("--conf", f"{name}={value}")]
        return subprocess.run(
            [*command, str(script), *arguments],
            env=dict(self.environment),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def executors(self) -> int:
        """Count the executors that were launched since the cluster runs."""
        return (self.folder / "master.log").read_text(encoding="utf-8").count("Launching executor")


@contextmanager
def standalone_cluster(folder: Path, *, workers: int = 2, python_path: Sequence[Path] = ()) -> Iterator[Cluster]:
    """Start a master and workers with a core each, and end them with the body.

    Args:
        folder: for logs and what Spark writes beside the job's own output; it must exist.
        workers: how many.
        python_path: folders that driver and executors import from beside Spark's own, for what the real cluster brings.

    Yields:
        The cluster, when all its workers have registered.

    Raises:
        ClusterStartError: they have not within two minutes.
        JavaNotFoundError: there is no Java.

    Example:
        >>> with standalone_cluster(tmp_path) as cluster:
        ...     run = cluster.submit(Path("job.py"), "--day=2013-01-01", py_files=[Path("dist/ours-1.0.0.zip")])
        ...     assert run.returncode == 0, run.stderr
    """
    environment = _environment(folder, python_path)
    port, log = _free_port(), folder / "master.log"
    place = ("--host", "127.0.0.1", "--port", port, "--webui-port", _free_port())
    processes = [_start(environment, log, "master.Master", *place)]
    try:
        for number in range(workers):
            arguments = ("--host", "127.0.0.1", "--cores", "1", "--memory", "1g", "--webui-port", _free_port())
            output = folder / f"worker{number}.log"
            processes.append(_start(environment, output, "worker.Worker", *arguments, f"spark://127.0.0.1:{port}"))
        _until(lambda: log.read_text(encoding="utf-8").count("Registering worker") == workers, log)
        yield Cluster(f"spark://127.0.0.1:{port}", environment, folder)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(30)


def _spark() -> Path:
    import pyspark  # noqa: PLC0415 - slow, and not before a test asks for it

    return Path(pyspark.__file__).parent


def _environment(folder: Path, python_path: Sequence[Path]) -> dict[str, str]:
    import pyspark  # noqa: PLC0415

    ensure_java(pyspark.__version__)
    # Without -S the Python would see the packages of the environment that the tests run in.
    python = folder / "python"
    path = "".join(f":{place}" for place in python_path)
    starts = f'#!/bin/sh\nexport PYTHONPATH="$PYTHONPATH{path}"\nexec "{sys.executable}" -S "$@"\n'
    python.write_text(starts, encoding="utf-8")
    python.chmod(0o755)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SPARK", "PYSPARK"))}
    return own | {
        "SPARK_HOME": str(_spark()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(folder / "local"),
        "SPARK_WORKER_DIR": str(folder / "work"),
        "SPARK_LOG_DIR": str(folder),
        "SPARK_DAEMON_MEMORY": "256m",
        "PYSPARK_PYTHON": str(python),
    }


def _start(environment: Mapping[str, str], log: Path, name: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [str(_spark() / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *arguments]
    with log.open("wb") as output:
        return subprocess.Popen(command, env=dict(environment), stdout=output, stderr=subprocess.STDOUT)


def _until(condition: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            told = log.read_text(encoding="utf-8")[-3000:]
            raise ClusterStartError(f"Not all workers registered within {_PATIENCE} s. The master's log ends with\n{told}")
        time.sleep(0.2)


def _free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])
