from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from streaming_asr.audio.samples import Samples
from training.corpus import Corpus
from training.prepare import prepare


def tone(rate: int, seconds: float) -> Samples:
    time = np.arange(round(rate * seconds)) / rate
    return np.asarray(0.5 * np.sin(2 * np.pi * 440 * time), dtype=np.float32)


def test_a_manifest_becomes_one_array_and_one_table(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    soundfile.write(tmp_path / "set" / "one.wav", tone(8000, 0.5), 8000)
    soundfile.write(tmp_path / "set" / "two.flac", np.stack([tone(16000, 0.25)] * 2, axis=1), 16000)
    soundfile.write(tmp_path / "set" / "three.wav", tone(16000, 0.25), 16000)
    manifest = tmp_path / "manifest.tsv"
    manifest.write_text(
        "path\tduration\tspeaker\tpart\ttranscript\n"
        'set/one.wav\t0.5\ta\ttrain\tHe said "one".\n'
        "set/two.flac\t0.25\tb\tdev\tTwo\n"
        "set/three.wav\t0.25\tb\tdev\tIn 1984\n",
        encoding="utf-8",
    )

    prepare(manifest, tmp_path / "out")
    corpus = Corpus.open(tmp_path / "out")

    assert [one.transcript for one in corpus.utterances] == ["HE SAID ONE", "TWO"]
    assert [one.samples for one in corpus.utterances] == [8000, 4000]
    assert [one.collection for one in corpus.part("dev").utterances] == ["set"]
    expected = tone(16000, 0.25).astype(np.float32)
    np.testing.assert_allclose(corpus.samples(corpus.utterances[1]), expected, atol=2e-4)
    middle = slice(1000, 7000)
    np.testing.assert_allclose(corpus.samples(corpus.utterances[0])[middle], tone(16000, 0.5)[middle], atol=5e-3)


def test_held_out_noises_go_to_the_part_dev(tmp_path: Path) -> None:
    for name in ("1-rain", "5-rain"):
        soundfile.write(tmp_path / f"{name}.wav", tone(16000, 0.1), 16000)
    manifest = tmp_path / "manifest.tsv"
    rows = "".join(f"{name}.wav\t0.1\t-\train\n" for name in ("1-rain", "5-rain"))
    manifest.write_text("path\tduration\tspeaker\ttranscript\n" + rows, encoding="utf-8")

    prepare(manifest, tmp_path / "out", transcribed=False, held_out="5-")

    corpus = Corpus.open(tmp_path / "out")
    assert [(one.name, one.part) for one in corpus.utterances] == [("1-rain", "train"), ("5-rain", "dev")]
