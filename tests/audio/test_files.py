"""Files as they are in the field: killed recorders, joined and damaged files, late sound, several tracks."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.files import FileSource, Pipe
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.errors import AudioError
from tests.audio.recordings import FIRST, SECOND, coded, described_wav, index_first, integers, spans, tone, wav

BOTH = np.concatenate([tone(FIRST, 1), tone(SECOND, 1)])
WHOLE = [(FIRST, 0.0, 1.0), (SECOND, 1.0, 2.0)]
CODED = [tone(FIRST, 1, 48_000), tone(SECOND, 1, 48_000)]
APPLE = b"JUNK" + struct.pack("<I", 28) + bytes(28) + b"FLLR" + struct.pack("<I", 4008) + bytes(4008)

either_way = pytest.mark.parametrize("piped", [False, True], ids=["file", "pipe"])


def opened(content: bytes, *, piped: bool = False, track: int | str | None = None) -> FileSource:
    file = io.BytesIO(content)
    return FileSource(Pipe(file) if piped else file, track=track, name="talk")


def heard(content: bytes, *, piped: bool = False, track: int | str | None = None) -> list[tuple[int, float, float]]:
    """The tones of a recording, and from where to where each is heard."""
    return spans(np.concatenate(list(opened(content, piped=piped, track=track))))


def close_to(wanted: list[tuple[int, float, float]]) -> object:
    return [pytest.approx(span, abs=0.13) for span in wanted]


@either_way
@pytest.mark.parametrize(
    "content",
    [
        wav(BOTH, riff_size=36, data_size=0),
        wav(BOTH, riff_size=4088, data_size=0, before=APPLE),
        wav(BOTH, data_size=len(BOTH) // 2),
        wav(BOTH, data_size=0xFFFF_FFFF, riff_size=0xFFFF_FFFF),
        wav(BOTH, data_size=10 * len(BOTH)),
        wav(BOTH[:SAMPLE_RATE]) + wav(BOTH[SAMPLE_RATE:]),
        wav(tone(FIRST, 1, 8000), rate=8000) + wav(tone(SECOND, 1, 48_000), rate=48_000),
    ],
    ids=["killed", "killed by Apple", "went on", "never known", "too large", "joined", "joined rates"],
)
def test_all_audio_of_a_wav_file_is_read_whatever_its_header_says(content: bytes, piped: bool) -> None:
    assert heard(content, piped=piped) == close_to(WHOLE)


@either_way
@pytest.mark.parametrize(
    ("container", "codec", "changed"),
    [
        ("mp3", "libmp3lame", {"rate": 24_000}),
        ("adts", "aac", {"layout": "stereo"}),
        ("ogg", "libopus", {"layout": "stereo"}),
        ("ogg", "libopus", {}),
        ("ogg", "flac", {"rate": 24_000}),
        ("flac", "flac", {}),
        ("mpegts", "aac", {"rate": 24_000}),
        ("webm", "libopus", {}),
        ("matroska", "flac", {}),
    ],
)
def test_files_that_were_put_together_are_both_read(
    container: str, codec: str, changed: dict[str, str | int], piped: bool
) -> None:
    second = tone(SECOND, 1, int(changed.get("rate", 48_000)))
    content = coded(CODED[:1], container, codec) + coded([second], container, codec, **changed)  # type: ignore[arg-type]
    assert heard(content, piped=piped) == close_to(WHOLE)


FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "200000"}


@pytest.mark.parametrize("order", ["index first", "index last", "mixed", "in fragments"])
def test_mp4_files_that_come_one_behind_the_other_in_a_pipe_are_all_read(order: str) -> None:
    options = FRAGMENTED if order == "in fragments" else None
    first, second, third = (coded([one], "mp4", "aac", options=options) for one in [*CODED, CODED[0]])
    if order in ("index first", "mixed"):
        first, third = index_first(first), index_first(third)
    if order == "index first":
        second = index_first(second)
    source = opened(first + second + third, piped=True)
    assert spans(np.concatenate(list(source))) == close_to([*WHOLE, (FIRST, 2.0, 3.0)])
    assert source.notes == []


def test_mp4_files_in_a_pipe_that_cannot_be_read_are_told_and_the_others_are_heard() -> None:
    first, second = (index_first(coded([one], "mp4", "aac")) for one in CODED)
    bad = first.replace(b"moov", b"junk")
    source = opened(bad + first + bad + second, piped=True)
    assert spans(np.concatenate(list(source))) == close_to(WHOLE)
    assert source.notes == ["damaged: 2 packets, the first at 0.0 s, cannot be decoded"]


def test_an_mp4_file_in_a_pipe_is_heard_before_the_next_one_has_come() -> None:
    first, second = (index_first(coded([one], "mp4", "aac")) for one in CODED)
    heard: list[float] = []

    class Stream:
        """Gives the second file only when the first one was heard."""

        parts = [first + second[:16], second[16:]]  # noqa: RUF012

        def read1(self, size: int) -> bytes:
            if not self.parts:
                return b""
            if len(self.parts) == 1:
                assert sum(heard) > 0.8
            data, self.parts[0] = self.parts[0][:size], self.parts[0][size:]
            if not self.parts[0]:
                self.parts.pop(0)
            return data

    for piece in FileSource(Pipe(Stream())):
        heard.append(len(piece) / SAMPLE_RATE)
    assert sum(heard) == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("container", ["mp4", "ipod", "mov"])
def test_mp4_files_that_were_put_together_are_both_read(container: str) -> None:
    first, second = (coded([one], container, "aac") for one in CODED)
    changed = coded([tone(FIRST, 1, 24_000)], container, "aac", rate=24_000, layout="stereo")
    source = opened(first + second + changed)
    assert source.duration == pytest.approx(3.0, abs=0.2)
    assert spans(np.concatenate(list(source))) == close_to([*WHOLE, (FIRST, 2.0, 3.0)])
    assert source.notes == []


def test_a_part_of_an_mp4_file_that_cannot_be_read_is_told_and_the_others_are_heard() -> None:
    first, second = (coded([one], "mp4", "aac") for one in CODED)
    source = opened(first + second.replace(b"moov", b"junk") + second)
    assert spans(np.concatenate(list(source))) == close_to(WHOLE)
    assert source.notes == ["damaged: a packet, at 1.0 s, cannot be decoded"]


@either_way
@pytest.mark.parametrize(("container", "codec"), [("matroska", "aac"), ("mp4", "aac"), ("mpegts", "aac")])
def test_sound_that_begins_late_and_holes_move_what_follows(container: str, codec: str, piped: bool) -> None:
    content = coded([2.0, CODED[0], 1.5, CODED[1]], container, codec, video_seconds=6)
    assert heard(content, piped=piped) == close_to([(FIRST, 2.0, 3.0), (SECOND, 4.5, 5.5)])


@pytest.mark.parametrize(("track", "hertz"), [(None, SECOND), (0, FIRST), (1, SECOND), ("deu", FIRST), ("eng", SECOND)])
def test_the_default_track_is_heard_or_the_one_that_is_named(track: int | str | None, hertz: int) -> None:
    content = coded(CODED, "matroska", "libopus", tracks=[("deu", False), ("eng", True)])
    assert heard(content, track=track) == close_to([(hertz, 0.0, 1.0)])


def test_a_track_that_is_not_there_is_named() -> None:
    content = coded(CODED, "matroska", "libopus", tracks=[("deu", False), ("eng", True)])
    with pytest.raises(AudioError, match=r"talk .* no audio track 2; its audio tracks are 0 \(deu\), 1 \(eng\)"):
        opened(content, track=2)


@either_way
def test_what_lies_behind_damage_is_read_and_the_damage_is_told(piped: bool) -> None:
    content = bytearray(coded([*CODED, *CODED], "mp3", "libmp3lame"))
    middle = len(content) // 2
    content[middle : middle + 2000] = np.random.default_rng(0).integers(0, 256, 2000, np.uint8).tobytes()
    source = opened(bytes(content), piped=piped)
    found = spans(np.concatenate(list(source)))
    assert found[0] == pytest.approx(WHOLE[0], abs=0.13)
    assert found[-1] == pytest.approx((SECOND, 3.0, 4.0), abs=0.5)
    assert len(source.notes) == 1
    assert "cannot be decoded" in source.notes[0]


@pytest.mark.parametrize(("container", "codec"), [("flac", "flac"), ("matroska", "flac"), ("wav", "pcm_s16le")])
def test_a_file_that_was_cut_off_says_how_much_is_missing(container: str, codec: str) -> None:
    content = coded([*CODED, *CODED], container, codec)
    source = opened(content[: len(content) // 2])
    assert spans(np.concatenate(list(source)))[0] == pytest.approx(WHOLE[0], abs=0.13)
    assert "its header promises 4.0 s" in source.notes[-1]


@either_way
@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "it is empty"), (wav(BOTH[:0]), "there is no audio in it"), (wav(BOTH)[:30], "before its first audio")],
)
def test_a_file_without_audio_is_named(content: bytes, said: str, piped: bool) -> None:
    with pytest.raises(AudioError, match=f"talk cannot be read as audio: .*{said}"):
        list(opened(content, piped=piped))


def extensible(bits: int) -> bytes:
    guid = b"\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    return struct.pack("<HHI", 22, bits, 4) + guid


SIXTEEN = integers(BOTH, 16, 16)
RIFX = (
    b"RIFX" + struct.pack(">I", 36 + len(SIXTEEN)) + b"WAVEfmt "
    + struct.pack(">IHHIIHH", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    + b"data" + struct.pack(">I", len(SIXTEEN)) + np.frombuffer(SIXTEEN, "<i2").astype(">i2").tobytes()
)  # fmt: skip


@either_way
@pytest.mark.parametrize(
    "content",
    [
        described_wav(0xFFFE, 24, integers(BOTH, 20, 24), more=extensible(20)),
        described_wav(0xFFFE, 32, integers(BOTH, 24, 32), more=extensible(24)),
        described_wav(0xFFFE, 20, integers(BOTH, 20, 24), frame_bytes=3, more=extensible(20)),
        described_wav(0xFFFE, 16, SIXTEEN),
        described_wav(1, 20, integers(BOTH, 20, 24), frame_bytes=3),
        described_wav(1, 12, integers(BOTH, 12, 16), frame_bytes=2),
        described_wav(1, 24, integers(BOTH, 24, 32), frame_bytes=4),
        described_wav(1, 16, SIXTEEN).replace(b"fmt \x10", b"fmt \x0e").replace(b"\x10\0data", b"data"),
        RIFX,
    ],
    ids=["20 in 24", "24 in 32", "20 bits", "cut short", "old 20", "old 12", "old 24 in 32", "oldest", "RIFX"],
)
def test_samples_of_an_odd_number_of_bits_are_read(content: bytes, piped: bool) -> None:
    assert heard(content, piped=piped) == close_to(WHOLE)


@either_way
@pytest.mark.parametrize("padding", [b"", b"\0"], ids=["without padding", "with padding"])
@pytest.mark.parametrize("name", [b"LIST", b"bext", b"what"])
def test_chunks_of_odd_length_hide_no_audio(name: bytes, padding: bytes, piped: bool) -> None:
    chunk = name + struct.pack("<I", 603) + b"x" * 603 + padding
    assert heard(wav(BOTH, before=chunk), piped=piped) == close_to(WHOLE)


@either_way
def test_a_chunk_behind_the_audio_is_no_audio_whatever_its_name(piped: bool) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 2 * SAMPLE_RATE, np.uint8).tobytes()
    content = described_wav(1, 16, SIXTEEN) + b"what" + struct.pack("<I", len(noise)) + noise
    content = content[:4] + struct.pack("<I", len(content) - 8) + content[8:]
    source = opened(content, piped=piped)
    assert sum(map(len, source)) == len(BOTH)


def aiff(codec: str, **lengths: int) -> bytes:
    """An AIFF file whose lengths, FORM's and SSND's, may be wrong."""
    content = bytearray(coded(CODED, "aiff", codec))
    for name, length in lengths.items():
        place = content.index(name.encode()) + 4
        content[place : place + 4] = struct.pack(">I", length)
    return bytes(content)


@either_way
@pytest.mark.parametrize(
    "codec", ["pcm_s8", "pcm_s16be", "pcm_s16le", "pcm_s24be", "pcm_s32be", "pcm_f32be", "pcm_f64be", "pcm_mulaw"]
)
def test_all_audio_of_an_aiff_file_is_read_whatever_its_header_says(codec: str, piped: bool) -> None:
    assert heard(aiff(codec), piped=piped) == close_to(WHOLE)
    assert heard(aiff(codec, FORM=0, SSND=0), piped=piped) == close_to(WHOLE)
    assert heard(aiff(codec, FORM=48_000, SSND=48_000), piped=piped) == close_to(WHOLE)


@either_way
def test_an_aiff_file_that_is_coded_is_read_too(piped: bool) -> None:
    assert heard(coded(CODED, "aiff", "adpcm_ima_qt"), piped=piped) == close_to(WHOLE)


@either_way
@pytest.mark.parametrize("codec", ["adpcm_ima_wav", "libmp3lame"])
def test_a_coded_wav_file_says_what_lies_behind_its_end(codec: str, piped: bool) -> None:
    one = coded(CODED, "wav", codec)
    whole, joined = opened(one, piped=piped), opened(one + one, piped=piped)
    assert spans(np.concatenate(list(whole))) == close_to(WHOLE)
    assert spans(np.concatenate(list(joined)))[:2] == close_to(WHOLE)
    assert whole.notes == []
    assert "bytes behind the end that its header states were not read" in joined.notes[0]


@either_way
@pytest.mark.parametrize(("container", "at"), [("caf", 4), ("w64", 16)])
def test_a_size_that_is_too_small_is_told(container: str, at: int, piped: bool) -> None:
    content = bytearray(coded(CODED, container, "pcm_s16le"))
    place = content.index(b"data") + at
    content[place : place + 8] = struct.pack(">Q" if container == "caf" else "<Q", 96_000)
    source = opened(bytes(content), piped=piped)
    assert spans(np.concatenate(list(source))) == close_to(WHOLE[:1])
    assert "bytes behind the end that its header states were not read" in source.notes[0]


@either_way
@pytest.mark.parametrize("codec", ["libopus", "flac"])
def test_an_ogg_file_without_its_first_page_says_so(codec: str, piped: bool) -> None:
    content = coded(CODED, "ogg", codec)
    with pytest.raises(AudioError, match=r"talk .* lacks its beginning"):
        list(opened(content[content.index(b"OggS", 4) :], piped=piped))


@either_way
def test_a_second_channel_that_begins_late_is_heard(piped: bool) -> None:
    silence = np.zeros(SAMPLE_RATE, np.float32)
    left, right = np.concatenate([BOTH[:SAMPLE_RATE], silence]), np.concatenate([silence, BOTH[SAMPLE_RATE:]])
    content = wav(np.stack([left, right], axis=1).reshape(-1))
    content = content[:22] + struct.pack("<HIIH", 2, SAMPLE_RATE, 4 * SAMPLE_RATE, 4) + content[34:]
    assert heard(content, piped=piped) == close_to(WHOLE)


def float_wav(samples: Samples) -> bytes:
    described = struct.pack("<IHHIIHH", 16, 3, 1, SAMPLE_RATE, 4 * SAMPLE_RATE, 4, 32)
    data = samples.astype("<f4").tobytes()
    return b"RIFF\0\0\0\0WAVEfmt " + described + b"data" + struct.pack("<I", len(data)) + data


@either_way
@pytest.mark.parametrize("seconds", [0.1, 2.0], ids=["in the first bytes", "later"])
def test_what_comes_before_a_value_that_is_no_number_is_heard(seconds: float, piped: bool) -> None:
    before = tone(FIRST, seconds)
    pieces: list[Frames] = []
    with pytest.raises(AudioError, match=rf"talk .* damaged behind {seconds} s: .* not a finite number"):
        pieces.extend(opened(float_wav(np.concatenate([before, [np.float32("nan")], BOTH])), piped=piped))
    assert sum(map(len, pieces)) == len(before)


def test_integers_that_were_written_as_floats_are_refused() -> None:
    with pytest.raises(AudioError, match=r"talk .* float samples reach .*; full scale is 1.0"):
        list(opened(float_wav(32_767 * BOTH)))


def test_numbers_that_are_none_in_other_files_are_silence_and_told() -> None:
    samples = np.concatenate([tone(FIRST, 1, 48_000), np.full(100, np.nan, np.float32), tone(SECOND, 1, 48_000)])
    source = opened(coded([samples], "caf", "pcm_f32le"))
    assert spans(np.concatenate(list(source))) == close_to(WHOLE)
    assert source.notes == ["damaged: a packet, at 1.0 s, cannot be decoded"]


def test_a_playlist_opens_nothing() -> None:
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    with pytest.raises(AudioError, match="talk cannot be read as audio"):
        list(opened(playlist))


def test_more_than_seven_channels_are_read() -> None:
    content = coded(CODED, "matroska", "flac", layout="7.1")
    assert heard(content) == close_to(WHOLE)
