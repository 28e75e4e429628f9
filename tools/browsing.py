"""What must hold of every page of the built guide, looked at in a browser by playwright."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Response, Route
from playwright.sync_api import TimeoutError as TooLate

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 760}
READERS = (1280, 390)
"""Widths of the window at which a page has to be readable."""

# What is wider than the window, outermost first, and not inside something that scrolls by itself.
_TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth
  if (document.scrollingElement.scrollWidth <= width) return null
  const scrolls = element => element && (getComputedStyle(element).overflowX !== 'visible' || scrolls(element.parentElement))
  const wide = [...document.querySelectorAll('body *')].find(
    element => element.getBoundingClientRect().right > width + 1 && !scrolls(element.parentElement))
  return wide ? `<${wide.tagName.toLowerCase()}> ${wide.textContent.trim().slice(0, 60)}` : 'the page'
}"""
_UNREADABLE = (Path(__file__).parent / "unreadable.js").read_text(encoding="utf-8")
_LINKS = "() => [...document.querySelectorAll('a[href]')].map(link => link.href)"
_PICTURES = "() => [...document.querySelectorAll('article img')].map(image => image.src).filter(src => src.endsWith('.svg'))"
_ANCHORS = "() => [...document.querySelectorAll('[id], a[name]')].map(element => element.id || element.name)"
_OPEN_SHADOWS = """
  const attach = Element.prototype.attachShadow
  Element.prototype.attachShadow = function(options) { return attach.call(this, {...options, mode: 'open'}) }
"""
_COLOURS = """() => {
  const body = getComputedStyle(document.body)
  return [document.body.getAttribute('data-md-color-scheme'), body.backgroundColor]
}"""
_HITS = "() => [...document.querySelectorAll('.md-search-result__link')].map(link => link.href)"
_BUTTONS = "[data-clipboard-target], [data-md-type=copy]"
_COUNT = "document.querySelectorAll('{}').length"
FEW = 5_000
"""Milliseconds until a page has all of its buttons."""
WAIT = 30_000
"""Milliseconds that anything may take, on a machine that does other things too."""


@dataclass
class Site:
    """The pages of a site in a browser, and what is wrong with them.

    Attributes:
        browser: that is open.
        url: where the site is served, without a slash at its end.
        problems: what was found so far, each with its page.
    """

    browser: Browser
    url: str
    problems: list[str] = field(default_factory=list)
    _links: dict[str, set[str]] = field(default_factory=dict)
    _anchors: dict[str, set[str]] = field(default_factory=dict)

    def open(self, path: str, page: Page) -> None:
        """Load a page and wait until it does nothing more.

        Args:
            path: below the site, such as ``/guide/``.
            page: the tab.
        """
        answer = page.goto(self.url + path, wait_until="networkidle")
        if answer is None or not answer.ok:
            self.problems.append(f"{path}: does not load")

    def tab(self, **settings: Any) -> Page:
        """Return a tab of its own context, in which nothing but the site is reached, and errors of the console are problems.

        Args:
            settings: of the context, such as ``color_scheme``.
        """
        context = self.browser.new_context(viewport=settings.pop("viewport", DESKTOP), **settings)
        context.route("**/*", self._pass_or_refuse)
        # A script of ours looks into the theme's shadow roots, which are closed.
        context.add_init_script(_OPEN_SHADOWS)
        page = context.new_page()
        page.on("console", lambda message: self._heard(page, message))
        page.on("pageerror", lambda error: self._wrong(page, f"a script fails: {error}"))
        page.on("response", lambda answer: self._answered(page, answer))
        return page

    def look_at(self, paths: Sequence[str]) -> None:
        """Load every page: no error, nothing from outside, diagrams drawn, all readable, not too wide for a phone.

        Args:
            paths: below the site.
        """
        page = self.tab()
        pictures: dict[str, None] = {}
        for path in paths:
            self.open(path, page)
            pictures |= dict.fromkeys(page.evaluate(_PICTURES))
            if page.locator("pre.mermaid").count():
                # The theme puts the drawing in the place of the text.
                page.wait_for_timeout(2000)
                if left := page.locator("pre.mermaid").count():
                    self.problems.append(f"{path}: {left} diagrams are not drawn")
            self._links[path] = set(page.evaluate(_LINKS))
            self._anchors[path] = set(page.evaluate(_ANCHORS))
            for width in READERS:
                page.set_viewport_size({"width": width, "height": DESKTOP["height"]})
                self.problems += [f"{path}: {width} pixels wide, {what}" for what in page.evaluate(_UNREADABLE)]
            page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
            if wide := page.evaluate(_TOO_WIDE):
                self.problems.append(f"{path}: wider than a phone: {wide}")
            page.set_viewport_size({"width": DESKTOP["width"], "height": DESKTOP["height"]})
        for picture in pictures:
            self.open(picture.removeprefix(self.url), page)
            self.problems += [f"{picture.removeprefix(self.url)}: {what}" for what in page.evaluate(_UNREADABLE)]
        page.context.close()

    def follow_links(self) -> int:
        """Hold every link inside the site to the pages and anchors there are, and return how many there were."""
        followed = 0
        for path, links in self._links.items():
            for link in sorted(links):
                if not link.startswith(self.url + "/"):
                    continue
                followed += 1
                target, anchor = urldefrag(link)
                found = self._anchors.get(urlsplit(target).path.removesuffix("index.html"))
                if found is None:
                    self.problems.append(f"{path}: links to {urlsplit(target).path}, which is no page")
                elif anchor and unquote(anchor) not in found:
                    self.problems.append(f"{path}: links to {urlsplit(target).path}#{anchor}, which is no place there")
        return followed

    def copied(self, path: str) -> list[str]:
        """Press every copy button of a page and return what was in the clipboard after each.

        Args:
            path: of the page.
        """
        page = self.tab(permissions=["clipboard-read", "clipboard-write"])
        self.open(path, page)
        buttons = page.locator(_BUTTONS)
        # The theme adds them when it has time.
        with suppress(TooLate):
            page.wait_for_function(f"() => {_COUNT.format('pre > code')} === {_COUNT.format(_BUTTONS)}", timeout=FEW)
        blocks = page.locator("pre > code").count()
        if buttons.count() != blocks:
            self.problems.append(f"{path}: {blocks} blocks of code and {buttons.count()} buttons to copy them")
        texts = []
        for number in range(buttons.count()):
            page.evaluate("() => navigator.clipboard.writeText('')")
            buttons.nth(number).dispatch_event("click")
            page.wait_for_function("async () => await navigator.clipboard.readText() !== ''", timeout=WAIT)
            texts.append(str(page.evaluate("() => navigator.clipboard.readText()")))
        page.context.close()
        return texts

    def search(self, queries: Sequence[str]) -> Iterator[list[str]]:
        """Type each of the queries into the search field.

        Args:
            queries: what to search for.

        Yields:
            The pages that are found by the next query, the best first.
        """
        page = self.tab()
        self.open("/", page)
        typed, hits = page.locator(".md-search__input"), page.locator(".md-search-result__link")
        for query in queries:
            # The field listens to keys. One key for the whole query: no answer to a part of it can be taken for its own.
            typed.fill("")
            typed.press("End")
            hits.first.wait_for(state="detached", timeout=WAIT)
            typed.fill(query)
            typed.press("End")
            hits.first.wait_for(state="attached", timeout=WAIT)
            found = page.evaluate(_HITS)
            yield list(dict.fromkeys(urlsplit(hit).path for hit in found))
        page.context.close()

    def switch_to_dark(self, path: str) -> None:
        """Begin light, press the switch, load again: the page is dark, and stays so; and dark at once where the system is.

        Args:
            path: of the page.
        """
        page = self.tab(color_scheme="light")
        self.open(path, page)
        light = page.evaluate(_COLOURS)
        page.locator("label[title=Dark]").click()
        dark = page.evaluate(_COLOURS)
        self.open(path, page)
        again = page.evaluate(_COLOURS)
        page.context.close()
        page = self.tab(color_scheme="dark")
        self.open(path, page)
        at_once = page.evaluate(_COLOURS)
        page.context.close()
        if light[0] != "default" or brightness(light[1]) < 200:
            self.problems.append(f"{path}: not light at first, but {light}")
        for what, seen in (("after the switch", dark), ("loaded again", again), ("where the system is dark", at_once)):
            if seen[0] != "slate" or brightness(seen[1]) > 80:
                self.problems.append(f"{path}: not dark {what}, but {seen}")

    def _pass_or_refuse(self, route: Route) -> None:
        if route.request.url.startswith((self.url + "/", "data:", "blob:")):
            route.continue_()
        else:
            self.problems.append(f"{urlsplit(route.request.frame.url).path}: loads {route.request.url} from outside")
            route.abort()

    def _heard(self, page: Page, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._wrong(page, f"console: {message.text}")

    def _answered(self, page: Page, answer: Response) -> None:
        if answer.status >= 400:
            self._wrong(page, f"{answer.url} answers {answer.status}")

    def _wrong(self, page: Page, what: str) -> None:
        self.problems.append(f"{urlsplit(page.url).path}: {what}")


def paths_of(site: Path) -> list[str]:
    """List the pages of a built site as a browser names them.

    Args:
        site: the folder.
    """
    found = sorted(file.relative_to(site).as_posix() for file in site.rglob("*.html"))
    return ["/" + path.removesuffix("index.html") for path in found]


def brightness(colour: str) -> float:
    """Tell how bright a colour of CSS is, from 0 to 255.

    Args:
        colour: such as ``rgb(255, 255, 255)``.
    """
    numbers = [float(number) for number in re.findall(r"[\d.]+", colour)[:3]]
    return sum(numbers) / 3
