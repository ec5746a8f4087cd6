"""Language codes: ISO 639-1, 639-3 and BCP 47, and the codes of MMS, which add a script or a dialect to ISO 639-3."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final

import langcodes

_MMS: Final = re.compile(r"(?P<language>[a-z]{3})(?:-script_(?P<script>[a-z]+))?(?:-dialect_\w+)?")
_SCRIPTS: Final[Mapping[str, str]] = {
    "arabic": "Arab",
    "cyrillic": "Cyrl",
    "devanagari": "Deva",
    "latin": "Latn",
    "simplified": "Hans",
    "tifinagh": "Tfng",
    "traditional": "Hant",
}
_FARTHEST: Final = 9
"""The distance up to which a language is taken for another: regions are 5 apart, scripts 50, near languages over 10."""
_NAMES: Final[Mapping[str, str]] = {
    **{"arabic": "ar", "assamese": "as", "basque": "eu", "bengali": "bn", "breton": "br", "bulgarian": "bg"},
    **{"catalan": "ca", "chinese": "zh", "croatian": "hr", "czech": "cs", "danish": "da", "dutch": "nl"},
    **{"english": "en", "esperanto": "eo", "estonian": "et", "finnish": "fi", "french": "fr", "frisian": "fy"},
    **{"galician": "gl", "georgian": "ka", "german": "de", "greek": "el", "hausa": "ha", "hebrew": "he"},
    **{"hindi": "hi", "hungarian": "hu", "icelandic": "is", "indonesian": "id", "irish": "ga", "italian": "it"},
    **{"japanese": "ja", "kazakh": "kk", "kinyarwanda": "rw", "korean": "ko", "kyrgyz": "ky", "latvian": "lv"},
    **{"lithuanian": "lt", "luganda": "lg", "maltese": "mt", "marathi": "mr", "mongolian": "mn", "norwegian": "no"},
    **{"odia": "or", "persian": "fa", "polish": "pl", "portuguese": "pt", "punjabi": "pa", "romanian": "ro"},
    **{"russian": "ru", "slovak": "sk", "slovenian": "sl", "spanish": "es", "swahili": "sw", "swedish": "sv"},
    **{"tamil": "ta", "tatar": "tt", "telugu": "te", "thai": "th", "turkish": "tr", "ukrainian": "uk"},
    **{"urdu": "ur", "uyghur": "ug", "uzbek": "uz", "vietnamese": "vi", "welsh": "cy", "yoruba": "yo"},
}
"""English names of languages, as authors put them into the names of checkpoints."""


@lru_cache(maxsize=4096)
def language_tag(code: str) -> str | None:
    """A code as a BCP 47 tag in its usual form ("fra" is "fr"); None for what names no language."""
    match = _MMS.fullmatch(code)
    script = _SCRIPTS.get(match["script"] or "") if match else None
    plain = code if match is None else f"{match['language']}-{script}" if script else match["language"]
    try:
        tag = langcodes.standardize_tag(plain)
        return tag if langcodes.Language.get(tag).is_valid() else None
    except ValueError:
        return None


def match_language(asked: str, available: Collection[str]) -> str | None:
    """The one of the available codes that is meant: the same code, or the nearest tag; None where none is near."""
    if asked in available:
        return asked
    wanted = language_tag(asked)
    tags = {tag: code for code in sorted(available, reverse=True) if (tag := language_tag(code)) is not None}
    if wanted is None or not tags:
        return None
    return tags.get(langcodes.closest_match(wanted, list(tags), max_distance=_FARTHEST)[0])


def language_of_name(name: str) -> str | None:
    """The language that the name of a checkpoint hints at: an English name in it, or a code of two letters at its end.

    "wav2vec2-large-xlsr-53-french" is "fr", "wav2vec2-base-10k-voxpopuli-ft-de" is "de".
    """
    parts = re.split(r"[^a-z0-9]+", name.rpartition("/")[2].lower())
    named = {_NAMES[part] for part in parts if part in _NAMES}
    if len(named) == 1:
        return named.pop()
    last = parts[-1] if len(parts) > 1 else ""
    return last if not named and len(last) == 2 and last.isalpha() and language_tag(last) == last else None
