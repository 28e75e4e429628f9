"""Write the repository's address into the metadata of every package: ``hatch run urls``.

The address is `repository` in ``[tool.gluewright]`` of the root pyproject.toml. While it is empty the packages name none.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tools.conventions import Package, recipes_of, urls_of

ROOT = Path(__file__).parent.parent
_TABLE = re.compile(r"\n\[project\.urls\]\n(?:[^\[\n].*\n)*")


def main() -> int:
    """Rewrite each package's addresses, say which changed, and return the exit code."""
    for package in [Package(ROOT / "core"), Package(ROOT / "testing"), *recipes_of(ROOT)]:
        if write_urls(package, urls_of(ROOT, package)):
            print(f"wrote {package.folder.relative_to(ROOT)}/pyproject.toml")
    return 0


def write_urls(package: Package, urls: dict[str, str]) -> bool:
    """Replace the addresses of a package; return whether its file changed.

    Args:
        package: whose.
        urls: by name; none removes the table.
    """
    file = package.folder / "pyproject.toml"
    old = file.read_text(encoding="utf-8")
    table = "".join(["\n[project.urls]\n", *(f'{name} = "{address}"\n' for name, address in urls.items())]) if urls else ""
    bare = _TABLE.sub("", old)
    new = bare.replace("\n[tool.hatch.version]\n", f"{table}\n[tool.hatch.version]\n", 1)
    if new != old:
        file.write_text(new, encoding="utf-8")
    return new != old


if __name__ == "__main__":
    sys.exit(main())
