"""Makes the word n-gram language model that is shipped beside a model.

`python -m training.language_model FOLDER --text ../shared/text --corpus prepared/real` counts free text and the
transcripts of the training part, estimates modified Kneser-Ney, prunes, and writes two files into FOLDER: ngrams.npz,
which this project scores by itself, and attrs.json with the weights. `--arpa` writes an ARPA file with its list of
words instead, in the layout of `Wav2Vec2ProcessorWithLM`'s `language_model/`, for every other tool.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console

from streaming_asr.decoding.ngrams import Level, Ngrams
from training.corpus import Corpus
from training.kneser_ney import BEGIN, END, UNKNOWN, Ids, Order, Reals, estimate, prune
from training.synthesize import read_text, text_files
from training.transcripts import is_spellable, normalize

MARKS: Final = {UNKNOWN: "<unk>", BEGIN: "<s>", END: "</s>"}
OVERLAP: Final = 8
"""Sentences that share this many words in a row with a held-out one are left out."""


def read_sentences(files: Iterable[Path]) -> Iterator[str]:
    """The normalized sentences of some text files; lines that hold digits or signs are left out."""
    for path in files:
        yield from (normalize(line) for line in read_text(path) if is_spellable(line))


def without(sentences: Iterable[str], held_out: Iterable[str]) -> Iterator[str]:
    """The sentences that neither equal a held-out one nor share `OVERLAP` words in a row with one."""
    held = list(held_out)
    exact, runs = set(held), {run for sentence in held for run in _runs(sentence)}
    return (one for one in sentences if one not in exact and not any(run in runs for run in _runs(one)))


def once(sentences: Iterable[str]) -> Iterator[str]:
    """Each sentence of `OVERLAP` words and more once: to stand in two collections makes none more likely."""
    seen = set[str]()
    for sentence in sentences:
        is_long = len(sentence.split()) >= OVERLAP
        if not is_long or sentence not in seen:
            yield sentence
        if is_long:
            seen.add(sentence)


def _runs(sentence: str) -> Iterator[str]:
    words = sentence.split()
    return (" ".join(words[start : start + OVERLAP]) for start in range(len(words) - OVERLAP + 1))


def choose_words(sentences: Iterable[str], least: int, most: int) -> list[str]:
    """The words seen at least so often, the most frequent first, at most so many."""
    counts = Counter(word for sentence in sentences for word in sentence.split())
    return [word for word, count in counts.most_common(most) if count >= least]


def encode_sentences(sentences: Iterable[str], words: Sequence[str]) -> list[Ids]:
    """Sentences as ids, (words,) each; words that are not in the list are `UNKNOWN`."""
    ids = {word: number + len(MARKS) for number, word in enumerate(words)}
    return [np.array([ids.get(word, UNKNOWN) for word in one.split()], dtype=np.int64) for one in sentences]


def write_arpa(path: Path, orders: Sequence[Order], words: Sequence[str]) -> None:
    """The ARPA file of a model, logarithms to base 10 with three decimals."""
    names = [*MARKS.values(), *words]
    with path.open("w", encoding="utf-8") as file:
        file.write("\\data\\\n" + "".join(f"ngram {n}={len(order)}\n" for n, order in enumerate(orders, start=1)))
        texts = names
        for number, order in enumerate(orders, start=1):
            if number > 1:
                texts = [
                    f"{texts[context]} {names[word]}" for context, word in zip(order.context, order.word, strict=True)
                ]
            file.write(f"\n\\{number}-grams:\n")
            file.writelines(_lines(order, texts, number == len(orders)))
        file.write("\n\\end\\\n")


def _lines(order: Order, texts: Sequence[str], is_last: bool) -> Iterator[str]:
    logarithms, weights = _log10(order.probability), _log10(order.weight)
    for text, logarithm, weight in zip(texts, logarithms, weights, strict=True):
        yield f"{logarithm:.3f}\t{text}\n" if is_last or weight == 0 else f"{logarithm:.3f}\t{text}\t{weight:.3f}\n"


def to_ngrams(orders: Sequence[Order], words: Sequence[str]) -> Ngrams:
    """The model as the recognizer scores it."""
    number = np.min_scalar_type(len(MARKS) + len(words))
    levels = [
        Level(one.context, one.word.astype(number), _log10(one.probability), _log10(one.weight)) for one in orders
    ]
    return Ngrams([*MARKS.values(), *words], levels)


def _log10(values: Reals) -> Reals:
    logarithms: Reals = np.log10(np.maximum(values, 1e-99))
    return logarithms


def write_folder(
    folder: Path, orders: Sequence[Order], words: Sequence[str], weights: tuple[float, float], *, arpa: bool = False
) -> None:
    """A folder that `load_language_model` loads; `weights` are alpha and beta. With `arpa` pyctcdecode loads it too."""
    folder.mkdir(parents=True, exist_ok=True)
    if arpa:
        write_arpa(folder / "lm.arpa", orders, words)
        (folder / "unigrams.txt").write_text("".join(f"{word}\n" for word in sorted(words)), encoding="utf-8")
    else:
        to_ngrams(orders, words).save(folder / "ngrams.npz")
    write_weights(folder, *weights)


def write_weights(folder: Path, alpha: float, beta: float) -> None:
    """attrs.json with the weights of the model and of each word."""
    attributes = {"alpha": alpha, "beta": beta, "unk_score_offset": -10.0, "score_boundary": True}
    (folder / "attrs.json").write_text(json.dumps(attributes) + "\n", encoding="utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", type=Path, required=True, help="a folder of .txt or .txt.xz, one sentence per line")
    parser.add_argument("--corpus", type=Path, help="a folder of training.prepare; its part dev is kept out")
    parser.add_argument("--order", type=int, default=4)
    parser.add_argument("--least", type=int, default=2, help="occurrences that make a word known")
    parser.add_argument("--words", type=int, default=65_000, help="known words at most")
    parser.add_argument("--ngrams", type=int, default=1_500_000, help="n-grams of two words and more that are kept")
    parser.add_argument("--lower-case", action="store_true", help="for models whose tokenizer lowers the case")
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--beta", type=float, default=1.5)
    parser.add_argument("--arpa", action="store_true", help="write an ARPA file, which other tools read")
    options = parser.parse_args()
    corpus = Corpus.open(options.corpus) if options.corpus else None
    spoken = [one.transcript for one in corpus.part("train").utterances] if corpus else []
    held_out = [one.transcript for one in corpus.part("dev").utterances] if corpus else []
    free = read_sentences(text_files(options.text))
    sentences = [*once(without(free, held_out)), *without(dict.fromkeys(spoken), held_out)]
    if options.lower_case:
        sentences = [one.lower() for one in sentences]
    words = choose_words(sentences, options.least, options.words)
    orders = prune(estimate(encode_sentences(sentences, words), options.order, len(words) + 3), options.ngrams)
    write_folder(options.folder, orders, words, (options.alpha, options.beta), arpa=options.arpa)
    sizes = {path.name: path.stat().st_size for path in sorted(options.folder.iterdir())}
    Console().print(f"{len(sentences)} sentences, n-grams {[len(order) for order in orders]}, bytes {sizes}")


if __name__ == "__main__":
    main()
