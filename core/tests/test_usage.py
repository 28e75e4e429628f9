"""--help: the program, an example that the program accepts, and how each value is written."""

import importlib
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, ClassVar

import pytest

from gluewright_core import usage
from gluewright_core.arguments import parse
from gluewright_core.locations import LOCATION
from gluewright_core.parameters import fields_of
from gluewright_core.tables import Kind

JOBS = [
    "gluewright_cdc_merge.job",
    "gluewright_flights.job",
    "gluewright_incremental.job",
    "gluewright_incremental.job.rows_job",
    "gluewright_incremental.job.versions_job",
    "gluewright_pii_masking.job",
    "gluewright_reprocessing.job",
    "gluewright_single_file_output.job",
]


class Format(Enum):
    JSON = "json"
    CSV = "csv"
    OTHER = 3


class Long(Enum):
    A = "a-very-long-word"
    B = "another-very-long-word"


@dataclass(frozen=True)
class Login:
    user: str
    tries: int = 3


@dataclass(frozen=True)
class Everything:
    """Does everything."""

    source: Annotated[str, LOCATION, "The landing zone."]
    target: Annotated[str, "A table such as sales.orders."]
    format: Annotated[Format, "What the files hold."]
    kinds: Annotated[list[Format], "More."] = field(default_factory=list)
    shape: Annotated[Long, "The shape."] = Long.B
    options: Annotated[dict[str, int], "Of the reader."] = field(default_factory=dict)
    login: Annotated[Login | None, "Of the database."] = None
    names: Annotated[list[str], "Which."] = field(default_factory=lambda: ["a", "b"])


def shown(arguments=Everything):
    return usage.help_text(arguments, fields_of(arguments), {})


@pytest.mark.parametrize(
    "row",
    [
        r"--source +location +The landing zone\.",
        r"--format +json\|csv\|OTHER +What the files hold\.",
        r"--kinds +json\|csv\|OTHER,json\|csv\|OTHER,\.\.\. +none",
        r"--shape +choice +another-very-long-word +The shape\. One of a-very-long-word,\s+another-very-long-word\.",
        r"""--options +'{"name": number}' +none +Of the reader""",
        r"""--login +'{"user": "text", "tries": number}' +none""",
        r"--names +text,text,\.\.\. +a,b +Which",
        r"A list is a,b,c or",
        r"A mapping is JSON in quotes of the shell",
        r"required:\n",
        r"optional, ",
    ],
)
def test_a_value_is_shown_as_it_is_typed(row):
    assert re.search(row, shown()), shown()


def test_choices_are_accepted_as_they_are_shown():
    for choice in ("json", "csv", "OTHER"):
        assert parse(["--source=/x", "--target=t", "--format", choice], Everything).format is Format(
            {"OTHER": 3}.get(choice, choice)
        )


def test_the_example_has_the_required_arguments_with_values_that_their_texts_show():
    assert usage.example(Everything, fields_of(Everything)) == (
        "--source s3://bucket/source --target sales.orders --format json"
    )


def test_a_job_may_have_an_example_of_its_own():
    @dataclass(frozen=True)
    class Own:
        limit: int = 3

        EXAMPLE: ClassVar[str] = "--limit 7"

    assert " --limit 7\n" in shown(Own)
    assert "example" not in re.sub(r"^example:", "", shown(Own), flags=re.MULTILINE)


@pytest.mark.parametrize("name", JOBS)
def test_the_example_of_each_job_is_accepted_by_it(name):
    arguments = importlib.import_module(name).Arguments
    assert isinstance(parse(shlex.split(usage.example(arguments, fields_of(arguments))), arguments), arguments)


def test_lines_fit_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    arguments = importlib.import_module("gluewright_pii_masking.job").Arguments
    rows = [line for line in shown(arguments).splitlines() if not line.startswith("  python")]
    assert max(map(len, rows)) <= 90


def test_the_program_is_named_as_it_is_called(tmp_path):
    module = [sys.executable, "-m", "gluewright_single_file_output.job", "--help"]
    done = subprocess.run(module, capture_output=True, text=True)
    assert done.stdout.startswith("usage: python -m gluewright_single_file_output.job --source text --target location [")
    assert "example:\n  python -m gluewright_single_file_output.job --source " in done.stdout
    (tmp_path / "nightly.py").write_text(
        "from dataclasses import dataclass\nfrom gluewright_core.job import run\n"
        "@dataclass(frozen=True)\nclass Arguments:\n    day: str\n"
        "run(print, Arguments)\n"
    )
    done = subprocess.run([sys.executable, "nightly.py", "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.startswith("usage: python nightly.py --day text [--name value ...]")


def test_the_kinds_of_tables_are_shown_as_they_are_typed():
    @dataclass(frozen=True)
    class OneTable:
        catalog: Annotated[Kind, "How the table is kept."] = Kind.PARQUET

    assert re.search(r"--catalog +parquet\|iceberg\|delta\|folder +parquet", shown(OneTable))
