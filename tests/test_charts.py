"""The guide's pictures of measurements are what was kept of the measurements."""

from xml.etree import ElementTree

from gluewright_testing.sharing import once
from tools.charts import FIGURES, drawn, picture

pytestmark = once(1)
SVG = "{http://www.w3.org/2000/svg}"


def test_the_pictures_are_what_the_results_say():
    there = {file.name: file.read_text(encoding="utf-8") for file in FIGURES.glob("*.svg")}
    assert there == drawn(), "run `hatch run charts`"


def test_what_is_faster_goes_to_the_left_and_a_missed_goal_has_another_colour():
    result = {
        "bench": "trial",
        "rows": 1000,
        "spark": "4.1.1",
        "rounds": 3,
        "cold": False,
        "date": "2026-01-01",
        "ratios": {"a < b": 0.5, "b / a": 2.0},
        "goals": {"a < b": 0.6, "b / a": 1.5},
    }
    drawing = ElementTree.fromstring(picture(result))
    fast, slow = drawing.findall(f"{SVG}rect")
    middle = float(drawing.findall(f"{SVG}line")[-1].get("x1"))
    ends = [(float(bar.get("x")), float(bar.get("x")) + float(bar.get("width"))) for bar in (fast, slow)]
    assert ends[0][1] == middle == ends[1][0]
    assert abs((middle - ends[0][0]) - (ends[1][1] - middle)) < 0.2
    assert fast.get("fill") != slow.get("fill")
    assert "a < b" in [text.text for text in drawing.iter(f"{SVG}text")]
