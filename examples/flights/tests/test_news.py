"""Day drops one by one, failures and corrections in between: the tables are those of one run over everything."""

from __future__ import annotations

import shutil

import pytest

from gluewright_flights import job
from gluewright_testing.sharing import once

pytestmark = pytest.mark.usefixtures("interpreted")


@once(0)
def test_drops_one_by_one_and_a_late_correction_make_the_tables_of_one_run(new_world, capsys, monkeypatch):
    world, whole = new_world(), new_world()
    state = f"--state={world.root / 'state'}"
    held_back = {day: world.lines_of(day) for day in ("2013-01-02", "2013-01-03")}
    for day in held_back:
        shutil.rmtree(world.file_of(day).parent)
    assert read(world.run(state)) == 842

    # The second day's run fails when its flights are published and nothing else is: the next has the same day again.
    world.put("2013-01-02", *held_back["2013-01-02"])
    real = job.save_on_time
    with monkeypatch.context() as patched:
        patched.setattr(job, "save_on_time", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            world.run(state)
    assert job.save_on_time is real
    world.put("2013-01-03", *held_back["2013-01-03"])
    capsys.readouterr()
    assert read(world.run(state)) == 943
    assert "sent again: 2013-01-02: 943 same" in capsys.readouterr().out
    assert read(world.run(state)) == 914
    published = world.partitions()
    assert world.run(state).steps == []
    assert world.partitions() == published

    corrected = world.lines_of("2013-01-01")[1:]
    corrected[0] = corrected[0].replace(",UA,", ",WN,")
    corrected[1] = corrected[1].replace(",JFK,", ",EWR,")
    for each in (world, whole):
        each.put("2013-01-01", *corrected)
    capsys.readouterr()
    assert read(world.run(state)) == 841
    assert "sent again: 2013-01-01: 1 added, 2 removed, 1 changed, 839 same\n" in capsys.readouterr().out
    assert world.partitions()["2013-01-02"] == published["2013-01-02"]

    whole.run()
    assert world.every_row() == whole.every_row()


def read(summary):
    return next(step.counts()["read"] for step in summary.steps if step.name == "flights")
