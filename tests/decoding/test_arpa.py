from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from streaming_asr.decoding.arpa import is_arpa, read_arpa, read_arpa_words
from streaming_asr.errors import CheckpointError


def test_an_arpa_file_is_read_with_its_quirks(tmp_path: Path) -> None:
    path = tmp_path / "a.arpa"
    path.write_text(
        "\n\\data\\\nngram 1=4\nngram 2=1\n\n\n\\1-grams:\n-1.5 <UNK>\n-99\t<s>\t-0.25\n"
        "-1\t</s>\n-0.5 fée\u00a0!\t-0.125\n"
        "\\2-grams:\n-0.75\t<s> fée\u00a0!\r\n\n\\end\\\n",
        encoding="utf-8",
    )
    ngrams, word = read_arpa(path), "fée\u00a0!"
    assert ngrams.words == read_arpa_words(path) == [word]
    first, state = ngrams.score(ngrams.start(boundary=True), word)
    second, state = ngrams.score(state, word)
    assert (first, second, ngrams.score(state, "x")[0]) == (-0.75, -0.625, -1.625)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"it has no line '\\data\\'"),
        ("hello\n", r"it has no line '\\data\\'"),
        ("\\data\\\nngram 1=2\n\n\\2-grams:\n", r"line 4 is '.+2-grams:'; it must be '\\1-grams:'"),
        ("\\data\\\n\n", "it counts no n-grams"),
        ("\\data\\\nngram 2=1\n", "line 2 is 'ngram 2=1'; it must be 'ngram 1=NUMBER'"),
        ("\\data\\\nngram 1=3\n\n\\1-grams:\n-1 <s>\n-1 </s>\n-1 a b c\n", "line 7 has 4 fields; a 1-gram has 2 or 3"),
        ("\\data\\\nngram 1=3\n\n\\1-grams:\n-1 <s>\n-1 </s>\n-1 <s>\n", "line 7: '<s>' comes twice"),
        ("\\data\\\nngram 1=2\n\n\\1-grams:\n-1 <s>\n-x </s>\n", "line 6: could not convert"),
        ("\\data\\\nngram 1=1\n\n\\1-grams:\n-1 <s>\n\\end\\\n", "</s> must be among the words"),
        (
            "\\data\\\nngram 1=2\n\n\\1-grams:\n-1 <s>\n-1 </s>\n-1 a\n\\end\\\n",
            r"line 7 is '-1 a'; it must be '\\end\\'",
        ),
        (
            "\\data\\\nngram 1=2\nngram 2=1\n\n\\1-grams:\n-1 <s>\n-1 </s>\n\n\\2-grams:\n-1 <s> a\n\n\\end\\\n",
            "line 10: 'a' is no 1-gram",
        ),
        (
            "\\data\\\nngram 1=2\nngram 2=1\nngram 3=1\n\n\\1-grams:\n-1 <s>\n-1 </s>\n\n\\2-grams:\n-1 <s> </s>\n\n"
            "\\3-grams:\n-1 </s> <s> </s>\n\n\\end\\\n",
            "the first words of some 3-gram are no 2-gram",
        ),
        (
            "\\data\\\nngram 1=2\nngram 2=2\n\n\\1-grams:\n-1 <s>\n-1 </s>\n\n\\2-grams:\n"
            "-1 <s> </s>\n-1 <s> </s>\n\\end\\\n",
            "some 2-gram comes twice",
        ),
    ],
)
def test_an_arpa_file_that_cannot_be_understood_names_the_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "a.arpa"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"a\.arpa is not an ARPA file that can be read: {says}"):
        read_arpa(path)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    for read in (is_arpa, read_arpa, read_arpa_words):
        with pytest.raises(CheckpointError, match=r"nowhere\.arpa is not an ARPA file that can be read"):
            read(tmp_path / "nowhere.arpa")


SMALL = "\\data\\\nngram 1=3\n\n\\1-grams:\n-1 <s>\n-1 </s>\n-0.5 ab\n\n\\end\\\n"


@pytest.mark.parametrize(
    "content",
    [
        SMALL.encode(),
        b"\xef\xbb\xbf" + SMALL.encode(),
        b"\xef\xbb\xbf# made by hand\nand described here\n" + SMALL.encode(),
        gzip.compress(SMALL.encode()),
        gzip.compress(b"# packed\n" + SMALL.encode()),
    ],
    ids=["plain", "mark", "comments", "gzip", "gzip with a comment"],
)
def test_marks_comments_and_gzip_are_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.arpa"
    path.write_bytes(content)
    assert is_arpa(path)
    assert read_arpa(path).words == read_arpa_words(path) == ["ab"]


def test_a_gzip_file_that_breaks_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.arpa.gz"
    path.write_bytes(gzip.compress(SMALL.encode())[:-20])
    with pytest.raises(CheckpointError, match=r"a\.arpa\.gz is not an ARPA file that can be read: "):
        read_arpa(path)
