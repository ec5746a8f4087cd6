"""Pages of the site that stand elsewhere in the repository, and links that work both there and on the site."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).resolve().parents[1]

ELSEWHERE: Final = {
    "training.md": "training/README.md",
    "javascript.md": "client/javascript/README.md",
    "model-card.md": "streaming_asr/embedded/english/README.md",
    "text-model-card.md": "streaming_asr/embedded/english/text_model/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
}
"""Page of the site: file of the repository."""

LINK: Final = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
"""A Markdown link, not a picture, to a path: no scheme, no mere anchor."""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that stand elsewhere."""
    for page, path in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links at pages of the site, or at the repository; what is in neither stays as text."""
    here = ELSEWHERE.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return LINK.sub(lambda link: _on_the_site(link, here, page.file.src_uri), markdown)


def _on_the_site(link: re.Match[str], here: str, page: str) -> str:
    """A link of the file `here` of the repository, as it must be written on `page` of the site."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(here), link["path"]))
    if not (ROOT / path).exists():
        return link[0]  # mkdocs tells that it leads nowhere
    pages = {"README.md": "index.md", **{file: name for name, file in ELSEWHERE.items()}}
    target = path.removeprefix("docs/") if path.startswith("docs/") else pages.get(path)
    if target is None:
        return f"{link['text']} (`{path}`)" if f"`{path}`" not in link["text"] else link["text"]
    return f"[{link['text']}]({posixpath.relpath(target, posixpath.dirname(page) or '.')}{link['anchor'] or ''})"
