"""Make the guide's page of facts from docs/facts.toml: ``hatch run facts``."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "facts.md"
AGE = timedelta(days=365)
"""After so long a fact has to be looked up again."""

_HEAD = """# Facts about AWS

What the guide relies on, each fact once, with where it was read and when. *Uncertain* ones are second-hand, or pages of AWS
contradict each other. This page is made from `docs/facts.toml` by `hatch run facts`.
"""


@dataclass(frozen=True)
class Fact:
    """One fact, as the file has it.

    Attributes:
        id: its anchor on the page.
        chapter: of the guide.
        claim: what is so.
        source: titles of the pages that say so.
        checked: when they were read.
        versions: of Glue.
        certain: whether nothing contradicts it.
    """

    id: str
    chapter: str
    claim: str
    source: str
    checked: date
    versions: str
    certain: bool


def facts() -> list[Fact]:
    """Read the file."""
    with (DOCS / "facts.toml").open("rb") as file:
        return [Fact(**entry) for entry in tomllib.load(file)["fact"]]


def rendered(known: list[Fact]) -> str:
    """Write the page: a section a chapter, an entry a fact."""
    lines = [_HEAD]
    for chapter in dict.fromkeys(fact.chapter for fact in known):
        lines.append(f"\n## {chapter}\n")
        lines += [_entry(fact) for fact in known if fact.chapter == chapter]
    return "\n".join(lines) + "\n"


def outdated(known: list[Fact], today: date) -> list[Fact]:
    """List the facts that nobody has looked up for a year."""
    return [fact for fact in known if today - fact.checked > AGE]


def _entry(fact: Fact) -> str:
    uncertain = "" if fact.certain else "*Uncertain.* "
    versions = {"-": "", "all": " Every version of Glue."}.get(fact.versions, f" Glue {fact.versions}.")
    read = f"<br><small>{fact.source}; {fact.checked}.{versions}</small>"
    return f'- <span id="{fact.id}"></span>{uncertain}{fact.claim}\n  {read}'


if __name__ == "__main__":
    PAGE.write_text(rendered(facts()), encoding="utf-8")
    for old in outdated(facts(), date.today()):
        sys.stdout.write(f"looked up on {old.checked}: {old.id}\n")
