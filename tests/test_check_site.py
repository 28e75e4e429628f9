"""The browser notices what can be wrong with a page: every fault of a small site is told, and nothing of its good pages."""

from __future__ import annotations

import re

import pytest

from gluewright_testing.sharing import once
from tools.symptoms import symptoms

check_site = pytest.importorskip("tools.check_site", reason="the guide's environment has playwright, this one has not")
BROWSER = check_site.find_browser()
pytestmark = [once(1), pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")]

PAGE = """<!doctype html><link rel=icon href=data:,><body data-md-color-scheme=default style="background:white">
<label title=Dark onclick="{switch}">Dark</label>{body}</body>"""
SWITCH = "document.body.dataset.mdColorScheme = 'slate'; document.body.style.background = 'black'"
COPY = """<pre><code>one
two
</code></pre><button data-md-type=copy onclick="navigator.clipboard.writeText('one')">"""
LEAVES = '<svg width="100" height="50"><text x="90" y="20">leaves</text></svg>'
PAGES = {
    "index.html": "<a href=/good/#here>good</a><a href=/nowhere/>no page</a><a href=/good/#there>no place</a>",
    "good/index.html": '<p id=here>Good.</p><div style="overflow:auto"><p style="width:2000px">scrolls</p></div>',
    "wide/index.html": '<p style="width:2000px">too wide</p>',
    "error/index.html": "<script>throw new Error('broken')</script>",
    "console/index.html": "<script>console.error('said so')</script>",
    "outside/index.html": "<img src=http://outside.invalid/picture.png>",
    "missing/index.html": "<img src=/picture.png>",
    "drawing/index.html": "<svg width=200 height=50><rect width=60 height=30 /><text y=20>far too long for it</text></svg>",
    "left/index.html": LEAVES,
    "shadow/index.html": "<div class=mermaid></div><script>document.querySelector('.mermaid')"
    f".attachShadow({{mode: 'closed'}}).innerHTML = '{LEAVES}'</script>",
    "cut/index.html": '<div style="overflow:hidden;width:50px"><code>spark.read.parquet</code></div>',
    "table/index.html": "<table><tr><th>a<th></tr><tr><td>1<td>2</tr></table>",
    "out/index.html": '<article style="width:300px"><p style="width:340px">sticks out</p></article>',
    "picture/index.html": "<article><img src=/leaves.svg></article>",
    "copy/index.html": COPY + "<pre><code>no button</code></pre>",
}


@pytest.fixture
def folder(tmp_path):
    for name, body in PAGES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(PAGE.format(body=body, switch=SWITCH))
    (tmp_path / "leaves.svg").write_text(LEAVES.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" '))
    return tmp_path


def test_every_fault_of_a_page_is_told_and_nothing_of_a_good_one(folder):
    with check_site.opened(folder, BROWSER) as site:
        site.look_at(check_site.paths_of(folder))
        assert site.follow_links() == 3
        copied = site.copied("/copy/")
        site.switch_to_dark("/good/")
    told = "\n".join(sorted(set(site.problems)))
    for fault in (
        r"^/: links to /nowhere/, which is no page$",
        r"^/: links to /good/#there, which is no place there$",
        r"^/wide/: wider than a phone: <p> too wide$",
        r"^/drawing/: 1280 pixels wide, a text leaves its box in a drawing: far too long",
        r"^/left/: 390 pixels wide, a text leaves its drawing: leaves$",
        r"^/shadow/: 390 pixels wide, a text leaves its drawing: leaves$",
        r"^/leaves.svg: a text leaves its drawing: leaves$",
        r"^/cut/: 1280 pixels wide, code is cut off: spark.read.parquet$",
        r"^/table/: 390 pixels wide, a table has a header without a text",
        r"^/out/: 1280 pixels wide, <p> sticks out of the page: sticks out$",
        r"^/error/: a script fails: broken",
        r"^/console/: console: said so$",
        r"^/outside/: loads http://outside.invalid/picture.png from outside$",
        r"^/missing/: http\S+/picture.png answers 404$",
        r"^/copy/: 2 blocks of code and 1 buttons",
        r"^/good/: not dark loaded again",  # this page's switch is forgotten, and knows nothing of the system
        r"^/good/: not dark where the system is dark",
    ):
        assert re.search(fault, told, re.MULTILINE), fault + "\n" + told
    assert copied == ["one"]
    faulty = {line.partition(":")[0] for line in told.splitlines()}
    assert faulty == {f"/{name.removesuffix('index.html')}" for name in PAGES} - {"/picture/"} | {"/leaves.svg"}
    assert told.count("/good/:") == 2


def test_every_page_that_the_chooser_names_has_its_symptoms(tmp_path):
    home = tmp_path / "index.md"
    rows = "| lost rows; slow | [a](guide/a.md) |\n| late | [b](b.md) |\n| old | [a](guide/a.md) |\n"
    home.write_text(f"| | |\n|---|---|\n{rows}")
    assert symptoms(home) == {"guide/a.md": ["lost rows", "slow", "old"], "b.md": ["late"]}
    assert {"recipes/cdc_merge.md", "guide/alerting.md", "core.md"} <= set(symptoms())
