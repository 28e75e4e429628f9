"""The conventions of the repository, checked: what follows from a folder's name, and what a recipe may import."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A recipe's folder without job/ is copied into other jobs: it may import itself, relatively, and what Glue has anyway.
_COPIED_MAY_IMPORT = {*sys.stdlib_module_names, "pyspark", "boto3", "botocore"}
_COMES_WITH_GLUE = {"pyspark", "boto3"}
_SPDX = "# SPDX-License-Identifier: Apache-2.0"
_KNOWS_AWSGLUE = "core/src/gluewright_core/session.py"
_MOST_LINES = 300
"""Of a module, so that it has one subject and can be read in one sitting."""
_STILL_LONG = {
    "core/src/gluewright_core/dataset.py": 360,
    "core/src/gluewright_core/storage/s3.py": 321,
    "core/src/gluewright_core/tables/catalog_glue.py": 334,
    "core/src/gluewright_core/tables/delta.py": 337,
    "core/src/gluewright_core/tables/iceberg.py": 343,
    "examples/flights/src/gluewright_flights/job.py": 302,
    "recipes/incremental/src/gluewright_incremental/job/incremental.py": 506,
    "recipes/incremental/src/gluewright_incremental/ledger.py": 432,
    "recipes/reprocessing/src/gluewright_reprocessing/job/reprocessing.py": 501,
    "recipes/single_file_output/src/gluewright_single_file_output/single_file.py": 1429,
    "testing/src/gluewright_testing/interleavings.py": 474,
}
"""Modules from before that rule. They may become shorter, and leave this list."""


@dataclass(frozen=True)
class Package:
    """One folder that becomes a distribution."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name, from which the others follow."""
        return self.folder.name

    @property
    def distribution(self) -> str:
        """Its name on PyPI."""
        return f"gluewright-{self.name.replace('_', '-')}"

    @property
    def source(self) -> Path:
        """The folder that is imported."""
        return self.folder / "src" / f"gluewright_{self.name}"

    @property
    def project(self) -> dict[str, Any]:
        """The parsed pyproject.toml."""
        return tomllib.loads((self.folder / "pyproject.toml").read_text(encoding="utf-8"))

    @property
    def version(self) -> str:
        """The version that its ``__init__`` declares."""
        found = re.search(r'^__version__ = "(.+)"$', (self.source / "__init__.py").read_text(), re.MULTILINE)
        return found[1] if found else ""

    def copied(self) -> list[Path]:
        """List the modules that are copied into other jobs: all of a recipe except its job."""
        return [file for file in sorted(self.source.rglob("*.py")) if file.relative_to(self.source).parts[0] != "job"]

    def shown(self, page: Path) -> list[Path]:
        """List the modules whose source a page shows.

        Args:
            page: of the guide.
        """
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        return [file for file in self.copied() if f"/{self.source.name}/{file.relative_to(self.source).as_posix()}" in text]


def recipes_of(root: Path) -> list[Package]:
    """List the recipes.

    Args:
        root: the repository.
    """
    return [Package(folder) for folder in sorted((root / "recipes").glob("[a-z]*")) if folder.is_dir()]


def problems(root: Path) -> list[str]:
    """Return what breaks a convention, each with its place, or nothing.

    Args:
        root: the repository.
    """
    recipes = recipes_of(root)
    examples = [Package(folder) for folder in sorted((root / "examples").glob("[a-z]*")) if folder.is_dir()]
    # The template alone makes a repository of recipes: core may be installed from elsewhere.
    shared = [Package(root / name) for name in ("core", "testing") if (root / name).is_dir()]
    found: list[str] = []
    for package in [*shared, *recipes, *examples]:
        released = package not in examples
        found += [f"{package.folder.relative_to(root)}: {problem}" for problem in _of_package(package, released=released)]
        if released:
            found += [f"{package.folder.relative_to(root)}: {problem}" for problem in _of_release(package, root)]
    for package in recipes:
        page = root / "docs" / "recipes" / f"{package.name}.md"
        found += [f"recipes/{package.name}: {problem}" for problem in _of_recipe(package, page)]
    for file in sorted(root.glob("*/src/**/*.py")) + sorted(root.glob("*/*/src/**/*.py")):
        place = file.relative_to(root).as_posix()
        lines, most = len(file.read_text(encoding="utf-8").splitlines()), _STILL_LONG.get(place, _MOST_LINES)
        if lines > most:
            found.append(f"{place}: has {lines} lines; split it, a module has at most {most}")
        if place != _KNOWS_AWSGLUE and "awsglue" in _imported(file):
            found.append(f"{place}: imports awsglue; only {_KNOWS_AWSGLUE} does")
    return found


def _of_package(package: Package, *, released: bool) -> Iterator[str]:
    if not (package.folder / "pyproject.toml").exists() or not (package.source / "__init__.py").exists():
        yield f"has no pyproject.toml or no {package.source.relative_to(package.folder)}/__init__.py"
        return
    project = package.project["project"]
    if project["name"] != package.distribution:
        yield f"is called {project['name']}; the folder's name makes it {package.distribution}"
    # The testing kit starts AWS doubles, on machines that are not Glue.
    for forbidden in _COMES_WITH_GLUE - ({"boto3"} if package.name == "testing" else set()):
        if any(re.match(rf"{forbidden}\b", needed) for needed in project["dependencies"]):
            yield f"depends on {forbidden}, which comes with Glue"
    needed_files = [package.folder / "README.md", package.source / "py.typed"]
    for file in needed_files + ([package.folder / "CHANGELOG.md"] if released else []):
        if not file.exists():
            yield f"has no {file.relative_to(package.folder)}"
    if released and (package.folder / "README.md").exists():
        heading = (package.folder / "README.md").read_text(encoding="utf-8").partition("\n")[0]
        if heading != f"# {package.distribution}":
            yield f"README.md begins with {heading!r}; `# {package.distribution}` heads its page"


def _of_release(package: Package, root: Path) -> Iterator[str]:
    """Check what a wheel carries: the licence, and addresses where the repository has one."""
    licence, roots = package.folder / "LICENSE", root / "LICENSE"
    if not licence.exists():
        yield "has no LICENSE, which its wheel is to carry; copy the repository's"
    elif roots.exists() and licence.read_bytes() != roots.read_bytes():
        yield "has another LICENSE than the repository"
    found, expected = package.project["project"].get("urls", {}), urls_of(root, package)
    if found != expected:
        yield f"has the addresses {found}, expected {expected}; run `hatch run urls`"


def urls_of(root: Path, package: Package) -> dict[str, str]:
    """Return the addresses that a package's wheel names, or none while the repository has no public address.

    Args:
        root: the repository; its pyproject.toml has the address in ``[tool.gluewright]``.
        package: which.
    """
    settings = root / "pyproject.toml"
    tool = tomllib.loads(settings.read_text(encoding="utf-8")).get("tool", {}) if settings.exists() else {}
    address = str(tool.get("gluewright", {}).get("repository", "")).rstrip("/")
    if not address:
        return {}
    folder = package.folder.relative_to(root).as_posix()
    return {
        "Repository": address,
        "Issues": f"{address}/issues",
        "Documentation": f"{address}/blob/main/{folder}/README.md",
        "Changelog": f"{address}/blob/main/{folder}/CHANGELOG.md",
    }


def _of_recipe(package: Package, page: Path) -> Iterator[str]:
    for file in package.copied():
        place = file.relative_to(package.source).as_posix()
        mark = [f"# {package.distribution} {package.version} {place}", _SPDX]
        if file.read_text(encoding="utf-8").splitlines()[:2] != mark:
            yield f"{place} does not begin with the lines `{mark[0]}` and `{mark[1]}`"
        for name in sorted(_imported(file) - _COPIED_MAY_IMPORT):
            yield f"{place} imports {name}; what is copied imports the standard library, pyspark, boto3 and itself"
        if "job" in _relatives(file):
            yield f"{place} imports the job, which is not copied"
    for needed in ("job/__init__.py", "job/__main__.py"):
        if not (package.source / needed).exists():
            yield f"has no {needed}"
    for test in ("test_job.py", "test_readme.py", "bare_job.py"):
        if not (package.folder / "tests" / test).exists():
            yield f"has no tests/{test}"
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    for shown in (f"recipes/{package.name}/README.md", f"::: gluewright_{package.name}"):
        if shown not in text:
            yield f"docs/recipes/{page.name} does not show {shown}"
    if not package.shown(page):
        yield f"docs/recipes/{page.name} shows no module of the recipe"


def _imported(file: Path) -> set[str]:
    """Return the top-level packages that a file imports, anywhere in it, other than relatively."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def _relatives(file: Path) -> set[str]:
    """Return the modules beside a file that it imports relatively."""
    found = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    modules = {(node.module or "").partition(".")[0] for node in found if node.level}
    return modules | {alias.name for node in found if node.level and not node.module for alias in node.names}
