"""What numba compiles of `BeamSearch`, on rows of numbers; imported only where numba is installed."""

from streaming_asr.decoding.compiled.loop import advance
from streaming_asr.decoding.compiled.reading import beginnings, depths, endings, keep, needed, readings, shared
from streaming_asr.decoding.compiled.words import complete, lengthen

__all__ = ["advance", "beginnings", "complete", "depths", "endings", "keep", "lengthen", "needed", "readings", "shared"]
