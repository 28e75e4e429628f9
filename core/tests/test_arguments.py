"""Typed arguments from Glue's --name value form, and their agreement with the function that Glue ships."""

import dataclasses
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Optional

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gluewright_core import glue_parameters
from gluewright_core.arguments import parse, read_command_line
from gluewright_core.errors import ArgumentsDeclarationError, InvalidArgumentsError
from gluewright_core.glue_parameters import GlueParameters
from gluewright_core.locations import LOCATION
from gluewright_core.secret import Secret


class Mode(Enum):
    FULL = "full"
    CHANGES = 2


@dataclass(frozen=True)
class Target:
    table: str
    keys: list[str]
    since: datetime
    share: Decimal = Decimal("0.5")


@dataclass(frozen=True)
class Everything:
    text: str
    whole: int
    real: float
    flag: bool
    day: date
    moment: datetime
    amount: Decimal
    mode: Mode
    maybe: int | None
    older_maybe: Optional[date]  # noqa: UP045 - both spellings are to be understood
    names: list[str]
    days: list[date]
    limits: dict[str, int]
    anything: dict[str, Any]
    target: Target
    password: Secret


GIVEN = {
    "text": "a = b, ü",
    "whole": "-12",
    "real": "1e3",
    "flag": "Yes",
    "day": "2024-02-29",
    "moment": "2024-01-31T12:00:00+02:00",
    "amount": "12345678901234567890.10",
    "mode": "FULL",
    "maybe": "",
    "older_maybe": "2024-02-29",
    "names": "a, b,c",
    "days": '["2024-02-29"]',
    "limits": '{"a": 1}',
    "anything": '{"a": [1, 0.5, null, {"b": "c"}]}',
    "target": '{"table": "t", "keys": ["k"], "since": "2024-01-31", "share": 0.10}',
    "password": "env:PASSWORD",
}


def pairs(given):
    return [part for name, text in given.items() for part in (f"--{name}", text)]


def test_every_type_is_read_with_its_full_precision():
    assert parse(pairs(GIVEN), Everything) == Everything(
        text="a = b, ü",
        whole=-12,
        real=1000.0,
        flag=True,
        day=date(2024, 2, 29),
        moment=datetime(2024, 1, 31, 10, tzinfo=UTC),
        amount=Decimal("12345678901234567890.10"),
        mode=Mode.FULL,
        maybe=None,
        older_maybe=date(2024, 2, 29),
        names=["a", "b", "c"],
        days=[date(2024, 2, 29)],
        limits={"a": 1},
        anything={"a": [1, 0.5, None, {"b": "c"}]},
        target=Target("t", ["k"], datetime(2024, 1, 31, tzinfo=UTC), Decimal("0.10")),
        password=Secret("env:PASSWORD"),
    )


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("moment", "2024-01-31T12:00:00", datetime(2024, 1, 31, 12, tzinfo=UTC)),
        ("moment", "2024-01-31T12:00:00-05:00", datetime(2024, 1, 31, 17, tzinfo=UTC)),
        ("moment", "2024-01-31T12:00:00Z", datetime(2024, 1, 31, 12, tzinfo=UTC)),
        ("mode", "full", Mode.FULL),
        ("mode", "2", Mode.CHANGES),
        ("flag", "0", False),
        ("flag", "no", False),
        ("maybe", "7", 7),
        ("older_maybe", "", None),
        ("names", "", []),
        ("names", '["a,b", "c"]', ["a,b", "c"]),
        ("names", "one", ["one"]),
        ("text", "", ""),
    ],
)
def test_other_spellings_of_a_value(name, text, value):
    read = getattr(parse(pairs(GIVEN | {name: text}), Everything), name)
    assert read == value
    # Equal moments in another zone would pass as equal.
    assert getattr(read, "tzinfo", UTC) is UTC


WRONG = {
    "whole": ("1.5", "--whole", "'1.5'", "a whole number"),
    "real": ("inf", "--real", "'inf'", "a number"),
    "flag": ("maybe", "--flag", "'maybe'", "true or false"),
    "day": ("2023-02-29", "--day", "'2023-02-29'", "a date such as"),
    "moment": ("yesterday", "--moment", "'yesterday'", "a timestamp such as"),
    "amount": ("NaN", "--amount", "'NaN'", "a decimal number"),
    "mode": ("partly", "--mode", "'partly'", "one of full, CHANGES"),
    "maybe": ("x", "--maybe", "'x'", "a whole number"),
    "days": ("2024-01-31,x", "--days[1]", "'x'", "a date such as"),
    "limits": ('{"a": true}', "--limits.a", "true", "a whole number"),
    "anything": ("[1]", "--anything", "[1]", "a JSON object"),
    "target": (
        '{"table": "t", "key": "k"}',
        "--target",
        "without keys, since and with unknown key",
        "a JSON object with table",
    ),
    "password": ("hunter2", "--password", "not shown", "a reference to a secret"),
}


def test_every_wrong_argument_is_reported_at_once():
    given = GIVEN | {name: text for name, (text, *_) in WRONG.items()}
    del given["text"]
    with pytest.raises(InvalidArgumentsError) as refusal:
        parse([*pairs(given), "--targte", "hunter2", "--unheard=hunter2", "hunter2"], Everything)
    lines = {line.split()[0]: line for line in str(refusal.value).splitlines()[1:]}
    for _, name, given_, expected in WRONG.values():
        assert given_ in lines[name]
        assert f"expected {expected}" in lines[name]
    assert "not given, expected text" in lines["--text"]
    assert "did you mean --target?" in lines["--targte"]
    assert lines["--unheard"].endswith("unknown, and no parameter of Glue's")
    assert "belongs to no name" in lines["(a"]
    assert len(lines) == len(WRONG) + 4
    assert str(refusal.value).startswith(f"{len(WRONG) + 4} arguments are wrong")
    assert "hunter2" not in repr(refusal.value)
    assert refusal.value.__context__ is None or "hunter2" not in repr(refusal.value.__context__)


def test_a_value_inside_json_is_named_by_its_path_and_a_secret_in_it_is_not_shown():
    @dataclass(frozen=True)
    class Login:
        user: str
        password: Secret

    record = dataclasses.make_dataclass("Record", [("logins", list[Login])], frozen=True)
    with pytest.raises(InvalidArgumentsError, match=re.escape("--logins[1].password")) as refusal:
        parse(["--logins", '[{"user": "a", "password": "env:A"}, {"user": "b", "password": "hunter2"}]'], record)
    assert "hunter2" not in str(refusal.value)
    with pytest.raises(InvalidArgumentsError, match="--logins ") as refusal:
        parse(["--logins", '[{"user": "a", "password": "hunter2"'], record)
    assert "hunter2" not in str(refusal.value)


@dataclass(frozen=True)
class Two:
    """Copies rows."""

    source_path: Annotated[str, "Where from."]
    limit: Annotated[int | None, "At most so many."] = 10
    tags: list[str] = field(default_factory=list, metadata={"help": "Labels."})
    token: Secret | None = None


def test_a_name_may_be_written_with_dashes_and_the_last_of_a_repeated_name_counts():
    assert parse(["--source-path=a", "--source_path", "b=c", "--limit", "1", "--limit=2"], Two) == Two("b=c", 2)


def test_a_name_that_python_keeps_for_itself_is_declared_with_a_trailing_underscore(capsys):
    @dataclass(frozen=True)
    class Range:
        from_: date
        to: date | None = None

    assert parse(["--from", "2013-01-01"], Range) == Range(date(2013, 1, 1))
    with pytest.raises(InvalidArgumentsError, match=r"--fro +unknown; did you mean --from\?\n +--from +not given"):
        parse(["--fro=2013-01-01"], Range)
    with pytest.raises(SystemExit):
        parse(["--help"], Range)
    assert "\n  --from     2024-01-31" in capsys.readouterr().out

    @dataclass(frozen=True)
    class Taken:
        help_: str = ""

    with pytest.raises(ArgumentsDeclarationError, match="every job has --help"):
        parse([], Taken)


def test_a_name_without_a_value_says_how_to_give_one_that_begins_with_a_dash():
    with pytest.raises(InvalidArgumentsError, match="--name=value"):
        parse(["--source_path", "--limit", "3"], Two)
    assert parse(["--source_path=--limit", "--limit", "3"], Two) == Two("--limit", 3)


def test_help_lists_every_argument_with_how_it_is_written_its_default_and_its_meaning(capsys):
    with pytest.raises(SystemExit) as done:
        parse(["--limit", "wrong", "--help"], Two)
    assert done.value.code == 0
    shown = capsys.readouterr().out
    for row in [
        r"Copies rows\.",
        r"required:\n  --source_path +text +Where from\.",
        r"optional, .*:\n  --limit +number +10 +At most so many\.",
        r"--tags +text,text,\.\.\. +none +Labels\.",
        r"--token +secret",
        r"of every job:\n  --run_id +text +none +\S+",
        r"--summary +location +none +\S+",
        r"--verbose +true\|false +false +\S+",
        r"A secret is a reference, never the value: secretsmanager:",
    ]:
        assert re.search(row, shown), row


GLUES = [
    *["--JOB_NAME", "nightly", "--JOB_ID", "j_1", "--JOB_RUN_ID", "jr_1_attempt_2", "--TempDir", "s3://b/tmp"],
    *["--SECURITY_CONFIGURATION", "none", "--job-bookmark-option", "job-bookmark-pause", "--job-bookmark-from", "1"],
    *["--job-bookmark-to", "2", "--encryption-type", "sse-s3", "--WORKFLOW_NAME", "w", "--WORKFLOW_RUN_ID", "wr_1"],
    *[
        "--enable-metrics",
        "--enable-spark-ui",
        "true",
        "--enable-something-of-next-year",
        "true",
        "--enable-glue-datacatalog",
    ],
    *["--additional-python-modules", "a==1,b", "--extra-py-files", "s3://b/a.zip", "--datalake-formats", "iceberg"],
    *["--conf", "spark.a=1 --conf spark.b=2", "--class", "GlueApp", "--continuous-log-logGroup", "g", "--job-language"],
    *[
        "python",
        "--customer-driver-env-vars",
        "CUSTOMER_A=1",
        "--custom-logGroup-prefix",
        "p",
        "--scriptLocation",
        "s3://s",
    ],
]


def test_glues_own_parameters_are_known_and_do_not_disturb():
    line = read_command_line([*GLUES[:20], "--source_path", "a", *GLUES[20:], "--run-id", "r1", "--summary=s.json"], Two)
    assert line.arguments == Two("a")
    assert line.glue == GlueParameters(
        job_name="nightly",
        job_id="j_1",
        job_run_id="jr_1_attempt_2",
        security_configuration="none",
        workflow_name="w",
        workflow_run_id="wr_1",
        temp_dir="s3://b/tmp",
        bookmark_option="job-bookmark-pause",
        bookmark_from="1",
        bookmark_to="2",
    )
    assert (line.options.run_id, line.options.summary) == ("r1", "s.json")
    assert read_command_line(["--source_path", "a", "--continuation-option", "continuation-enabled"], Two).glue == (
        GlueParameters(bookmark_option="job-bookmark-enable")
    )


@pytest.mark.parametrize("name", sorted(glue_parameters.NAMES - {"JOB_NAME", "JOB_RUN_ID"}))
@pytest.mark.parametrize("form", ["--{}=x", "--{} x", "--{}"])
def test_no_documented_parameter_of_glues_stops_a_job(name, form):
    line = read_command_line([*form.format(name).split(), "--source_path", "a"], Two)
    assert line.arguments == Two("a")
    assert line.glue.every == {name: "x" if "x" in form else None}
    assert line.ignored == ()


def test_the_list_of_documented_parameters_was_read_within_a_year():
    assert datetime.now(UTC).date() - glue_parameters.READ_ON < timedelta(days=366), "read the guide's list again"
    assert {"python-virtual-env", "job-insights-byo-rules", "scriptLocation", "job-language"} <= glue_parameters.NAMES


def test_a_parameter_that_begins_like_a_documented_one_is_accepted_unless_it_resembles_an_argument():
    names = ["enable-of-next-year", "python-virtual-env-cache", "job-insights-new", "spark-event-logs-new", "GLUE_NEW"]
    line = read_command_line([*(f"--{name}=x" for name in names), "--source_path", "a"], Two)
    assert line.glue.every == dict.fromkeys(names, "x")
    audited = dataclasses.make_dataclass("Audited", [("enable_audit", bool)], frozen=True)
    with pytest.raises(InvalidArgumentsError, match=r"--enable-audits +unknown; did you mean --enable_audit\?"):
        parse(["--enable-audits", "true"], audited)


def test_any_name_of_glues_form_is_ignored_on_glue_and_refused_elsewhere():
    argv = ["--source_path", "a", "--brand-new-switch", "on", "--another-one"]
    line = read_command_line(["--JOB_NAME", "nightly", *argv], Two)
    assert (line.arguments, line.ignored) == (Two("a"), ("--another-one", "--brand-new-switch"))
    with pytest.raises(InvalidArgumentsError, match="--brand-new-switch"):
        parse(argv, Two)
    with pytest.raises(InvalidArgumentsError, match="did you mean --source_path"):
        parse(["--JOB_NAME", "nightly", "--source_path", "a", "--sourc-path=b"], Two)
    with pytest.raises(InvalidArgumentsError, match="--brand_new"):
        parse(["--JOB_NAME", "nightly", "--source_path", "a", "--brand_new=b"], Two)


@pytest.mark.parametrize("options", ["--no-index", "--upgrade", "--no-index --find-links s3://b", "-U"])
def test_options_for_pip_are_a_value(options):
    line = read_command_line(["--python-modules-installer-option", options, "--source_path", "a"], Two)
    assert line.arguments == Two("a")
    assert line.glue.every == {"python-modules-installer-option": options}


def test_a_job_may_ignore_what_it_does_not_know():
    argv = ["--source_path", "a", "--old_name", "x", "--limt=3", "left over", "--limit", "4"]
    line = read_command_line(argv, Two, unknown="ignore")
    assert (line.arguments, line.ignored) == (Two("a", 4), ("--old_name", "--limt"))
    assert parse(argv, Two, unknown="ignore") == Two("a", 4)
    with pytest.raises(InvalidArgumentsError, match="given 'many'"):
        parse([*argv, "--limit", "many"], Two, unknown="ignore")


def test_a_job_may_have_arguments_of_its_own_that_are_called_as_the_runs_options():
    own = dataclasses.make_dataclass("Own", [("run_id", int), ("summary", bool, False)], frozen=True)
    line = read_command_line(["--run-id", "7", "--summary"], own)
    assert line.arguments == own(7, True)
    assert (line.options.run_id, line.options.summary) == (None, None)


@dataclass(frozen=True)
class Places:
    lake: Annotated[str, LOCATION, "The lake."]
    query: str = ""
    staging: Annotated[str, LOCATION, "By default none."] = ""
    inputs: Annotated[list[str], LOCATION, "More."] = field(default_factory=list)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--lake="], r"--lake +given '', expected a location such as s3://bucket/folder or /folder"),
        (["--lake= "], r"--lake +given ' ', expected a location such as"),
        (["--lake", "~"], r"--lake +given '~', expected a location without ~, which only a shell replaces: /"),
        (["--lake", "~/lake"], r"--lake +given '~/lake', expected a location without ~, .*: /\S*/lake"),
        (["--lake", "s3:/bucket/x"], r"--lake +given 's3:/bucket/x', expected a location; did you mean s3://bucket/x\?"),
        (["--lake", "s3:bucket"], r"did you mean s3://bucket\?"),
        (["--lake", "S3A:///bucket/x"], r"did you mean s3a://bucket/x\?"),
        (["--lake", "s3://"], r"--lake +given 's3://', expected a location such as"),
        (["--lake=/x", "--query=s3:/bucket/x"], r"--query +given 's3:/bucket/x', .* did you mean s3://bucket/x\?"),
        (["--lake=/x", "--query=~/x"], r"--query +given '~/x', expected a location without ~"),
        (["--lake=/x", "--inputs=/y,s3:/z"], r"--inputs\[1\] +given 's3:/z', expected a location; did you mean s3://z\?"),
        (["--lake=/x", "--summary=s3:/b/s.json"], r"--summary +given"),
    ],
)
def test_what_cannot_be_a_location_is_refused_in_one_line(argv, says):
    with pytest.raises(InvalidArgumentsError, match=says) as refusal:
        parse(argv, Places)
    assert len(str(refusal.value).splitlines()) == 2


@pytest.mark.parametrize("lake", ["s3://bucket/x", "s3a://b", "/x/~y", "relative/x", "file:///x", "file:/x", "."])
def test_what_can_be_a_location_is_accepted(lake):
    assert parse(["--lake", lake, "--staging=", "--query", "~"], Places) == Places(lake, "~")


def test_a_switch_needs_no_value():
    switch = dataclasses.make_dataclass("Switch", [("full", bool, False), ("day", str, "")], frozen=True)
    assert parse(["--full", "--day", "x"], switch) == parse(["--full=true", "--day=x"], switch) == switch(True, "x")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ([("pair", tuple[int, int])], "pair: no argument can be read as"),
        ([("both", int | str)], "both: no argument"),
        ([("by_day", dict[date, int])], "by_day: no argument"),
        ([("help", str)], "every job has --help"),
        ([("inner", dataclasses.make_dataclass("Inner", [("x", int)]))], "Inner is not a frozen dataclass"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_before_any_run(fields, says):
    with pytest.raises(ArgumentsDeclarationError, match=says):
        parse([], dataclasses.make_dataclass("Declared", fields, frozen=True))


# --- beside the function that Glue ships ---

NAMES = ["day", "source_path", "JOB_NAME", "x"]
TEXTS = [
    "",
    "a",
    "two words",
    "-5",
    "-",
    "-x",
    "--",
    "--day",
    "--two words",
    "--x=1",
    "a=b",
    "=",
    "ü",
    '{"a": 1}',
    "@f",
]
TOKENS = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from(NAMES).map("--{}".format),
    st.tuples(st.sampled_from(NAMES), st.sampled_from(TEXTS)).map("--{0[0]}={0[1]}".format),
    st.sampled_from(["--TempDir", "--JOB_RUN_ID", "--enable-metrics", "--job-bookmark-option=job-bookmark-enable"]),
)
Same = dataclasses.make_dataclass("Same", [(name, str) for name in NAMES], frozen=True)


@pytest.fixture(scope="module")
def resolved():
    """The real function, giving None for a command line that it refuses."""
    utils = pytest.importorskip("awsglue.utils")

    def resolve(argv, names=NAMES):
        try:
            return utils.getResolvedOptions(["script.py", *argv], names)
        except utils.GlueArgumentError:
            return None

    return resolve


agreed = {"both": 0}


@settings(max_examples=1500, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(TEXTS), st.booleans()), max_size=3),
    st.lists(TOKENS, max_size=4),
)
@example([], ["--day", "--two words"])
def test_wherever_both_accept_a_command_line_they_read_the_same(resolved, extra, tokens):
    complete = [f"--{name}=0" for name in NAMES]
    named = [part for name, text, joined in extra for part in ([f"--{name}={text}"] if joined else [f"--{name}", text])]
    argv = [*complete, *named, *tokens]
    theirs = resolved(argv)
    try:
        line = read_command_line(argv, Same)
    except (InvalidArgumentsError, SystemExit):
        return
    if theirs is None:
        return
    agreed["both"] += 1
    assert dataclasses.asdict(line.arguments) == {name: theirs[name] for name in NAMES}
    assert line.glue.temp_dir == (theirs["TempDir"] or None)
    assert line.glue.bookmark_option == theirs["job_bookmark_option"]
    assert line.glue.job_run_id == theirs["JOB_RUN_ID"]


def test_the_comparison_above_was_not_empty():
    assert agreed["both"] > 300


@pytest.mark.parametrize(
    "argv",
    [
        ["--day", "a", "--day", "b"],
        ["--day=a", "--day", ""],
        ["--day="],
        ["--day=--x"],
        ["--day=a=b"],
        ["--day", "--two words"],
        ["--day", "-5"],
        ["--day", "-"],
        ["--day", "a", "--enable-metrics", "--enable-spark-ui", "true"],
        ["--day", "a", *GLUES],
    ],
)
def test_these_command_lines_are_accepted_by_both_with_the_same_value(resolved, argv):
    only = dataclasses.make_dataclass("Only", [("day", str)], frozen=True)
    assert parse(argv, only).day == resolved(argv, ["day"])["day"]


@pytest.mark.parametrize("argv", [["--day"], ["--day", "--x"], ["--day", "-x"], ["--day", "--", "a"], []])
def test_these_command_lines_are_refused_by_both(resolved, argv):
    only = dataclasses.make_dataclass("Only", [("day", str)], frozen=True)
    assert resolved(argv, ["day"]) is None
    with pytest.raises(InvalidArgumentsError):
        parse(argv, only)


def test_the_traps_of_the_real_function_are_not_here(resolved):
    import argparse

    # Asking for JOB_RUN_ID crashes it.
    with pytest.raises((argparse.ArgumentError, RuntimeError)):
        resolved(["--JOB_RUN_ID", "jr_1"], ["JOB_RUN_ID"])
    asking = dataclasses.make_dataclass("Asking", [("JOB_RUN_ID", str)], frozen=True)
    line = read_command_line(["--JOB_RUN_ID", "jr_1"], asking)
    assert (line.arguments.JOB_RUN_ID, line.glue.job_run_id) == ("jr_1", "jr_1")

    # Every listed name is required.
    assert resolved([], ["day"]) is None
    optional = dataclasses.make_dataclass("Optional", [("day", str, field(default="today"))], frozen=True)
    assert parse([], optional).day == "today"

    # A misspelt name is read as another, or passes unnoticed.
    assert resolved(["--da", "x"], ["day"])["day"] == "x"
    assert resolved(["--day", "x", "--dayy", "y"], ["day"])["day"] == "x"
    for argv in (["--da", "x"], ["--day", "x", "--dayy", "y"]):
        with pytest.raises(InvalidArgumentsError, match=r"unknown; did you mean --day\?"):
            parse(argv, optional)


def test_a_comma_in_parentheses_or_quotes_does_not_end_an_item_of_a_list():
    from gluewright_core.conversion import from_text

    cases = {
        "id bigint, price decimal(10,2)": ["id bigint", "price decimal(10,2)"],
        "coalesce(a, nullif(b, ',')), lsn": ["coalesce(a, nullif(b, ','))", "lsn"],
        "source['a,b'], `c,d`": ["source['a,b']", "`c,d`"],
        "a, it's, b": ["a", "it's", "b"],
        "a), b": ["a)", "b"],
        "f(a, b": ["f(a", "b"],
        "": [],
    }
    assert {text: from_text(text, list[str]) for text in cases} == cases
