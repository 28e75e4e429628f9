"""Run the storage tests against an S3 server that shares no code with moto: ``hatch run s3check``.

The server is versitygw, built by Go once into the user's cache. It checks signatures, checksums and copy conditions
that moto lets pass.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gluewright_testing.aws import ENDPOINT_OVERRIDE
from gluewright_testing.cache import cache_folder, locked
from gluewright_testing.sessions import FAKE_CREDENTIALS

VERSION = "v1.8.0"
MODULE = "github.com/versity/versitygw/cmd/versitygw"


def main() -> int:
    """Run pytest on the tests marked ``independent_s3`` and return its exit code."""
    with running_versitygw(server_program()) as url:
        print(f"versitygw {VERSION} at {url}", flush=True)
        environment = os.environ | {ENDPOINT_OVERRIDE: url}
        command = [sys.executable, "-m", "pytest", "-m", "independent_s3", *sys.argv[1:]]
        return subprocess.run(command, env=environment, check=False).returncode


def server_program() -> Path:
    """Return the server's program, built at the first call."""
    folder = cache_folder() / "versitygw" / VERSION
    program = folder / "versitygw"
    with locked(folder.parent / ".lock"):
        if not program.exists():
            if shutil.which("go") is None:
                sys.exit("The independent S3 server is built with Go, and `go` is not on PATH. Install Go 1.25 or newer.")
            print(f"Building versitygw {VERSION} into {folder}: a few minutes, once.", flush=True)
            building = os.environ | {"GOBIN": str(folder / "building")}
            subprocess.run(["go", "install", f"{MODULE}@{VERSION}"], env=building, check=True)
            (folder / "building" / "versitygw").replace(program)
    return program


@contextmanager
def running_versitygw(program: Path) -> Iterator[str]:
    """Run the server on a free port of this machine, with no buckets, and yield its URL."""
    user, password = FAKE_CREDENTIALS
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="versitygw-") as folder:
        objects, versions = Path(folder) / "objects", Path(folder) / "versions"
        objects.mkdir()
        versions.mkdir()
        command = [str(program), "--port", f"127.0.0.1:{port}", "--quiet"]
        command += ["posix", "--versioning-dir", str(versions), str(objects)]
        keys = {"ROOT_ACCESS_KEY": user, "ROOT_SECRET_KEY": password}
        server = subprocess.Popen(command, env=os.environ | keys)
        try:
            _wait_until_it_listens(server, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_listens(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit("versitygw did not start; its own message is above.")


if __name__ == "__main__":
    sys.exit(main())
