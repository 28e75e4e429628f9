"""Start a recipe: ``hatch run new cdc_merge``.

Writes ``recipes/cdc_merge`` and ``docs/recipes/cdc_merge.md`` from ``recipes/_template``: a small recipe that works, to be
rewritten into another. Every other name follows from the folder's.
"""

from __future__ import annotations

import argparse
import keyword
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# Packages and modules that exist beside every recipe's.
_TAKEN = {"job", "core", "testing", "flights"}


def main() -> int:
    """Write the recipe that the command line names and return the exit code."""
    parser = argparse.ArgumentParser(prog="hatch run new", description="Start a recipe from the template.")
    parser.add_argument("name", help="in snake case, such as cdc_merge; the last word names the first module, here merge.py")
    name = parser.parse_args().name
    folder, page = ROOT / "recipes" / name, ROOT / "docs" / "recipes" / f"{name}.md"
    idea = name.split("_")[-1]
    if not _NAME.fullmatch(name) or idea in _TAKEN or keyword.iskeyword(idea):
        parser.error(f"{name!r} is no name for a recipe. Use small letters, digits and single _, such as cdc_merge.")
    for path in (folder, page):
        if path.exists():
            parser.error(f"{path.relative_to(ROOT)} exists already.")
    write(name, folder, page)
    print(f"Wrote {folder.relative_to(ROOT)} and {page.relative_to(ROOT)}.")
    print(f"Try it with `hatch run test:fast recipes/{name}`, then rewrite it.")
    return 0


def write(name: str, folder: Path, page: Path) -> None:
    """Fill the template in.

    Args:
        name: the recipe's name.
        folder: where the package goes.
        page: where its page of the guide goes.
    """
    template = ROOT / "recipes" / "_template"
    words = {"recipe": name, "distribution": f"gluewright-{name.replace('_', '-')}", "idea": name.split("_")[-1]}
    for source in sorted((template / "recipe").rglob("*")):
        if source.is_file() and "__pycache__" not in source.parts:
            target = folder / _filled(str(source.relative_to(template / "recipe")), words)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_filled(source.read_text(encoding="utf-8"), words), encoding="utf-8")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(_filled((template / "page.md").read_text(encoding="utf-8"), words), encoding="utf-8")


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: words[found[1]], text)


if __name__ == "__main__":
    sys.exit(main())
