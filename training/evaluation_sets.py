"""The sets on which models are judged: held-out recordings by kind, and two kinds derived from them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from training.augment import add_noise, companded, telephone_band
from training.corpus import Corpus, Utterance

KINDS: Final[Mapping[str, str]] = {
    "en_librispeech_tc5": "clean read",
    "en_librispeech_tc100x251": "other read",
    "en_commonvoice": "Common Voice",
    "en_commonvoice_d13": "Common Voice",
    "en_speechocean762": "non-native",
}
NOISY_DB: Final = (5.0, 15.0)


@dataclass(frozen=True, slots=True)
class Example:
    """One recording to recognize, shape (samples,), and what is said in it, normalized."""

    samples: Samples
    transcript: str

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / SAMPLE_RATE


def evaluation_sets(corpus: Corpus, noises: Sequence[Samples], limit: int | None = None) -> dict[str, list[Example]]:
    """The sets by name, at most `limit` recordings each; telephone band and noisy are made of every fourth one.

    Everything is chosen by the names of the recordings, so that the sets are the same on every machine.
    """
    ordered = sorted(corpus.utterances, key=lambda utterance: zlib.crc32(utterance.name.encode()))
    names = list(dict.fromkeys(KINDS.get(utterance.collection, utterance.collection) for utterance in ordered))
    sets = {
        name: [one for one in ordered if KINDS.get(one.collection, one.collection) == name]
        for name in sorted(names, key=lambda name: [*KINDS.values(), name].index(name))
    }
    made = {name: [_example(corpus, one, None) for one in members[:limit]] for name, members in sets.items()}
    made["telephone band"] = [_example(corpus, one, on_telephone) for one in ordered[0::4][:limit]]
    if noises:
        made["noisy"] = [
            _example(corpus, one, lambda samples, one=one: in_noise(samples, noises, one.name))  # type: ignore[misc]
            for one in ordered[2::4][:limit]
        ]
    return made


def _example(corpus: Corpus, utterance: Utterance, change: Callable[[Samples], Samples] | None) -> Example:
    samples = corpus.samples(utterance)
    return Example(samples if change is None else change(samples), utterance.transcript)


def on_telephone(samples: Samples) -> Samples:
    """300 to 3400 Hz and 8-bit mu-law."""
    spectrum = np.fft.rfft(samples)
    band = telephone_band(np.linspace(0.0, SAMPLE_RATE / 2, len(spectrum)))
    return companded(np.fft.irfft(spectrum * band, n=len(samples)).astype(np.float32))


def in_noise(samples: Samples, noises: Sequence[Samples], name: str) -> Samples:
    """With one of the noises at 5 to 15 dB, both chosen by the name."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    noise = noises[int(generator.integers(len(noises)))]
    return add_noise(samples, np.resize(noise, len(samples)), generator.uniform(*NOISY_DB))
