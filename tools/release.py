"""Release one package: ``hatch run release:make cdc_merge 0.2.0``; ``hatch run release:check`` looks whether all could be.

The version goes into ``__init__.py`` and the first line of each module that is copied, the changelog's fragments become a
section, and the distributions are built into ``dist/`` and looked at. The commit and its tag are left to whoever releases.
Refused are a release without fragments, a version that is not newer, and a recipe whose floor of gluewright-core nobody has
tested.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tools.conventions import Package, recipes_of
from tools.hatch import hatch, outside

ROOT = Path(__file__).parent.parent
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_FLOOR = re.compile(r"gluewright-core>=([\d.]+),<([\d.]+)")
_FRAGMENT = re.compile(r"\+?[\w.-]+\.(added|changed|fixed|removed)\.md")


def main() -> int:
    """Do what the command line says and return the exit code."""
    parser = argparse.ArgumentParser(prog="hatch run release:make", description="Release one package.")
    parser.add_argument("name", nargs="?", help="core, testing or a recipe, such as cdc_merge; none: check them all")
    parser.add_argument("version", nargs="?", help="such as 0.2.0")
    asked = parser.parse_args()
    packages = {package.name: package for package in every_package(ROOT)}
    if not asked.name:
        return _told([f"{name}: {problem}" for name in packages for problem in unfit(packages[name], packages["core"])])
    if asked.name not in packages or not asked.version:
        parser.error(f"name one of {', '.join(packages)}, and the version")
    package = packages[asked.name]
    problems = [*unfit(package, packages["core"]), *unready(package, asked.version)]
    if problems:
        return _told(problems)
    bump(package, asked.version)
    write_changelog(package, asked.version)
    problems = list(wrong_with(build(package), package, asked.version))
    if not problems:
        tag = f"{package.name}-{asked.version}"
        print(f"Look at `git diff`, then: git commit -am 'Release {tag}' && git tag {tag}")
    return _told(problems)


def every_package(root: Path) -> Iterator[Package]:
    """List what is released.

    Args:
        root: the repository.
    """
    yield from (Package(root / name) for name in ("core", "testing"))
    yield from recipes_of(root)


def unfit(package: Package, core: Package) -> Iterator[str]:
    """Say why no version of a package could be released now: its floor, its fragments.

    Args:
        package: which.
        core: as it is in this repository.
    """
    for fragment in _fragments(package):
        if not _FRAGMENT.fullmatch(fragment.name):
            yield f"changelog.d/{fragment.name} is no fragment; call it +<what>.<added, changed, fixed or removed>.md"
        elif not fragment.read_text(encoding="utf-8").strip():
            yield f"changelog.d/{fragment.name} says nothing"
    if "gluewright-core" not in " ".join(package.project["project"]["dependencies"]):
        return
    floor = floor_of(package)
    if floor is None:
        yield "depends on gluewright-core without a floor and a ceiling, such as gluewright-core>=0.2,<1"
    elif not _reaches(core.version, floor):
        yield f"needs gluewright-core {floor}, and this repository has {core.version} only"
    elif core.version != first_version(floor):
        # The tests of every day run against the core of the repository; an older floor has to be tried on its own.
        yield from _fails_on_floor(package, floor)


def floor_of(package: Package) -> str | None:
    """Return the least core that a package says it can do with, such as ``0.2``.

    Args:
        package: which.
    """
    found = _FLOOR.search(" ".join(package.project["project"]["dependencies"]))
    return found[1] if found else None


def first_version(floor: str) -> str:
    """Return the first version that a floor lets in: 0.2.0 of 0.2.

    Args:
        floor: two or three numbers.
    """
    return ".".join([*floor.split("."), "0", "0"][:3])


def build_floor(floor: str, folder: Path) -> Path | None:
    """Build the wheel of the core that a floor names, from its tag; None if there is none.

    Args:
        floor: such as ``0.2``.
        folder: where the wheel goes.
    """
    tag = f"core-{first_version(floor)}"
    if not _git("tag", "--list", tag):
        return None
    with tempfile.TemporaryDirectory() as source:
        with tarfile.open(fileobj=io.BytesIO(_git("archive", tag, "core"))) as archive:
            archive.extractall(source, filter="data")
        command = [*hatch(), "build", "--target", "wheel", str(folder)]
        subprocess.run(command, cwd=Path(source, "core"), env=outside(), check=True)
    return next(folder.glob(f"gluewright_core-{first_version(floor)}-*.whl"))


def unready(package: Package, version: str) -> Iterator[str]:
    """Say why this version of a package cannot be released.

    Args:
        package: which.
        version: the new one.
    """
    text = (package.folder / "CHANGELOG.md").read_text(encoding="utf-8")
    if not _VERSION.fullmatch(version):
        yield f"{version!r} is no version; say for example 0.2.0"
    elif f"## {version} " in text or not _reaches(version, package.version):
        yield f"{version} is not newer than {package.version}"
    if not _fragments(package):
        yield f"changelog.d is empty: what does a user of {package.distribution} notice?"


def bump(package: Package, version: str) -> None:
    """Write the version where it stands.

    Args:
        package: whose.
        version: the new one.
    """
    mark = f"# {package.distribution} "
    for file in package.source.rglob("*.py"):
        text = old = file.read_text(encoding="utf-8")
        if text.startswith(mark):
            place = file.relative_to(package.source).as_posix()
            text = f"{mark}{version} {place}\n{text.partition(chr(10))[2]}"
        if file == package.source / "__init__.py":
            text = re.sub(r'^__version__ = ".+"$', f'__version__ = "{version}"', text, flags=re.MULTILINE)
        if text != old:
            file.write_text(text, encoding="utf-8")


def write_changelog(package: Package, version: str) -> None:
    """Make the fragments a section of the changelog.

    Args:
        package: whose.
        version: the new one.
    """
    today = datetime.now(UTC).date().isoformat()
    towncrier = [sys.executable, "-m", "towncrier", "build", "--yes", "--config", str(ROOT / "pyproject.toml")]
    told = ["--dir", str(package.folder), "--version", version, "--date", today]
    subprocess.run([*towncrier, *told], cwd=ROOT, check=True)


def build(package: Package) -> list[Path]:
    """Build a package into ``dist/``: sdist, wheel, and the wheel as a zip."""
    dist = ROOT / "dist" / package.name
    subprocess.run([*hatch(), "build", "--clean", str(dist)], cwd=package.folder, env=outside(), check=True)
    for wheel in list(dist.glob("*.whl")):
        (dist / f"{'-'.join(wheel.name.split('-')[:2])}.zip").write_bytes(wheel.read_bytes())
    return sorted(file for file in dist.iterdir() if file.suffix in {".gz", ".whl", ".zip"})


def wrong_with(built: list[Path], package: Package, version: str) -> Iterator[str]:
    """Say what is wrong with built distributions.

    Args:
        built: the files.
        package: which.
        version: that they are to have.
    """
    expected = f"gluewright_{package.name}-{version}"
    if sorted(file.suffix for file in built) != [".gz", ".whl", ".zip"] or any(expected not in file.name for file in built):
        yield f"built {[file.name for file in built]}, expected an sdist, a wheel and a zip of {expected}"
        return
    archive = next(file for file in built if file.suffix == ".zip")
    names = zipfile.ZipFile(archive).namelist()
    if not {f"gluewright_{package.name}/__init__.py", f"gluewright_{package.name}/py.typed"} <= set(names):
        yield f"{archive.name} has no gluewright_{package.name} at its root"
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        yield f"{archive.name} has no LICENSE"
    program = f"import gluewright_{package.name} as it; print(it.__version__)"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(archive)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.stdout.strip() != version:
        yield f"imported from {archive.name} it says {ran.stdout.strip() or ran.stderr.strip()[-300:]!r}, expected {version}"


def _fails_on_floor(package: Package, floor: str) -> Iterator[str]:
    """Run a recipe's tests against the core that it says it can do with."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_floor(floor, Path(folder))
        if wheel is None:
            yield (
                f"its floor, gluewright-core {floor}, is no release: there is no tag core-{first_version(floor)}; "
                f"raise it to a tested one"
            )
            return
        # What is on this path goes before what is installed.
        path = os.pathsep.join([str(wheel), str(package.source.parent)])
        has_spark = importlib.util.find_spec("pyspark") is not None
        pytest = [sys.executable, "-m", "pytest"] if has_spark else [*hatch(), "run", "spark41:pytest"]
        tests = subprocess.run(
            [*pytest, "-q", str(package.folder / "tests")], cwd=ROOT, env=outside() | {"PYTHONPATH": path}, check=False
        )
        if tests.returncode != 0:
            yield f"its tests fail on gluewright-core {floor}; raise the floor"


def _fragments(package: Package) -> list[Path]:
    return sorted(file for file in (package.folder / "changelog.d").glob("*") if not file.name.startswith("."))


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def _reaches(version: str, floor: str) -> bool:
    return _numbers(version) >= _numbers(floor)


def _told(problems: list[str]) -> int:
    for problem in problems:
        print(f"refused: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
