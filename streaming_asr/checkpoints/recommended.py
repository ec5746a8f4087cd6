"""Well-known checkpoints by language, with what their authors published of them; the data is `recommended.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from streaming_asr.errors import OptionError

MANY: Final = "mul"
"""The code of a checkpoint of many languages (ISO 639-2)."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a size of network needs, beside the smallest one listed.

    `parameters` counts them; `cost` is CPU time relative to the smallest size, None where it was not measured.
    """

    parameters: float
    cost: float | None = None

    @property
    def gigabytes(self) -> float:
        """Memory of the weights in float32, in GB."""
        return 4 * self.parameters / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One checkpoint of the hub.

    `codes` are ISO 639 codes of its language. `greedy` and `with_lm` are published word error rates in percent on
    `test_set`, without and with a language model; None where none was found.
    """

    name: str
    codes: tuple[str, ...]
    language: str
    family: str
    size: Size
    licence: str
    greedy: float | None = None
    with_lm: float | None = None
    test_set: str | None = None

    @property
    def source(self) -> str:
        """Where the figures stand: the checkpoint's page on the hub."""
        return f"https://huggingface.co/{self.name}"

    def speaks(self, language: str) -> bool:
        """Whether it is for a language: a code, with or without a region, or its English name."""
        wanted = language.replace("_", "-").lower()
        return wanted.partition("-")[0] in self.codes or wanted == self.language.lower()


def recommended() -> tuple[Recommendation, ...]:
    """All of them: English first, then by the name of the language, those of many languages last."""
    data = tomllib.loads((files(__package__) / "recommended.toml").read_text("utf-8"))
    sizes = {name: Size(**values) for name, values in data["sizes"].items()}
    return tuple(_recommendation(entry, sizes) for entry in data["models"])


def recommended_for(language: str) -> Sequence[Recommendation]:
    """Those of one language, and those of many languages behind them.

    Raises `OptionError` for a language that none is listed for, with those there are.
    """
    found = [model for model in recommended() if model.speaks(language)]
    many = [model for model in recommended() if MANY in model.codes]
    if not found:
        codes = ", ".join(sorted({model.codes[0] for model in recommended()} - {MANY}))
        hint = f"streaming-asr models {many[0].name} lists the languages of a model that has many"
        raise OptionError(f"no model is recommended for the language {language!r}; there are {codes}; {hint}")
    return found + [model for model in many if model not in found]


def _recommendation(entry: Mapping[str, Any], sizes: Mapping[str, Size]) -> Recommendation:
    return Recommendation(**{**entry, "codes": tuple(entry["codes"]), "size": sizes[entry["size"]]})
