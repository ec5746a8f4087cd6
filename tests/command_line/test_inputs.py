"""What a file name on the command line means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from streaming_asr.audio.sources import ByteStream
from streaming_asr.command_line.inputs import Rewound, duration, open_input
from streaming_asr.command_line.options import RawAudioOptions
from streaming_asr.errors import AudioError

RAW = RawAudioOptions(encoding="mulaw", sample_rate=8000, channels=2)


class Bytes:
    """Bytes that arrive in packets."""

    def __init__(self, *packets: bytes) -> None:
        self._packets = list(packets)

    def read1(self, size: int, /) -> bytes:
        return self._packets.pop(0) if self._packets else b""


def read_all(stream: ByteStream, size: int) -> list[bytes]:
    pieces = []
    while piece := stream.read1(size):
        pieces.append(piece)
    return pieces


def test_a_recording_knows_its_own_rate_whatever_the_raw_options_say(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(22_050, dtype=np.float32), 22_050)
    with open_input(str(tmp_path / "a.wav"), RAW) as source:
        assert (source.sample_rate, source.channels, duration(source)) == (22_050, 1, 1.0)


@pytest.mark.parametrize("name", ["a.raw", "a.PCM", "a.ul", "a.alaw"])
def test_a_file_without_header_is_what_the_raw_options_say(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(bytes(16_000))
    with open_input(str(tmp_path / name), RAW) as source:
        assert (source.sample_rate, source.channels, duration(source)) == (8000, 2, None)
        assert sum(len(piece) for piece in source) == 8000


def test_a_raw_file_that_is_not_there_is_named() -> None:
    with pytest.raises(AudioError, match=r"nowhere\.raw"), open_input("nowhere.raw", RAW):
        pass


@pytest.mark.parametrize("size", [1, 2, 100])
def test_what_was_looked_at_is_given_again(size: int) -> None:
    assert b"".join(read_all(Rewound(b"head", Bytes(b"and", b"the rest")), size)) == b"headandthe rest"
