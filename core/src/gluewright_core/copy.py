"""Copy a recipe into your own project: ``python -m gluewright_core.copy cdc_merge jobs/merging``.

What is copied is the recipe's folder without its job: it needs what comes with Glue and itself only, so it works under any
package's name. The licence goes beside it, and into ``.gluewright/`` the files as they were copied. Run again, the command
compares the three: what the installed version changed since, and what you changed.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from gluewright_core.errors import GluewrightError

PRISTINE = ".gluewright"
"""The folder inside a copy that has the files as they were copied."""
_VERSION = "version.json"


class CopyError(GluewrightError):
    """A recipe cannot be copied as asked; nothing was written."""


def main(argv: Sequence[str] | None = None) -> int:
    """Copy a recipe, or compare a copy with the installed version.

    Args:
        argv: the command line without the program's name.

    Returns:
        0; 1 after an error, or where a file could not be updated because you changed it too.
    """
    parser = argparse.ArgumentParser(
        prog="python -m gluewright_core.copy",
        description="Copy an installed recipe into a folder of your own; run again, see what changed.",
        epilog="example: python -m gluewright_core.copy cdc_merge jobs/merging",
    )
    parser.add_argument("recipe", help="such as cdc_merge")
    parser.add_argument("target", type=Path, help="the folder to make; its name becomes the package's")
    parser.add_argument("--update", action="store_true", help="take the installed version of files that you did not change")
    asked = parser.parse_args(argv)
    try:
        source = recipe_files(asked.recipe)
        if (asked.target / PRISTINE).is_dir():
            return _compare(asked.recipe, source, asked.target, update=asked.update)
        _copy(asked.recipe, source, asked.target)
    except CopyError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def recipe_files(recipe: str) -> dict[str, str]:
    """Return the files of an installed recipe that are copied, by their path inside it.

    Args:
        recipe: such as ``cdc_merge``.

    Raises:
        CopyError: there is no recipe of that name in this environment.
    """
    spec = importlib.util.find_spec(f"gluewright_{recipe}") if recipe.isidentifier() else None
    if spec is None or spec.origin is None or recipe in {"core", "testing"}:
        raise CopyError(f"no recipe {recipe} is installed here; install {_distribution(recipe)}")
    folder = Path(spec.origin).parent
    modules = [file.relative_to(folder) for file in sorted(folder.rglob("*.py"))]
    found = {place.as_posix(): (folder / place).read_text("utf-8") for place in modules if place.parts[0] != "job"}
    try:
        licence = metadata.distribution(_distribution(recipe)).read_text("licenses/LICENSE")
    except metadata.PackageNotFoundError:
        raise CopyError(f"{folder} is not installed, so its licence is not there; install the wheel") from None
    return found | ({"LICENSE": licence} if licence else {})


def _distribution(recipe: str) -> str:
    return f"gluewright-{recipe.replace('_', '-')}"


def _copy(recipe: str, source: Mapping[str, str], target: Path) -> None:
    if target.exists() and any(target.iterdir()):
        raise CopyError(f"{target} is not empty and no copy of a recipe; name a new folder")
    if not target.name.isidentifier():
        raise CopyError(f"{target.name!r} is no name for a package; use letters, digits and _")
    version = _version_of(source)
    for place, text in source.items():
        _write(target / place, text)
        _write(target / PRISTINE / f"{place}.txt", text)
    _write(target / PRISTINE / _VERSION, json.dumps({"recipe": recipe, "version": version}) + "\n")
    sys.stdout.write(f"Copied {len(source)} files of {_distribution(recipe)} {version} to {target}. To use it:\n\n")
    sys.stdout.write(f"{_usage(source, recipe, target.name)}\n")


def _compare(recipe: str, source: Mapping[str, str], target: Path, *, update: bool) -> int:
    """Show what upstream changed and what the user changed, and take upstream's files where asked and safe."""
    pristine = target / PRISTINE
    if not (pristine / _VERSION).exists():
        raise CopyError(f"{target} is a copy that was not finished; remove it and copy again")
    if (copied := json.loads((pristine / _VERSION).read_text("utf-8"))["recipe"]) != recipe:
        raise CopyError(f"{target} is a copy of {copied}, not of {recipe}")
    known = {file.relative_to(pristine).as_posix().removesuffix(".txt"): file for file in sorted(pristine.rglob("*.txt"))}
    both = 0
    for place in sorted({*source, *known}):
        base = known[place].read_text("utf-8") if place in known else ""
        file = target / place
        own = file.read_text("utf-8") if file.exists() else ""
        theirs = source.get(place, "")
        if own not in {base, theirs}:
            _show(base, own, f"{place}: you changed")
        if theirs != base:
            _show(base, theirs, f"{place}: version {_version_of(source)} changed")
        if theirs == base or not update:
            continue
        if own not in {base, theirs}:
            both += 1
            sys.stderr.write(f"{place} was changed here and upstream: merge it by hand\n")
            continue
        _replace(file, theirs)
        _replace(pristine / f"{place}.txt", theirs)
    if update and not both:
        _write(pristine / _VERSION, json.dumps({"recipe": recipe, "version": _version_of(source)}) + "\n")
    return 1 if both else 0


def _show(before: str, after: str, title: str) -> None:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), title, title, lineterm="", n=2)
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _replace(file: Path, text: str) -> None:
    if text:
        _write(file, text)
    else:
        file.unlink(missing_ok=True)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _version_of(source: Mapping[str, str]) -> str:
    found = re.search(r'^__version__ = "(.+)"$', source.get("__init__.py", ""), re.MULTILINE)
    return found[1] if found else "unknown"


def _usage(source: Mapping[str, str], recipe: str, name: str) -> str:
    """Return the example of the recipe's ``__init__``, as it reads under the copy's name."""
    return "\n".join(_example(source["__init__.py"])).replace(f"gluewright_{recipe}", name)


def _example(code: str) -> Iterator[str]:
    text = inspect.cleandoc((re.search(r'"""(.*?)"""', code, re.DOTALL) or ["", ""])[1])
    for line in text.splitlines():
        found = re.match(r"\s*(?:>>>|\.\.\.) ?(.*?)\s*(# doctest:.*)?$", line)
        if found:
            yield f"    {found[1]}"


if __name__ == "__main__":
    sys.exit(main())
