"""From log-probabilities to words: searches that keep their state from push to push."""

from streaming_asr.decoding.alphabet import Alphabet
from streaming_asr.decoding.arpa import read_arpa
from streaming_asr.decoding.beam import BeamSearch, warm_up_search
from streaming_asr.decoding.confidence import frame_confidence, spoken_frames, word_confidence
from streaming_asr.decoding.ctcdecoder import BeamSearchDecoderCTC, OutputBeam, build_ctcdecoder
from streaming_asr.decoding.greedy import GreedySearch
from streaming_asr.decoding.hotwords import DEFAULT_WEIGHT, Hotwords
from streaming_asr.decoding.language_model import (
    KenNgrams,
    LanguageModel,
    LanguageModelOptions,
    NgramLanguageModel,
)
from streaming_asr.decoding.language_model_files import load_language_model
from streaming_asr.decoding.ngrams import Ngrams
from streaming_asr.decoding.search import Beam, BeamWord, HotwordInput, Search, text_of

__all__ = [
    "DEFAULT_WEIGHT",
    "Alphabet",
    "Beam",
    "BeamSearch",
    "BeamSearchDecoderCTC",
    "BeamWord",
    "GreedySearch",
    "HotwordInput",
    "Hotwords",
    "KenNgrams",
    "LanguageModel",
    "LanguageModelOptions",
    "NgramLanguageModel",
    "Ngrams",
    "OutputBeam",
    "Search",
    "build_ctcdecoder",
    "frame_confidence",
    "load_language_model",
    "read_arpa",
    "spoken_frames",
    "text_of",
    "warm_up_search",
    "word_confidence",
]
