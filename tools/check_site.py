"""Build the guide and look at it in a real browser: ``hatch run docs:check``.

Every page loads without an error and without anything from outside, every link and anchor inside the site resolves, the
copy buttons of a recipe's page give the modules it shows whole, the search finds each page by the symptoms that the home
page's chooser says of it, nothing is wider than a phone, nothing is cut off or leaves its box, and dark mode switches. The
browser is a Chromium of this machine, or of ``$GLUEWRIGHT_BROWSER``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from playwright.sync_api import sync_playwright

from tools.browsing import Site, paths_of
from tools.conventions import Package, recipes_of
from tools.symptoms import symptoms

ROOT = Path(__file__).parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIRST = 3
"""The page that helps has to be among so many of the pages that a search finds."""


def main() -> int:
    """Build, look, say what is wrong and return the exit code."""
    browser = find_browser()
    if browser is None:
        print(f"No browser: install Chromium, or name one in GLUEWRIGHT_BROWSER. Looked for {', '.join(BROWSERS)}.")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
        subprocess.run(build, cwd=ROOT, check=True)
        problems = look_at(Path(folder), browser)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def find_browser() -> str | None:
    """Return the program of a Chromium, if there is one."""
    chosen = os.environ.get("GLUEWRIGHT_BROWSER")
    return chosen or next((found for name in BROWSERS if (found := shutil.which(name))), None)


def look_at(folder: Path, browser: str) -> list[str]:
    """Look at this repository's built guide and return what is wrong.

    Args:
        folder: the built site.
        browser: the program.
    """
    with opened(folder, browser) as site:
        paths = paths_of(folder)
        site.look_at(paths)
        links = site.follow_links()
        modules = sum(_check_copies(site, recipe) for recipe in recipes_of(ROOT))
        queries = _check_search(site)
        site.switch_to_dark("/")
        print(f"{len(paths)} pages, {links} links, {modules} modules copied, {queries} searches: {len(site.problems)} wrong")
        return site.problems


@contextmanager
def opened(folder: Path, browser: str) -> Iterator[Site]:
    """Serve a site on this machine and open a browser.

    Args:
        folder: the built site.
        browser: the program.
    """
    # Chromium refuses its sandbox to root, which is who runs in most containers.
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as playwright:
            started = playwright.chromium.launch(executable_path=browser, args=arguments)
            yield Site(started, f"http://127.0.0.1:{server.server_port}")
            started.close()
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the class above
        """Say nothing."""


def _check_copies(site: Site, recipe: Package) -> int:
    path = f"/recipes/{recipe.name}/"
    copied = site.copied(path)
    # All of the file but its last line break, which the theme's button leaves out of everything.
    shown = recipe.shown(ROOT / "docs" / "recipes" / f"{recipe.name}.md")
    texts = {module.name: module.read_text(encoding="utf-8").removesuffix("\n") for module in shown}
    site.problems += [f"{path}: no copy button gives the whole of {name}" for name in texts if texts[name] not in copied]
    return len(texts)


def _check_search(site: Site) -> int:
    wanted = [(hurts, f"/{page.removesuffix('.md')}/") for page, helps in symptoms().items() for hurts in helps]
    for (query, path), found in zip(wanted, site.search([query for query, _ in wanted]), strict=True):
        if path not in found[:FIRST]:
            site.problems.append(f"search: {query!r} does not find {path} among the first {FIRST}, but {found[:FIRST]}")
    return len(wanted)


if __name__ == "__main__":
    sys.exit(main())
