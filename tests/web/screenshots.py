"""Takes the pictures of the caption page in the documentation: `python -m tests.web.screenshots [FONT]`."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import sync_playwright

from tests.web.browsers import launched
from tests.web.serving import as_microphone, demo, serving

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
SPOKEN_SECONDS: Final = 15.0
STUDIO: Final = "#8399a3"


@dataclass(frozen=True)
class Picture:
    """One view of the page in the middle of a sentence."""

    name: str
    width: int = 1120
    height: int = 640
    scheme: str = "light"
    path: str = "/"
    before: tuple[str, ...] = field(default=("#start",))
    after: tuple[str, ...] = ()
    background: str = ""


PICTURES: Final = (
    Picture("caption-page"),
    Picture("caption-page-dark", scheme="dark"),
    Picture("caption-page-phone", 390, 760),
    Picture("caption-page-large", before=("#large", "#start")),
    Picture("caption-page-overlay", 1120, 420, path="/?overlay=1", before=(), background=STUDIO),
    Picture("caption-page-share", after=("#open-share", "#sharing")),
)
AUDIENCE: Final = Picture("caption-page-audience", 390, 760, scheme="dark", before=())


def opened(browser: Any, address: str, picture: Picture, font: str | None) -> Any:
    size = {"width": picture.width, "height": picture.height}
    page = browser.new_context(viewport=size, color_scheme=picture.scheme).new_page()
    page.goto(address)
    style = "([name, value]) => document.documentElement.style.setProperty(name, value)"
    if font is not None:
        page.evaluate(style, ["--sans", f"{font}, sans-serif"])
    if picture.background:
        page.evaluate(style, ["background", picture.background])
    return page


def take(browser: Any, address: str, picture: Picture, font: str | None) -> None:
    """One picture; of a page that shares, its audience's too."""
    page = opened(browser, address + picture.path, picture, font)
    for button in picture.before:
        page.click(button)
    page.wait_for_timeout(SPOKEN_SECONDS * 1000)
    for button in picture.after:
        page.click(button)
    if picture.after:
        page.wait_for_function("() => document.querySelector('#share-address').value")
        audience = opened(browser, page.input_value("#share-address"), AUDIENCE, font)
        page.wait_for_timeout(6000)
        audience.screenshot(path=IMAGES / f"{AUDIENCE.name}.png")
        audience.context.close()
    page.screenshot(path=IMAGES / f"{picture.name}.png")
    page.context.close()


def main(font: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder, serving() as address, sync_playwright() as playwright:
        browser = launched(playwright, as_microphone(demo(), Path(folder) / "demo.wav"))
        for picture in PICTURES:
            take(browser, address, picture, font)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
