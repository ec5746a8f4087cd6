"""The page's modules, without sockets and devices: the specs beside this file run in the browser."""

from __future__ import annotations

import random
import re
import typing
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import pytest

from streaming_asr import exports
from streaming_asr.events import Alternative, Final, Word, text_of
from streaming_asr.protocol import close_is_resumable
from streaming_asr.protocol.states import TRANSITIONS, Side, State, transition
from tests.web.browsers import launched

pytestmark = pytest.mark.browser

SPECS: typing.Final = Path(__file__).parent / "specs"


def names_in(spec: Path) -> list[str]:
    return re.findall(r"^export function (test_\w+)", spec.read_text("utf-8"), re.MULTILINE)


CASES = [(spec.name, name) for spec in sorted(SPECS.glob("*.js")) for name in names_in(spec)]


@pytest.fixture(scope="module")
def page(playwright: Any, scripted: str) -> Iterator[Any]:
    """A page of the server's origin, to which the specs are given as if the server had them."""
    browser = launched(playwright)
    page = browser.new_page()
    page.route("**/specs/*.js", lambda route: route.fulfill(path=SPECS / route.request.url.rsplit("/", 1)[1]))
    page.goto(scripted)
    yield page
    browser.close()


@pytest.mark.parametrize(("spec", "name"), CASES)
def test_spec(page: Any, spec: str, name: str) -> None:
    page.evaluate("async ([spec, name]) => (await import(`/specs/${spec}`))[name]()", [spec, name])


def test_there_are_specs() -> None:
    assert len(CASES) > 20


def test_the_page_walks_the_same_transition_table(page: Any) -> None:
    kinds = sorted({kind for rows in TRANSITIONS.values() for row in rows.values() for kind in row} | {"nonsense"})
    steps = [(state, side, kind) for state in State for side in get_args(Side) for kind in kinds]
    asked = [(state.name, side, kind) for state, side, kind in steps]
    ask = "async (steps) => steps.map((step) => transition(...step))"
    table = f"(async () => {{ const {{transition}} = await import('/javascript/protocol.js'); return {ask}; }})()"
    assert page.evaluate(f"async (steps) => (await {table})(steps)", asked) == [
        following.name if (following := transition(*step)) else None for step in steps
    ]


def test_the_page_resumes_after_the_same_closes(page: Any) -> None:
    codes = [*range(1000, 1016), *range(4400, 4600)]
    ask = "async (codes) => codes.map((await import('/javascript/protocol.js')).closeIsResumable)"
    assert page.evaluate(ask, codes) == [close_is_resumable(code) for code in codes]


def some_finals(rng: random.Random) -> list[Final]:
    """Finals with short and long words, pauses, signs that need escapes, and one without words."""
    finals, time = [], 0.0
    for number in range(rng.randint(0, 6)):
        words = []
        for _ in range(rng.randint(1, 40)):
            text = "".join(rng.choice("abcé<&>日한กี,。") for _ in range(rng.choice((1, 3, 5, 8, 12, 60))))
            start = time = time + rng.choice((0.0, 0.02, 0.3, 0.6, 2.0))
            time += rng.randint(1, 60) / 50
            words.append(Word(text, start, time, 1.0, rng.random() < 0.2))
        text = text_of(words)
        kept = tuple(words) if rng.random() < 0.9 else ()
        best = Alternative(text, 0.0, kept)
        finals.append(Final(number, text, kept, words[0].start, time, 1.0, (best,), "silence", 0.0))
    return finals


def as_utterance(final: Final) -> dict[str, Any]:
    words = [asdict(word) for word in final.words]
    return {"text": final.text, "start": final.start, "end": final.end, "words": words}


@pytest.mark.parametrize("seed", range(8))
def test_files_are_those_that_the_library_writes(page: Any, seed: int) -> None:
    finals = some_finals(random.Random(seed))
    ask = "async (said) => Object.values((await import('/export.js')).FORMATS).map(({write}) => write(said))"
    written = page.evaluate(ask, [as_utterance(final) for final in finals])
    formats: tuple[exports.Format, ...] = ("text", "srt", "vtt")
    assert written == [exports.export(finals, each) for each in formats]
