"""Sources: files of many formats, standard input, real time, and the microphone with a library that stands in."""

from __future__ import annotations

import io
import threading
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streaming_asr.audio import microphone
from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.sources import FileSource, InputDevice, Microphone, Pipe, StandardInput, devices, paced
from streaming_asr.errors import AudioError, DeviceError, OptionError

RATE = 48_000
SECONDS = 1.5


def stereo_tone() -> Frames:
    time = np.arange(round(RATE * SECONDS)) / RATE
    channels = [0.4 * np.sin(2 * np.pi * 440 * time), 0.2 * np.sin(2 * np.pi * 660 * time)]
    return np.asarray(np.stack(channels, axis=1), np.float32)


def write_by_ffmpeg(path: Path, codec: str, *, video: bool = False) -> None:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.layout = "stereo"
        picture = container.add_stream("mpeg4", rate=10) if video else None
        if picture is not None:
            picture.width = picture.height = 64
        frame = av.AudioFrame.from_ndarray(stereo_tone().reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate, frame.pts = RATE, 0
        for converted in av.AudioResampler(format=stream.codec_context.format, layout="stereo", rate=RATE).resample(
            frame
        ):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
        if picture is not None:
            for _ in range(15):
                container.mux(picture.encode(av.VideoFrame(64, 64, "yuv420p")))
            container.mux(picture.encode(None))


def write_by_soundfile(path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(path, stereo_tone(), RATE)


FILES = [
    ("a.wav", "", False),
    ("a.flac", "", False),
    ("a.ogg", "", False),
    ("a.mp3", "", False),
    ("a.aiff", "", False),
    ("a.m4a", "aac", False),
    ("a.mp4", "aac", True),
    ("a.webm", "libopus", False),
    ("a.opus", "libopus", False),
    ("a.mka", "flac", False),
    ("a.mov", "pcm_s16le", True),
    ("a.ts", "aac", True),
]


def write_file(path: Path, codec: str, *, video: bool) -> None:
    write_by_ffmpeg(path, codec, video=video) if codec else write_by_soundfile(path)


@pytest.mark.parametrize(("name", "codec", "video"), FILES)
def test_files_are_read_in_pieces_at_16_khz(tmp_path: Path, name: str, codec: str, video: bool) -> None:
    write_file(tmp_path / name, codec, video=video)
    with FileSource(tmp_path / name, piece_ms=50) as source:
        assert source.duration == pytest.approx(SECONDS, abs=0.1)
        assert source.file_channels == 2
        pieces = list(source)
        assert (source.damaged_packets, source.notes) == (0, [])
    assert {len(piece) for piece in pieces[:-1]} == {800}
    check_tone(pieces, [0.2, 0.1])


@pytest.mark.parametrize(
    ("name", "codec", "video"), [file for file in FILES if file[0] not in ("a.m4a", "a.mp4", "a.mov")]
)
def test_a_pipe_gives_what_a_file_gives(tmp_path: Path, name: str, codec: str, video: bool) -> None:
    write_file(tmp_path / name, codec, video=video)
    whole = np.concatenate(list(FileSource(tmp_path / name)))
    piped = np.concatenate(list(FileSource(Pipe(Trickle((tmp_path / name).read_bytes(), most=700)))))
    # Only a file tells how much of its last packet is padding.
    shared = min(len(piped), len(whole)) - 1600
    assert np.array_equal(piped[:shared], whole[:shared])
    assert abs(len(piped) - len(whole)) < 1600


@pytest.mark.parametrize("codec", ["", "aac"])
def test_one_channel_of_a_file_can_be_heard(tmp_path: Path, codec: str) -> None:
    path = tmp_path / ("a.m4a" if codec else "a.wav")
    write_file(path, codec, video=False)
    check_tone(list(FileSource(path, channel=0)), [0.4, 0.0])
    check_tone(list(FileSource(path, channel=1)), [0.0, 0.2])
    with pytest.raises(OptionError, match="channel is 2; it must be from 0 to 1"):
        FileSource(path, channel=2)


def check_tone(pieces: list[Frames], amplitudes: list[float]) -> None:
    """The tones of 440 and 660 Hz must have these amplitudes."""
    heard = np.concatenate(pieces)
    assert heard.dtype == np.float32
    assert heard.shape[1] == 1
    assert len(heard) == pytest.approx(16_000 * SECONDS, abs=1600)
    spectrum = np.abs(np.fft.rfft(heard[8_000:16_000, 0])) / 4_000
    assert spectrum[[220, 330]] == pytest.approx(amplitudes, abs=0.05)


@pytest.mark.parametrize("content", [b"", b"no audio at all, but a text of some length" * 50])
def test_a_file_that_is_no_audio_is_named(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("av")
    (tmp_path / "notes.txt").write_bytes(content)
    with pytest.raises(AudioError, match=r"notes\.txt cannot be read as audio: "):
        FileSource(tmp_path / "notes.txt")


def test_a_video_without_sound_is_named(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "mute.mp4"), "w") as container:
        picture = container.add_stream("mpeg4", rate=10)
        picture.width = picture.height = 64
        container.mux(picture.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(picture.encode(None))
    with pytest.raises(AudioError, match="it has no audio track"):
        FileSource(tmp_path / "mute.mp4")


def test_a_path_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="is not there; give an audio file"):
        FileSource(tmp_path / "absent.wav")
    with pytest.raises(AudioError, match="is a folder; give an audio file"):
        FileSource(tmp_path)


def test_a_file_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    write_by_soundfile(tmp_path / "whole.wav")
    whole = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "half.wav").write_bytes(whole[: len(whole) // 2])
    assert sum(map(len, FileSource(tmp_path / "half.wav"))) == pytest.approx(8_000 * SECONDS, abs=100)


def test_damaged_packets_are_left_out_and_counted(tmp_path: Path) -> None:
    write_by_ffmpeg(tmp_path / "whole.m4a", "aac")
    content = bytearray((tmp_path / "whole.m4a").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = b"\xff" * 3000
    (tmp_path / "damaged.m4a").write_bytes(content)
    source = FileSource(tmp_path / "damaged.m4a")
    assert sum(map(len, source)) > 8_000 * SECONDS
    assert source.damaged_packets > 0


def test_pieces_must_have_a_length(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="piece_ms is 0"):
        FileSource(tmp_path, piece_ms=0)


class Trickle(io.BytesIO):
    """Gives a few bytes at a time, as a slow pipe might, and cannot be sought in."""

    def __init__(self, data: bytes, *, most: int = 3) -> None:
        super().__init__(data)
        self._most = most

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(min(self._most, size or self._most))


def test_standard_input_hands_on_what_arrives() -> None:
    samples = np.arange(10, dtype="<i2").reshape(5, 2)
    source = StandardInput("linear16", 16_000, 2, stream=Trickle(samples.tobytes() + b"\1"))
    pieces = list(source)
    assert (np.concatenate(pieces) * 32768).ravel().tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert max(map(len, pieces)) == 1
    assert source.dropped_bytes == 1
    one = StandardInput("linear16", 16_000, 2, channel=1, stream=Trickle(samples.tobytes()))
    assert (np.concatenate(list(one)) * 32768).ravel().tolist() == [1, 3, 5, 7, 9]


def wave_file(samples: int) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(np.arange(samples, dtype="<i2").tobytes())
    return content.getvalue()


def test_a_wave_file_on_standard_input_is_named() -> None:
    with pytest.raises(AudioError, match="it is a WAV file"):
        list(StandardInput(stream=io.BytesIO(wave_file(50))))


class Silence:
    """A second of silence in one piece."""

    sample_rate, channels = 1000, 1

    def __iter__(self) -> Iterator[Frames]:
        yield np.zeros((1000, 1), np.float32)


class Clock:
    """Stands still but for sleeping and for what the listener spends."""

    def __init__(self) -> None:
        self.now = 100.0

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def test_a_paced_source_takes_as_long_as_it_lasts() -> None:
    clock = Clock()
    times = []
    for piece in paced(Silence(), piece_ms=250, clock=clock.read, sleep=clock.sleep):
        assert len(piece) == 250
        times.append(clock.now - 100)
    assert times == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_a_late_listener_catches_up() -> None:
    clock = Clock()
    times = []
    for piece in paced(Silence(), piece_ms=250, clock=clock.read, sleep=clock.sleep):
        assert len(piece) == 250
        times.append(clock.now - 100)
        clock.now += 0.6 if len(times) == 1 else 0.0
    assert times == pytest.approx([0.25, 0.85, 0.85, 1.0])


class FakeError(Exception):
    """What PortAudio raises."""


class FakeStream:
    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.running = False

    def start(self) -> None:
        self.running = True

    def close(self) -> None:
        self.running = False
        self.options["finished_callback"]()

    def give(self, *values: float, overflow: bool = False) -> None:
        """A block in PortAudio's own memory, which it uses again at once."""
        block = np.array(values, np.float32).reshape(-1, self.options["channels"])
        self.options["callback"](block, len(block), None, Status(overflow))
        block[:] = 99


class Status:
    def __init__(self, input_overflow: bool) -> None:
        self.input_overflow = input_overflow


class FakeLibrary:
    """A sound card with a speaker and two microphones; opening the one called Broken fails."""

    PortAudioError: type[Exception] = FakeError

    def __init__(self) -> None:
        self.streams: list[FakeStream] = []
        self.found = [
            {"index": 0, "name": "Speaker", "hostapi": 0, "max_input_channels": 0, "default_samplerate": 48000.0},
            {"index": 1, "name": "Webcam", "hostapi": 0, "max_input_channels": 1, "default_samplerate": 44100.0},
            {"index": 2, "name": "Broken", "hostapi": 0, "max_input_channels": 2, "default_samplerate": 8000.0},
        ]

    def query_devices(self, device: int | str | None = None, kind: str | None = None) -> Any:
        if device is None:
            return self.found[1] if kind else self.found
        for found in self.found:
            if found["max_input_channels"] and (device == found["index"] or str(device) in str(found["name"])):
                return found
        raise ValueError(f"No input device matching {device!r}")

    def query_hostapis(self, index: int | None = None) -> Any:
        return {"name": "ALSA"}

    def InputStream(self, **options: Any) -> FakeStream:  # noqa: N802
        if options["device"] == 2:
            raise FakeError("Invalid sample rate")
        self.streams.append(FakeStream(options))
        return self.streams[-1]


def test_devices_lists_what_can_record() -> None:
    assert devices(FakeLibrary()) == [
        InputDevice(1, "Webcam", "ALSA", 1, 44_100, True),
        InputDevice(2, "Broken", "ALSA", 2, 8_000, False),
    ]


@pytest.mark.parametrize("device", [None, 1, "Web"])
def test_a_microphone_is_chosen_by_index_or_name_and_keeps_its_rate(device: int | str | None) -> None:
    library = FakeLibrary()
    with Microphone(device, library=library) as source:
        assert (source.name, source.sample_rate, source.channels) == ("Webcam", 44_100, 1)
        assert library.streams[0].options["samplerate"] == 44_100
        assert library.streams[0].running
    assert not library.streams[0].running


def test_what_the_microphone_hears_comes_out_up_to_its_closing() -> None:
    library = FakeLibrary()
    source = Microphone(library=library)
    library.streams[0].give(0.25)
    library.streams[0].give(0.5, 0.75)
    source.close()
    assert [piece.tolist() for piece in source] == [[[0.25]], [[0.5], [0.75]]]


def test_a_reader_waits_for_the_microphone_and_another_thread_may_close_it() -> None:
    library = FakeLibrary()
    source = Microphone(library=library)
    heard: list[Frames] = []
    reader = threading.Thread(target=lambda: heard.extend(source))
    reader.start()
    library.streams[0].give(0.5)
    source.close()
    reader.join(timeout=10)
    assert not reader.is_alive()
    assert [piece.tolist() for piece in heard] == [[[0.5]]]


def test_a_full_queue_drops_what_comes_and_counts_it() -> None:
    library = FakeLibrary()
    source = Microphone(library=library, block_ms=1, queue_ms=1)
    assert library.streams[0].options["blocksize"] == 44
    library.streams[0].give(*[0.5] * 44)
    library.streams[0].give(*[0.25] * 44)
    library.streams[0].give(0.25, overflow=True)
    source.close()
    assert [piece.tolist() for piece in source] == [[[0.5]] * 44]
    assert (source.overflows, source.dropped_samples) == (3, 45)


def test_room_in_the_queue_is_used_again() -> None:
    library = FakeLibrary()
    source = Microphone(library=library, block_ms=1, queue_ms=1)
    pieces = iter(source)
    for _ in range(5):
        library.streams[0].give(*[0.5] * 44)
        assert len(next(pieces)) == 44
    assert source.overflows == 0


@pytest.mark.parametrize(
    ("open_it", "sentence"),
    [
        (lambda library: Microphone(7, library=library), "7 is not one microphone .* 1: Webcam, 2: Broken"),
        (lambda library: Microphone("Phone", library=library), "'Phone' is not one microphone"),
        (lambda library: Microphone(2, library=library), "'Broken' cannot be opened with 1 channels at 8000 Hz: Inv"),
    ],
)
def test_a_microphone_that_cannot_be_had_is_explained(
    open_it: Callable[[FakeLibrary], Microphone], sentence: str
) -> None:
    with pytest.raises(DeviceError, match=sentence):
        open_it(FakeLibrary())


def test_without_any_microphone_the_error_says_so() -> None:
    library = FakeLibrary()
    library.found = []
    with pytest.raises(DeviceError, match="no microphone was found; the recording devices are: none"):
        Microphone(library=NoDefault(library))


class NoDefault(FakeLibrary):
    """No default device, as on a server."""

    def __init__(self, other: FakeLibrary) -> None:
        super().__init__()
        self.found = other.found

    def query_devices(self, device: int | str | None = None, kind: str | None = None) -> Any:
        if kind and device is None:
            raise FakeError("Error querying device -1")
        return super().query_devices(device, kind)


def test_a_microphone_that_goes_away_is_an_error_after_its_last_audio() -> None:
    library = FakeLibrary()
    pieces = iter(Microphone(library=library))
    library.streams[0].give(0.5)
    library.streams[0].options["finished_callback"]()
    assert next(pieces).tolist() == [[0.5]]
    with pytest.raises(DeviceError, match="'Webcam' stopped; was it unplugged"):
        next(pieces)


def test_a_microphone_that_falls_silent_is_an_error() -> None:
    with pytest.raises(DeviceError, match=r"'Webcam' gave nothing for 0\.01 s"):
        next(iter(Microphone(library=FakeLibrary(), timeout_s=0.01)))


def test_the_real_library_lists_devices_or_says_how_to_install_it() -> None:
    if has_portaudio():
        assert all(device.channels > 0 for device in devices())
    else:
        with pytest.raises(DeviceError, match=r"sudo apt install libportaudio2; .*dnf install portaudio; .*brew"):
            devices()


def has_portaudio() -> bool:
    try:
        import sounddevice
    except ImportError:
        pytest.skip("sounddevice is not installed")
    except OSError:
        return False
    return bool(sounddevice)


def test_a_missing_portaudio_names_the_line_for_each_system() -> None:
    assert "sudo apt install libportaudio2" in microphone.INSTALL_PORTAUDIO
    assert "sudo dnf install portaudio" in microphone.INSTALL_PORTAUDIO
    assert "brew install portaudio" in microphone.INSTALL_PORTAUDIO
