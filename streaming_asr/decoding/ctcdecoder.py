"""pyctcdecode 0.5.0's interface over our search: another import, the same results, numpy 1 or 2.

`from streaming_asr.decoding import build_ctcdecoder` stands for `from pyctcdecode import build_ctcdecoder`. Folders
that pyctcdecode or transformers' `Wav2Vec2ProcessorWithLM` wrote can be read, and those written here can be read by
them.
ARPA files need no kenlm.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeAlias
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from streaming_asr.decoding.alphabet import Alphabet
from streaming_asr.decoding.arpa import is_arpa, read_arpa_contexts
from streaming_asr.decoding.beam import BeamSearch
from streaming_asr.decoding.frames import LOWEST_PROB
from streaming_asr.decoding.hotwords import DEFAULT_WEIGHT, Hotwords
from streaming_asr.decoding.language_model import LanguageModelOptions, NgramLanguageModel
from streaming_asr.decoding.language_model_files import (
    ATTRIBUTE_NAMES,
    ATTRIBUTES,
    FOLDER,
    UNIGRAMS,
    load_language_model,
    read_ngrams,
)
from streaming_asr.errors import CheckpointError, MissingExtraError, OptionError

_ALPHABET: Final = "alphabet.json"

Logits: TypeAlias = npt.NDArray[Any]
"""Logits, log-probabilities or probabilities, shape (frames, vocabulary)."""

WordFrames: TypeAlias = tuple[str, tuple[int, int]]
"""A word with its first frame and the one behind its last."""

BeamOfBatch: TypeAlias = tuple[str, list[WordFrames], float, float]
"""Text, words with frames, acoustic score, score with language model and hotwords."""

_logger = logging.getLogger(__name__)
_keys = count()
_decoders: WeakValueDictionary[int, BeamSearchDecoderCTC] = WeakValueDictionary()
"""The living decoders by key: a forked worker finds a decoder in its copy of this memory, so none is ever sent."""


class OutputBeam(NamedTuple):
    """One reading; a plain tuple to pyctcdecode's callers. `last_lm_state` may start the next part of the audio."""

    text: str
    last_lm_state: Any
    text_frames: list[WordFrames]
    logit_score: float
    lm_score: float


class BeamSearchDecoderCTC:
    """Decodes whole utterances; `BeamSearch` is the way to decode while they are spoken.

    Args:
        alphabet: the labels of the model's columns.
        language_model: n-grams, or None.
    """

    def __init__(self, alphabet: Alphabet, language_model: NgramLanguageModel | None = None) -> None:
        self.alphabet: Final = alphabet
        self._language_model = language_model
        self._key = next(_keys)
        _decoders[self._key] = self

    @property
    def language_model(self) -> NgramLanguageModel | None:
        """The language model with its weights of now."""
        return self._language_model

    def reset_params(
        self,
        alpha: float | None = None,
        beta: float | None = None,
        unk_score_offset: float | None = None,
        lm_score_boundary: bool | None = None,
    ) -> None:
        """Replace some of the language model's weights; without a language model nothing happens."""
        if self._language_model is None:
            return
        given = {"alpha": alpha, "beta": beta, "unk_score_offset": unk_score_offset}
        changes: dict[str, Any] = {**given, "score_boundary": lm_score_boundary}
        changes = {name: value for name, value in changes.items() if value is not None}
        self._language_model = self._language_model.with_options(replace(self._language_model.options, **changes))

    def cleanup(self) -> None:
        """Do nothing: pyctcdecode keeps language models until this is called, here they go with their decoders."""

    def decode(
        self,
        logits: Logits,
        beam_width: int = 100,
        beam_prune_logp: float = -10.0,
        token_min_logp: float = -5.0,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float = DEFAULT_WEIGHT,
        lm_start_state: Any = None,
    ) -> str:
        """The best text; arguments as for `decode_beams`, with history pruning."""
        beams = self._search(
            logits, beam_width, beam_prune_logp, token_min_logp, True, hotwords, hotword_weight, lm_start_state, limit=1
        )
        return beams[0].text

    def decode_beams(
        self,
        logits: Logits,
        beam_width: int = 100,
        beam_prune_logp: float = -10.0,
        token_min_logp: float = -5.0,
        prune_history: bool = False,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float = DEFAULT_WEIGHT,
        lm_start_state: Any = None,
    ) -> list[OutputBeam]:
        """All readings, best first.

        Args:
            logits: logits, log-probabilities or probabilities, shape (frames, vocabulary).
            beam_width: most beams kept after a frame.
            beam_prune_logp: beams further than this below the best are dropped; natural logarithm, at most 0.
            token_min_logp: tokens below this are not tried, unless they are the most probable of their frame.
            prune_history: whether of beams that the language model cannot tell apart any more only the best is kept.
            hotwords: words that earn `hotword_weight` where they stand whole, and a share of it while they are read.
                They are taken as they are written.
            hotword_weight: in natural logarithms.
            lm_start_state: `last_lm_state` of what was decoded before, whose words then count as context.

        Raises OptionError, a ValueError, for a wrong shape, NaN, or an option that cannot work.
        """
        return self._search(
            logits, beam_width, beam_prune_logp, token_min_logp, prune_history, hotwords, hotword_weight, lm_start_state
        )

    def decode_batch(
        self,
        pool: Any,
        logits_list: Iterable[Logits],
        beam_width: int = 100,
        beam_prune_logp: float = -10.0,
        token_min_logp: float = -5.0,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float = DEFAULT_WEIGHT,
    ) -> list[str]:
        """The best text of each utterance; `pool` as for `decode_beams_batch`, the rest as for `decode`."""
        words = None if hotwords is None else list(hotwords)
        options = (beam_width, beam_prune_logp, token_min_logp, words, hotword_weight)
        return self._map(pool, _decode, logits_list, options)

    def decode_beams_batch(
        self,
        pool: Any,
        logits_list: Iterable[Logits],
        beam_width: int = 100,
        beam_prune_logp: float = -10.0,
        token_min_logp: float = -5.0,
        prune_history: bool = False,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float = DEFAULT_WEIGHT,
    ) -> list[list[BeamOfBatch]]:
        """All readings of each utterance, without language model states.

        `pool` is None or a pool of threads or processes. Processes must be forked after this decoder was made;
        others, which do not know it, are left idle, and a log line says so. The rest is as for `decode_beams`.
        """
        words = None if hotwords is None else list(hotwords)
        options = (beam_width, beam_prune_logp, token_min_logp, prune_history, words, hotword_weight)
        return self._map(pool, _decode_beams, logits_list, options)

    def save_to_dir(self, filepath: str | Path) -> None:
        """Write the alphabet and the language model into a folder that `load_from_dir` and pyctcdecode read.

        Raises OptionError where the language model did not come from a file, FileExistsError where the folder has a
        language model.
        """
        folder = Path(filepath)
        model = self._language_model
        if model is not None and model.file is None:
            raise OptionError("the language model was not read from a file, so it cannot be copied into a folder")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _ALPHABET).write_text(self.alphabet.dumps(), encoding="utf-8")
        if model is not None and model.file is not None:
            _save_language_model(model, model.file, folder / FOLDER)

    @classmethod
    def load_from_dir(cls, filepath: str | Path, unigram_encoding: str | None = None) -> Self:
        """Read a folder of `save_to_dir`, of pyctcdecode, or of `Wav2Vec2ProcessorWithLM`.

        `unigram_encoding` is that of the list of words, UTF-8 if None. Raises CheckpointError for what is missing or
        unreadable.
        """
        folder = Path(filepath)
        try:
            alphabet = Alphabet.loads((folder / _ALPHABET).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{folder} is no folder of a decoder with an {_ALPHABET}: {error}") from error
        if not (folder / FOLDER).is_dir():
            return cls(alphabet)
        encoding = unigram_encoding or "utf-8"
        return cls(alphabet, load_language_model(folder / FOLDER, alphabet, case="as is", encoding=encoding))

    @classmethod
    def load_from_hf_hub(cls, model_id: str, cache_dir: str | Path | None = None, **kwargs: Any) -> Self:
        """Fetch a decoder from the Hugging Face hub and read it as `load_from_dir` does.

        Only the decoder's files are fetched, into the hub's own cache if `cache_dir` is None. `kwargs` go to
        `huggingface_hub.snapshot_download`, whose errors are raised. MissingExtraError without huggingface_hub.
        """
        try:
            from huggingface_hub import snapshot_download
        except ImportError as error:
            raise MissingExtraError("a decoder of the Hugging Face hub", "recognizer") from error
        wanted = {"allow_patterns": [_ALPHABET, f"{FOLDER}/*"], **kwargs}
        return cls.load_from_dir(snapshot_download(model_id, cache_dir=cache_dir, **wanted))

    def _search(
        self,
        logits: Logits,
        beam_width: int,
        beam_prune_logp: float,
        token_min_logp: float,
        prune_history: bool,
        hotwords: Iterable[str] | None,
        hotword_weight: float,
        lm_start_state: Any,
        limit: int | None = None,
    ) -> list[OutputBeam]:
        order = 1 if self._language_model is None else self._language_model.order
        search = BeamSearch(
            self.alphabet,
            beam_width=beam_width,
            language_model=self._language_model,
            hotwords=_verbatim(hotwords, hotword_weight),
            beam_prune_logp=beam_prune_logp,
            token_min_logp=token_min_logp,
            start=lm_start_state,
            history_words=max(1, order - 1) if prune_history else None,
        )
        search.push(_as_log_probs(logits, len(self.alphabet.labels)))
        return [
            OutputBeam(
                beam.text,
                beam.language_model_state,
                [(word.text, (word.start_frame, word.end_frame)) for word in beam.words],
                beam.logit_score,
                beam.score,
            )
            for beam in search.finish(limit)
        ]

    def _map(self, pool: Any, work: Any, logits_list: Iterable[Logits], options: tuple[Any, ...]) -> list[Any]:
        if pool is not None and not pool.apply(_is_known, (self._key,)):
            _logger.warning("the pool's processes were not forked after this decoder was made; they are left idle")
            pool = None
        task = partial(work, self._key, options)
        return [task(logits) for logits in logits_list] if pool is None else list(pool.map(task, logits_list))


def build_ctcdecoder(
    labels: Sequence[str],
    kenlm_model_path: str | Path | None = None,
    unigrams: Collection[str] | None = None,
    alpha: float = 0.5,
    beta: float = 1.5,
    unk_score_offset: float = -10.0,
    lm_score_boundary: bool = True,
) -> BeamSearchDecoderCTC:
    """A decoder for the labels of a CTC head.

    Args:
        labels: one per column of the logits, as `Alphabet` takes them.
        kenlm_model_path: an ARPA file or a KenLM binary; only the binary needs the extra `lm`.
        unigrams: the words that the language model knows; None: those of the ARPA file.
        alpha: what the language model's score is multiplied by.
        beta: what is added for each word.
        unk_score_offset: what is added for each unknown word, before `alpha`.
        lm_score_boundary: whether the beginning and the end of the sentence count.

    Raises OptionError for what cannot work, CheckpointError for a file that cannot be read.
    """
    alphabet = Alphabet(labels)
    if kenlm_model_path is None:
        return BeamSearchDecoderCTC(alphabet)
    path = Path(kenlm_model_path)
    options = LanguageModelOptions(
        alpha=alpha, beta=beta, unk_score_offset=unk_score_offset, score_boundary=lm_score_boundary
    )
    ngrams = read_ngrams(path)
    if unigrams is None and is_arpa(path):
        unigrams = read_arpa_contexts(path)
    if unigrams is None:
        _logger.warning("%s does not list its words; give them as `unigrams`, or decoding is worse", path)
    return BeamSearchDecoderCTC(alphabet, NgramLanguageModel(ngrams, unigrams, options, file=path))


# What a worker of a pool does.


def _is_known(key: int) -> bool:
    return key in _decoders


def _decode(key: int, options: tuple[Any, ...], logits: Logits) -> str:
    return _decoders[key].decode(logits, *options)


def _decode_beams(key: int, options: tuple[Any, ...], logits: Logits) -> list[BeamOfBatch]:
    beams = _decoders[key].decode_beams(logits, *options)
    return [(beam.text, beam.text_frames, beam.logit_score, beam.lm_score) for beam in beams]


def _verbatim(hotwords: Iterable[str] | None, weight: float) -> Hotwords:
    if isinstance(hotwords, str):
        raise OptionError(f"hotwords are {hotwords!r}; they must be a list of strings")
    return Hotwords(dict.fromkeys(hotwords or (), float(weight)), None)


def _as_log_probs(logits: Logits, vocabulary: int) -> Logits:
    """Logits or probabilities as natural logarithms of probabilities; rows that sum up to 1 are probabilities."""
    array = np.asarray(logits)
    if array.ndim != 2 or array.shape[1] != vocabulary:
        raise OptionError(f"logits have shape {array.shape}; (frames, {vocabulary}) is needed")
    if len(array) and math.isclose(array.sum(axis=1).mean(), 1):
        return np.asarray(np.log(np.clip(array, LOWEST_PROB, 1)))
    return _log_softmax(array)


def _log_softmax(logits: Logits) -> Logits:
    """(frames, vocabulary) -> the same shape, in pyctcdecode's order of operations."""
    highest = logits.max(axis=1, keepdims=True)
    shifted = logits - np.where(np.isfinite(highest), highest, 0).astype(highest.dtype)
    with np.errstate(divide="ignore"):
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _save_language_model(model: NgramLanguageModel, file: Path, folder: Path) -> None:
    folder.mkdir()
    attributes = {name: getattr(model.options, name) for name in ATTRIBUTE_NAMES}
    (folder / ATTRIBUTES).write_text(json.dumps(attributes), encoding="utf-8")
    words = [] if model.vocabulary is None else model.vocabulary.words
    (folder / UNIGRAMS).write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    shutil.copy2(file, folder / file.name)
