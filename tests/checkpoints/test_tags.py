"""Language codes of every kind: which language is meant, and which one of a checkpoint's is near enough."""

from __future__ import annotations

import pytest

from streaming_asr.checkpoints.tags import language_of_name, language_tag, match_language

MMS = ("fra", "eng", "uzb-script_latin", "uzb-script_cyrillic", "cmn-script_simplified", "quc-dialect_east")


@pytest.mark.parametrize(
    ("code", "tag"),
    [
        *[("fra", "fr"), ("fr", "fr"), ("fr_CA", "fr-CA"), ("pt-br", "pt-BR"), ("yue", "yue")],
        *[("uzb-script_cyrillic", "uz-Cyrl"), ("quc-dialect_east", "quc")],
        *[("klingon", None), ("zzz", None), ("", None), ("123", None)],
    ],
)
def test_codes_become_tags(code: str, tag: str | None) -> None:
    assert language_tag(code) == tag


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        *[("fra", "fra"), ("fr", "fra"), ("fr-CA", "fra"), ("EN-gb", "eng")],
        *[
            ("uz", "uzb-script_latin"),
            ("uz-Cyrl", "uzb-script_cyrillic"),
            ("uzb-script_cyrillic", "uzb-script_cyrillic"),
        ],
        *[("zh", "cmn-script_simplified"), ("quc", "quc-dialect_east")],
        *[("de", None), ("zh-Hant", None), ("nonsense", None)],
    ],
)
def test_the_nearest_language_is_found_and_no_other(asked: str, found: str | None) -> None:
    assert match_language(asked, MMS) == found


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("someone/wav2vec2-large-xlsr-53-french", "fr"),
        ("someone/wav2vec2-base-10k-voxpopuli-ft-de", "de"),
        ("someone/wav2vec2-german-to-french", None),
        ("someone/wav2vec2-base-960h", None),
        ("fr", None),
    ],
)
def test_names_hint_at_languages(name: str, language: str | None) -> None:
    assert language_of_name(name) == language
