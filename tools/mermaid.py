"""Draw the diagrams that stand in the pages as text, with nothing from outside: a hook that mkdocs.yml names.

The theme would fetch Mermaid from a server whenever a page with a diagram is read. Here it is fetched once by npm, in one
version, into the user's cache, becomes a file of the site, and only pages with a diagram load it. Where there is no npm
the diagrams are shown as their text.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.utils import get_relative_url
from pymdownx.superfences import fence_code_format

VERSION = "11.12.0"
PLACE = "assets/javascripts/mermaid.min.js"
_log = logging.getLogger("mkdocs.hooks.mermaid")
_THEMES_SCRIPT = re.compile(r'<script src="[^"]*assets/javascripts/bundle')


def bundle() -> Path | None:
    """Return the file of Mermaid, fetched at the first call, or None where there is no npm to fetch it with."""
    cache = Path(os.environ.get("GLUEWRIGHT_CACHE") or Path.home() / ".cache" / "gluewright")
    file = cache / "mermaid" / VERSION / "mermaid.min.js"
    npm = shutil.which("npm")
    if file.exists() or npm is None:
        return file if file.exists() else None
    file.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the file appears whole or not at all, whoever else builds at the same time.
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        fetch = [npm, "pack", f"mermaid@{VERSION}", "--silent", "--pack-destination", folder]
        subprocess.run(fetch, cwd=folder, stdout=subprocess.DEVNULL, check=True)
        (packed,) = Path(folder).glob("mermaid-*.tgz")
        with tarfile.open(packed) as archive:
            archive.extract("package/dist/mermaid.min.js", folder, filter="data")
        Path(folder, "package", "dist", "mermaid.min.js").replace(file)
    return file


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let blocks of the language mermaid be diagrams."""
    if bundle() is None:
        _log.info("There is no npm to fetch Mermaid with: diagrams are shown as their text.")
    else:
        fence = {"name": "mermaid", "class": "mermaid", "format": fence_code_format}
        config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Make Mermaid a file of the site."""
    if (file := bundle()) is not None:
        files.append(File.generated(config, PLACE, abs_src_path=str(file)))
    return files


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Load Mermaid on pages with a diagram, before the theme's own script looks for it."""
    if 'class="mermaid"' not in output:
        return output
    script = f'<script src="{get_relative_url(PLACE, page.url)}"></script>'
    return _THEMES_SCRIPT.sub(lambda found: script + found[0], output, count=1)
