"""The page of facts is what the file of facts says, and what has not been looked up for a year is told."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, date, datetime
from pathlib import Path

from gluewright_testing.sharing import once
from tools.facts import AGE, PAGE, facts, outdated, rendered

GUIDE = Path(__file__).parents[1] / "docs" / "guide"
pytestmark = once(1)


def test_the_page_is_what_the_file_says():
    assert PAGE.read_text(encoding="utf-8") == rendered(facts()), "run `hatch run facts`"


def test_every_fact_has_a_name_of_its_own_and_says_where_and_when_it_was_read():
    known = facts()
    assert len({fact.id for fact in known}) == len(known)
    wrong = [fact.id for fact in known if not (fact.source and fact.checked <= datetime.now(UTC).date() and fact.versions)]
    assert not wrong


def test_the_guide_names_the_facts_that_there_are_and_no_others():
    named = {
        name for page in GUIDE.glob("*.md") for name in re.findall(r"facts\.md#([\w-]+)", page.read_text(encoding="utf-8"))
    }
    known = {fact.id for fact in facts()}
    headings = {re.sub(r"[^\w]+", "-", fact.chapter.lower()) for fact in facts()}
    assert named - known - headings == set()
    assert known - named == set(), "no chapter sends its reader there"


def test_facts_that_nobody_has_looked_up_for_a_year_are_told():
    fact = facts()[0]
    assert outdated([fact], fact.checked + AGE) == []
    assert outdated([fact], date(fact.checked.year + 2, 1, 1)) == [fact]
    for old in outdated(facts(), datetime.now(UTC).date()):
        warnings.warn(f"docs/facts.toml: {old.id} was looked up on {old.checked}; look again", stacklevel=1)
