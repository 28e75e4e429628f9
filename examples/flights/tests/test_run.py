from __future__ import annotations

import subprocess
import sys

from gluewright_flights.report import Line, chart


def test_help_explains_the_example_the_workspace_and_every_argument():
    run = subprocess.run(
        [sys.executable, "-m", "gluewright_flights.run", "--help"], capture_output=True, text=True, check=True
    )
    said = run.stdout
    arguments = "landing warehouse report catalog database from to state exports share_key workspace run_id summary"
    for argument in arguments.split():
        assert f"\n  --{argument} " in said
    for word in ("hatch run flights --catalog iceberg", "<workspace>/landing", "on_time.svg", "remove the workspace"):
        assert word in said
    assert all(len(line) < 160 for line in said.splitlines())


def test_a_misspelt_argument_ends_before_anything_is_made(tmp_path):
    command = [sys.executable, "-m", "gluewright_flights.run", f"--workspace={tmp_path / 'w'}", "--form=2013-01-01"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "--form  unknown; did you mean --from?" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "w").exists()


def test_the_chart_shows_each_figure_once_and_is_well_formed():
    from xml.etree import ElementTree

    lines = [
        Line("EWR", "UA", "United <Air> & Co", 10, 1, {"2013-01": 0.834, "2013-02": None}),
        Line("JFK", "B6", "JetBlue Airways", 5, 5, {"2013-02": 0.4}),
    ]
    picture = ElementTree.fromstring(chart(lines))
    space = "{http://www.w3.org/2000/svg}"
    told = [title.text for title in picture.iter(f"{space}title")]
    assert told == ["United <Air> & Co, EWR, 2013-01: 83.4%", "JetBlue Airways, JFK, 2013-02: 40.0%"]
    cells = {(rect.get("x"), rect.get("y")): rect.get("fill") for rect in picture.iter(f"{space}rect")}
    assert len(cells) == 2
    assert {"83", "40"} <= {text.text for text in picture.iter(f"{space}text")}
