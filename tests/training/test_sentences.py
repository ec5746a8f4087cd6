"""Books become sentences for the language model."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.sentences import HeldOut, paragraphs, split, usable

TEI = """<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><p>About it.</p></teiHeader><text><body>
<head>CHAPTER I</head><p>He came
 <hi>home</hi>. She &amp; he left.</p></body></text></TEI>"""


def test_sentences_end_at_their_marks_and_not_behind_titles_or_initials() -> None:
    assert split('He met Mr. Dale and J. Smith. "Well?" said she. "No! I go." Then he left') == [
        "He met Mr. Dale and J. Smith.",
        '"Well?" said she.',
        '"No!',
        'I go."',
        "Then he left",
    ]
    assert split("Am I? So am I. Good.") == ["Am I?", "So am I.", "Good."]


def test_paragraphs_are_lines_whatever_a_book_is_written_in(tmp_path: Path) -> None:
    plain, tei = tmp_path / "plain.txt", tmp_path / "tei.xml"
    plain.write_text("One\n  line.\n\n\nAnother\n")
    tei.write_text(TEI)
    assert list(paragraphs(plain)) == ["One line.", "Another"]
    assert list(paragraphs(tei)) == ["He came home. She & he left."]


def test_a_broken_book_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.xml"
    broken.write_text("<TEI>")
    with pytest.raises(ValueError, match=r"broken\.xml is not XML"):
        list(paragraphs(broken))


def test_what_a_model_cannot_count_is_left_out() -> None:
    assert usable("He left at noon.")
    assert not usable("In 1851 he left.")
    assert not usable("Yes.")
    assert not usable("so " * 81)


def test_held_out_sentences_are_found_in_running_text() -> None:
    held_out = HeldOut(["HE SAT DOWN BY THE FIRE", "IT WAS A VERY OLD HOUSE", "GOOD DAY"])
    assert held_out.within("AND HE SAT DOWN BY THE FIRE AND HE SAT DOWN BY THE FIRE GOOD DAY") == 1
    assert held_out.within("HE SAT DOWN BY THE WINDOW") == 0
