"""The language of a recording whose utterances were each found to be in one."""

from __future__ import annotations

from collections.abc import Sequence

from streaming_asr.events import DetectedLanguage, Final


def main_language(finals: Sequence[Final]) -> DetectedLanguage | None:
    """The language with the most speech, with the mean confidence of its utterances; None if none was found out."""
    seconds: dict[str, float] = {}
    for final in finals:
        if final.language is not None:
            seconds[final.language.code] = seconds.get(final.language.code, 0.0) + final.end - final.start
    if not seconds:
        return None
    code = max(seconds, key=lambda one: seconds[one])
    sure = [final.language.confidence for final in finals if final.language and final.language.code == code]
    return DetectedLanguage(code, sum(sure) / len(sure))
