"""Chooses the weights of the language model on held-out recordings: `python -m training.tune MODEL CORPUS`.

Every pair of alpha and beta on a small grid decodes the same log-probabilities, offline, without noise; the best pair
goes to the attrs.json beside the model.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding import Alphabet, BeamSearch, LanguageModel, load_language_model
from streaming_asr.model import Encoder
from training.corpus import Corpus
from training.evaluate import word_error_rate
from training.evaluation_sets import Example, evaluation_sets
from training.language_model import write_weights


def log_probabilities(encoder: Encoder, example: Example) -> FloatArray:
    """Natural logarithms of one recording, (frames, labels)."""
    return np.asarray(torch.log_softmax(encoder(example.samples[None])[0], dim=-1).numpy())


def searched(log_probs: FloatArray, alphabet: Alphabet, language_model: LanguageModel, beam_width: int) -> str:
    """The best text of one recording."""
    search = BeamSearch(alphabet, beam_width=beam_width, language_model=language_model)
    search.push(log_probs)
    return search.finish()[0].text


def tune(
    model: Path, examples: Sequence[Example], alphas: Sequence[float], betas: Sequence[float], beam_width: int = 50
) -> dict[tuple[float, float], float]:
    """The word error rate of each pair of alpha and beta."""
    encoder = Encoder.load(model)
    alphabet = Alphabet(encoder.labels)
    heard = [log_probabilities(encoder, example) for example in examples]
    rates: dict[tuple[float, float], float] = {}
    for alpha, beta in product(alphas, betas):
        language_model = load_language_model(
            model / "language_model", alphabet, alpha=alpha, beta=beta, empty_is_unknown=False
        )
        texts = [searched(log_probs, alphabet, language_model, beam_width) for log_probs in heard]
        rates[alpha, beta] = word_error_rate(examples, texts)
        Console().print(f"alpha {alpha:.2f} beta {beta:.2f}: {100 * rates[alpha, beta]:.2f} %")
    return rates


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a model folder with language_model/ in it")
    parser.add_argument("corpus", type=Path, help="a folder of training.prepare; its part dev is used")
    parser.add_argument("--limit", type=int, default=40, help="recordings per set")
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.4, 0.6, 0.8, 1.0])
    parser.add_argument("--betas", type=float, nargs="+", default=[0.5, 1.5, 2.5])
    options = parser.parse_args()
    torch.set_num_threads(1)
    sets = evaluation_sets(Corpus.open(options.corpus).part("dev"), [], options.limit)
    examples = [example for members in sets.values() for example in members]
    rates = tune(options.model, examples, options.alphas, options.betas)
    alpha, beta = min(rates, key=lambda pair: rates[pair])
    write_weights(options.model / "language_model", alpha, beta)


if __name__ == "__main__":
    main()
