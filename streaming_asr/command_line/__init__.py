"""The command `streaming-asr`: files, microphone and terminal around the library; needs no torch to start."""

from streaming_asr.command_line.application import main

__all__ = ["main"]
