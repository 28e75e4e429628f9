"""Progress: a bar on a terminal, few log lines elsewhere, and Spark's tasks without disturbing them."""

import io
import itertools
import logging
import sys
import time

import pytest

from gluewright_core import progress as module
from gluewright_core.progress import metering, progress, watching_spark


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def lines(monkeypatch, caplog):
    """Progress away from a terminal, with a clock that jumps ten seconds at each look."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(module.time, "monotonic", itertools.count(step=10).__next__)
    with caplog.at_level(logging.INFO, "gluewright"):
        yield lambda: [record.getMessage() for record in caplog.records if record.name == "gluewright.progress"]


def test_away_from_a_terminal_there_is_a_line_every_thirty_seconds_and_one_at_the_end(lines):
    assert list(progress(range(8), "days loaded")) == list(range(8))
    assert lines() == ["days loaded: 3 of 8", "days loaded: 6 of 8", "days loaded: 8 of 8"]


def test_what_was_done_before_a_failure_is_reported_and_the_failure_goes_on(lines):
    with pytest.raises(KeyError), metering(None, "files copied") as meter:
        meter.advance(5)
        raise KeyError
    assert lines() == ["files copied: 5"]


def test_on_a_terminal_a_bar_is_drawn_nested_ones_too_and_the_terminal_is_left_clean(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with metering(3, "outer") as outer:
        outer.advance()
        for _ in progress(iter("ab"), "inner", total=2):
            module._bars._display.refresh()
    shown = terminal.getvalue()
    assert "outer" in shown and "inner" in shown
    assert "1/3" in shown
    assert module._bars._display is None


def test_sparks_tasks_are_shown_while_an_action_runs(spark, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LOOKS", 0.05)
    with watching_spark(lambda: spark.sparkContext, "load"):
        slow = spark.sparkContext.parallelize(range(6), 6).map(lambda x: time.sleep(0.3) or x)
        assert slow.sum() == 15
    assert "load: tasks" in terminal.getvalue()
    assert "/6" in terminal.getvalue()


def test_a_session_that_goes_away_does_not_disturb_the_step(monkeypatch):
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LOOKS", 0.01)

    def gone():
        raise ConnectionError

    with watching_spark(gone, "load"):
        time.sleep(0.1)
