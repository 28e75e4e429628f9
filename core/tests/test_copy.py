"""A recipe copied into a project: it works under its new name, and a later version's changes are told from one's own."""

import subprocess
import sys

import pytest

from gluewright_core import copy

INIT = '''# gluewright-demo {version} __init__.py
"""Double numbers.

Example:
    >>> from gluewright_demo import doubled
    >>> doubled(2)                       # doctest: +SKIP
"""

from .doubling import doubled

__version__ = "{version}"
'''
DOUBLING = "# one\ndef doubled(number):\n    return number * 2\n"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A recipe as an installer leaves it, in a version that can change."""
    site = tmp_path / "site"

    def install(version, files):
        package, about = site / "gluewright_demo", site / "gluewright_demo-0.1.0.dist-info"
        (package / "job").mkdir(parents=True, exist_ok=True)
        (about / "licenses").mkdir(parents=True, exist_ok=True)
        (about / "METADATA").write_text("Name: gluewright-demo\nVersion: 0.1.0\n")
        (about / "licenses" / "LICENSE").write_text("the licence\n")
        (package / "job" / "__init__.py").write_text("import gluewright_core\n")
        for name in package.glob("*.py"):
            name.unlink()
        for name, text in {"__init__.py": INIT.format(version=version), **files}.items():
            (package / name).write_text(text)

    monkeypatch.syspath_prepend(str(site))
    install("0.1.0", {"doubling.py": DOUBLING})
    return install


@pytest.fixture
def target(tmp_path):
    return tmp_path / "own" / "numbers_twice"


def test_a_copy_works_under_its_own_name_with_its_licence_and_without_the_job(installed, target, capsys):
    assert copy.main(["demo", str(target)]) == 0
    printed = capsys.readouterr().out
    assert "Copied 3 files of gluewright-demo 0.1.0" in printed
    assert "    from numbers_twice import doubled\n    doubled(2)\n" in printed
    assert (target / "LICENSE").read_text() == "the licence\n"
    assert not (target / "job").exists()
    program = (
        f"import sys; sys.path.insert(0, {str(target.parent)!r}); import numbers_twice\n"
        "print(numbers_twice.doubled(2), [name for name in sys.modules if name.startswith('gluewright')])"
    )
    run = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "4 []\n"


def test_run_again_it_shows_what_upstream_changed_and_what_the_user_did(installed, target, capsys):
    copy.main(["demo", str(target)])
    (target / "doubling.py").write_text(DOUBLING.replace("# one", "# mine"))
    installed("0.2.0", {"doubling.py": DOUBLING.replace("* 2", "+ number"), "more.py": "MORE = 1\n"})
    capsys.readouterr()
    assert copy.main(["demo", str(target)]) == 0
    printed = capsys.readouterr().out
    for shown in ("doubling.py: you changed", "+# mine", "version 0.2.0 changed", "+    return number + number"):
        assert shown in printed
    assert "+MORE = 1" in printed
    assert not (target / "more.py").exists(), "without --update nothing is written"


def test_an_update_takes_what_the_user_did_not_touch_and_never_overwrites_the_rest(installed, target, capsys):
    copy.main(["demo", str(target)])
    mine = DOUBLING.replace("# one", "# mine")
    (target / "doubling.py").write_text(mine)
    installed("0.2.0", {"doubling.py": DOUBLING.replace("* 2", "+ number"), "more.py": "MORE = 1\n"})
    assert copy.main(["demo", str(target), "--update"]) == 1
    assert "doubling.py was changed here and upstream" in capsys.readouterr().err
    assert (target / "doubling.py").read_text() == mine
    assert (target / "more.py").read_text() == "MORE = 1\n"
    (target / "doubling.py").write_text(DOUBLING.replace("* 2", "+ number"))
    assert copy.main(["demo", str(target), "--update"]) == 0
    capsys.readouterr()
    installed("0.3.0", {"doubling.py": DOUBLING.replace("* 2", "+ number")})
    assert copy.main(["demo", str(target), "--update"]) == 0
    assert not (target / "more.py").exists(), "upstream has removed it, and it was not changed"
    capsys.readouterr()
    assert copy.main(["demo", str(target)]) == 0
    assert capsys.readouterr().out == ""


def test_a_copy_of_another_recipe_or_one_that_was_not_finished_is_left_as_it_is(installed, target, capsys):
    copy.main(["demo", str(target)])
    version = target / copy.PRISTINE / "version.json"
    version.write_text('{"recipe": "other", "version": "1.0.0"}')
    installed("0.2.0", {"doubling.py": "NEWER = 1\n"})
    assert copy.main(["demo", str(target), "--update"]) == 1
    assert "is a copy of other, not of demo" in capsys.readouterr().err
    version.unlink()
    assert copy.main(["demo", str(target), "--update"]) == 1
    assert "was not finished" in capsys.readouterr().err
    assert (target / "doubling.py").read_text() == DOUBLING


@pytest.mark.parametrize(
    ("recipe", "folder", "said"),
    [
        ("no_such", "fine", "install gluewright-no-such"),
        ("core", "fine", "no recipe core"),
        ("../demo", "fine", "no recipe"),
        ("demo", "not-a-name", "no name for a package"),
        ("demo", "full", "is not empty"),
    ],
)
def test_what_cannot_be_copied_says_so_in_one_line_and_writes_nothing(installed, tmp_path, capsys, recipe, folder, said):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    assert copy.main([recipe, str(tmp_path / folder)]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("*/__init__.py"))
