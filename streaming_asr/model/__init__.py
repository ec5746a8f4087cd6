"""The streaming wav2vec2 encoder: only what computes."""

from __future__ import annotations

from streaming_asr.model.context import Context
from streaming_asr.model.encoder import Encoder, Precision
from streaming_asr.model.language import LanguageLayers
from streaming_asr.model.normalization import Normalization
from streaming_asr.model.stream import Chunk, EncoderStream

__all__ = ["Chunk", "Context", "Encoder", "EncoderStream", "LanguageLayers", "Normalization", "Precision"]
