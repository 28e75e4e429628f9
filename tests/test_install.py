"""Install one, copy one: each recipe with core's floor alone, the zips of all on a cluster, each recipe's folder under
another package's name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pyspark
import pytest
from packaging.requirements import Requirement

from gluewright_testing.cluster import standalone_cluster
from gluewright_testing.java import ensure_java
from gluewright_testing.sharing import once, shared
from tools.conventions import Package, recipes_of
from tools.release import build_floor, first_version, floor_of

HERE = Path(__file__).parent
ROOT = HERE.parent
# A new recipe is made in the repository that is built: it is held to the same.
RECIPES = [*(recipe.name for recipe in recipes_of(ROOT)), "throw_away"]
README_RUNNER = ROOT / "testing" / "src" / "gluewright_testing" / "readme.py"
LOCAL = {
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}
QUICK = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}


def installed_with(*names):
    """The distributions of these names and what they need, as folders and modules of site-packages."""
    found, left = {}, list(names)
    while left:
        name = left.pop()
        if name not in found:
            found[name] = metadata.distribution(name)
            needed = [Requirement(text) for text in found[name].requires or ()]
            left += [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    for distribution in found.values():
        tops = {file.parts[0] for file in distribution.files if file.parts[0] != ".." and "__pycache__" not in file.parts[0]}
        yield from (Path(distribution.locate_file(top)) for top in tops)


@pytest.fixture(scope="module")
def glue(tmp_path_factory):
    """A folder with what is there on Glue anyway: pyspark and boto3."""
    folder = tmp_path_factory.mktemp("glue")
    for place in installed_with("pyspark", "boto3"):
        (folder / place.name).symlink_to(place)
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Make an environment that sees a folder, and nothing of the environment of these tests."""

    def make(*sees):
        folder = tmp_path_factory.mktemp("environment")
        done([os.environ["HATCH_UV"], "venv", "--quiet", "--no-project", "--python", sys.executable, folder / "venv"])
        (site,) = (folder / "venv").glob("lib/python*/site-packages")
        (site / "glue.pth").write_text("".join(f"{place}\n" for place in sees))
        return folder / "venv" / "bin" / "python"

    return make


@pytest.fixture(scope="module")
def floors(tmp_path_factory):
    """A folder with the wheels of core that recipes say they can do with, where that is not the core of the repository."""
    folder = tmp_path_factory.mktemp("floors")
    older = {floor_of(recipe) for recipe in recipes_of(ROOT)} - {None}
    for floor in sorted(floor for floor in older if first_version(floor) != Package(ROOT / "core").version):
        assert build_floor(floor, folder), f"there is no tag of gluewright-core {floor}"
    return folder


def done(command, **more):
    run = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **more)
    assert run.returncode == 0, f"{run.stdout[-3000:]}\n{run.stderr[-5000:]}"
    return run.stdout


def alone(python, script, *arguments, cwd):
    """Run an application on a local session, with a Python that sees its own environment only."""
    ensure_java(pyspark.__version__)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SPARK", "PYSPARK"))}
    conf = " ".join(f"--conf {name}={value}" for name, value in (LOCAL | QUICK).items())
    settings = {"PYSPARK_PYTHON": str(python), "PYSPARK_SUBMIT_ARGS": f"{conf} pyspark-shell", "SPARK_LOCAL_IP": "127.0.0.1"}
    return done([python, "-I", script, *arguments], cwd=cwd, env=own | settings)


@pytest.mark.parametrize("recipe", shared(RECIPES))
def test_a_recipe_alone_with_the_floor_of_core_does_what_its_readme_says(recipe, built, floors, glue, python, tmp_path):
    package = Package(built / "recipes" / recipe)
    (wheel,) = built.glob(f"dist/gluewright_{recipe}-*.whl")
    environment = python(glue)
    install = [os.environ["HATCH_UV"], "pip", "install", "--quiet", "--python", environment, "--no-index"]
    done([*install, "--resolution", "lowest", "--find-links", floors, "--find-links", built / "dist", wheel])
    installed = done([os.environ["HATCH_UV"], "pip", "list", "--python", environment, "--format", "json"])
    assert {each["name"]: each["version"] for each in json.loads(installed)} == {
        "gluewright-core": first_version(floor_of(package)),
        package.distribution: package.version,
    }
    readme = built / "recipes" / recipe / "README.md"
    told = alone(environment, HERE / "readme_application.py", README_RUNNER, readme, tmp_path, cwd=tmp_path)
    assert told.splitlines()[-1].endswith("examples")


@pytest.mark.parametrize("wheel", ["core", "testing", "flights", *RECIPES])
def test_a_wheel_carries_its_licence_and_says_which(wheel, built):
    (file,) = built.glob(f"dist/gluewright_{wheel}-*.whl")
    with zipfile.ZipFile(file) as archive:
        (licence,) = (name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
        told = archive.read(licence.replace("licenses/LICENSE", "METADATA")).decode()
    assert "\nLicense-Expression: Apache-2.0\nLicense-File: LICENSE\n" in told


def test_the_page_about_installing_installs_from_a_checkout(built, tmp_path):
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    block = re.search(r"```bash\nhatch run build.*?```", page, re.DOTALL)[0]
    ours = [line for line in block.splitlines() if "--no-index" in line]
    assert len(ours) == 1
    (tmp_path / "dist").symlink_to(built / "dist")
    done([sys.executable, "-m", "venv", tmp_path / ".venv"])
    done(["bash", "-ec", ours[0]], cwd=tmp_path)
    assert {each["name"] for each in json.loads(done([".venv/bin/pip", "list", "--format", "json"], cwd=tmp_path))} >= {
        "gluewright-core",
        "gluewright-single-file-output",
    }


def test_no_page_tells_to_install_our_packages_from_pypi():
    listed = done(["git", "ls-files", "*.md"], cwd=ROOT).split()
    pages = [ROOT / name for name in listed if "changelog" not in name.lower() and (ROOT / name).exists()]
    for page in pages:
        for line in page.read_text(encoding="utf-8").splitlines():
            installs = re.search(r"pip install .*\bgluewright-", line)
            assert not installs or "--no-index" in line, f"{page}: {line}"


def test_the_versions_on_the_pages_are_those_of_the_packages():
    for page in ("docs/install.md", "docs/guide/from_5_1_to_6_0.md", "testing/README.md"):
        for name, version in re.findall(r"gluewright_(\w+?)-(\d[\d.]*\d)\b", (ROOT / page).read_text(encoding="utf-8")):
            folder = ROOT / name if name in {"core", "testing"} else ROOT / "recipes" / name
            assert version == Package(folder).version, f"{page} names {name} {version}"


def todo(folder, built, package, copies=()):
    """What the application is to do: every bare job, with its recipe's folder as a package of this name."""
    jobs = {
        recipe.name: {
            "bare_job": str(recipe.folder / "tests" / "bare_job.py"),
            "package": package(recipe),
            "modules": [".".join([package(recipe), *module_of(recipe, file)]) for file in recipe.copied()],
        }
        for recipe in recipes_of(built)
    }
    assert list(jobs) == sorted(RECIPES)
    (folder / "used").mkdir()
    file = folder / "todo.json"
    file.write_text(json.dumps({"recipes": jobs, "folder": str(folder / "used"), "copies": list(map(str, copies))}))
    return file


def module_of(recipe, file):
    """The parts of a module's name below its package: none for the package itself."""
    return [part for part in file.relative_to(recipe.source).with_suffix("").parts if part != "__init__"]


def told(output, what):
    return [line.removeprefix(what).strip() for line in output.splitlines() if line.startswith(f"{what} ")]


@once(1, days=2)
def test_the_zips_of_all_recipes_are_enough_on_a_cluster(built, glue, tmp_path):
    file = todo(tmp_path, built, lambda recipe: f"gluewright_{recipe.name}")
    zips = sorted(built.glob("dist/*.zip"))
    with standalone_cluster(tmp_path, python_path=[glue]) as cluster:
        run = cluster.submit(HERE / "folders_application.py", str(file), py_files=zips, conf=QUICK)
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
        assert cluster.executors() == 2
    assert [line.split()[0] for line in told(run.stdout, "used")] == sorted(RECIPES)
    imported = [json.loads(files) for who in ("driver", "executor") for files in told(run.stdout, who)]
    assert len(imported) == 3, "the driver and two executors, each with its own copy"
    assert all(".zip/gluewright_" in file for files in imported for file in files)


@once(0, days=2)
def test_a_recipes_folder_works_under_another_name_where_nothing_of_ours_is(built, glue, python, tmp_path):
    copies = []
    for recipe in recipes_of(built):
        copies.append(tmp_path / "copies" / f"{recipe.name}.zip")
        copies[-1].parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(copies[-1], "w") as archive:
            for file in recipe.copied():
                archive.write(file, f"own_{recipe.name}/{file.relative_to(recipe.source)}")
    file = todo(tmp_path, built, lambda recipe: f"own_{recipe.name}", copies)
    output = alone(python(glue), HERE / "folders_application.py", file, cwd=tmp_path)
    assert [line.split()[0] for line in told(output, "used")] == sorted(RECIPES)
    assert told(output, "packages") == ["[]"]
