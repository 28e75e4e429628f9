"""Run the examples of a README, so that it stays true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

_FENCED = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: the word after the fence.
        body: its text.
        line: the number of its first line.
        follows: whether only blank lines stand between it and the block before.
    """

    language: str
    body: str
    line: int
    follows: bool


def blocks(readme: Path) -> Iterator[Block]:
    """Return the fenced blocks of a Markdown file in order.

    Args:
        readme: the file.
    """
    text, end = readme.read_text(encoding="utf-8"), 0
    for found in _FENCED.finditer(text):
        follows = end > 0 and not text[end : found.start()].strip()
        yield Block(found["language"], found["body"], text.count("\n", 0, found.start("body")) + 1, follows)
        end = found.end()


def run_examples(readme: Path, names: dict[str, Any] | None = None) -> int:
    """Run every ``python`` block of a README, one after the other in one namespace.

    A ``text`` block right below a ``python`` block is what that one prints; spaces at line ends do not count.

    Args:
        readme: the file. A failing example shows its line there.
        names: what the examples may use without importing it, such as ``{"spark": spark}``.

    Returns:
        How many blocks ran.

    Raises:
        AssertionError: an example printed something else than the README says, or the README has no examples.
    """
    namespace: dict[str, Any] = {"__name__": "readme"} | (names or {})
    ran, printed = 0, ""
    for block in blocks(readme):
        if block.language == "python":
            output = StringIO()
            with redirect_stdout(output):
                # Blank lines in front make tracebacks name the line of the README.
                source = "\n" * (block.line - 1) + block.body
                # Without dont_inherit the examples would get this module's own `from __future__ import annotations`.
                exec(compile(source, str(readme), "exec", dont_inherit=True), namespace)  # noqa: S102
            ran, printed = ran + 1, output.getvalue()
        elif block.language == "text" and block.follows:
            said, happened = _tidy(block.body), _tidy(printed)
            if happened != said:
                raise AssertionError(f"{readme}, line {block.line} says\n{said}\nand the example above prints\n{happened}")
    if not ran:
        raise AssertionError(f"{readme} has no python examples")
    return ran


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
