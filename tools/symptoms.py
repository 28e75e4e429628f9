"""What hurts, as the home page's chooser says it, is what the search finds a page by: a hook that mkdocs.yml names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

HOME = Path(__file__).parents[1] / "docs" / "index.md"
_ROW = re.compile(r"^\| (?P<symptoms>[^|]+) \| \[[^]]*\]\((?P<page>[^)#]+\.md)\) \|$", re.MULTILINE)


def symptoms(home: Path = HOME) -> dict[str, list[str]]:
    """Return what hurts, by the page that helps.

    Args:
        home: the page with the chooser, a table of two columns: symptoms with ``;`` between them, and a link.
    """
    found: dict[str, list[str]] = {}
    for row in _ROW.finditer(home.read_text(encoding="utf-8")):
        found.setdefault(row["page"], []).extend(symptom.strip() for symptom in row["symptoms"].split(";"))
    return found


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Tag the page: words of tags count more for the search than those of titles and texts."""
    if helps := symptoms().get(page.file.src_uri):
        page.meta.setdefault("tags", []).extend(helps)
    return markdown
