"""Text as one reads it: marks, capitals, figures, and whether a sentence is complete."""

from streaming_asr.text.formatting import FormatOptions, Formatter
from streaming_asr.text.loading import load_text_model, spellings
from streaming_asr.text.model import TextModel

__all__ = ["FormatOptions", "Formatter", "TextModel", "load_text_model", "spellings"]
