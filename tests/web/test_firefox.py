"""The caption page in Firefox."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.web.firefox import firefox, firefox_page
from tests.web.serving import PATIENCE_SECONDS, scripted_serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.skipif(firefox() is None, reason="Firefox is not installed"),
]


def test_firefox_captions_or_says_that_it_has_no_output_device(tmp_path: Path) -> None:
    """Without an output device Firefox runs no audio graph, whether it leads to an output or not."""
    with scripted_serving() as address, firefox_page(tmp_path) as page:
        page.goto(address)
        page.evaluate("document.querySelector('#start').click()")
        deadline = time.monotonic() + PATIENCE_SECONDS
        said = ""
        while not said and time.monotonic() < deadline:
            time.sleep(0.2)
            said = page.evaluate(
                "document.querySelector('#utterances').textContent + document.querySelector('#committed').textContent"
            ).strip()
            notice = page.evaluate("document.querySelector('#notice').textContent")
            said = said or ("no output device" if "no output device" in notice else "")
        assert said, f"neither words nor a reason; the notice is {notice!r}"
