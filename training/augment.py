"""Recordings made to sound otherwise: speed, room, noise, telephone, colour, level. Pure functions of a generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from streaming_asr.audio.samples import SAMPLE_RATE, FloatArray, Samples

Generator = np.random.Generator


@dataclass(frozen=True, slots=True)
class AugmentOptions:
    """How often and how strongly; shares are probabilities per utterance, ratios are in dB."""

    speed: tuple[float, float] = (0.88, 1.14)
    speed_share: float = 0.8
    room_share: float = 0.25
    telephone_share: float = 0.15
    colour_share: float = 0.25
    colour_db: float = 6.0
    hole_share: float = 0.0
    noise_share: float = 0.4
    noise_db: tuple[float, float] = (2.0, 25.0)
    clip_share: float = 0.03
    level_db: float = 1.5

    @classmethod
    def none(cls) -> AugmentOptions:
        """Nothing is changed."""
        return cls((1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, (0.0, 0.0), 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Noises and room responses to choose from, shape (samples,) each; either may be empty."""

    noises: Sequence[Samples] = ()
    rooms: Sequence[Samples] = ()


def augment(samples: Samples, options: AugmentOptions, around: Surroundings, generator: Generator) -> Samples:
    """Another version of a recording, shape (samples,) -> (other samples,)."""
    return disturb(spoken_otherwise(samples, options, generator), options, around, generator)


def spoken_otherwise(samples: Samples, options: AugmentOptions, generator: Generator) -> Samples:
    """At another speed, by chance: what a teacher of clean speech should hear as well."""
    if generator.random() < options.speed_share:
        return change_speed(samples, generator.uniform(*options.speed))
    return samples


def disturb(samples: Samples, options: AugmentOptions, around: Surroundings, generator: Generator) -> Samples:
    """In a room, over a telephone, in noise, all by chance; as long as before, shape (samples,)."""
    samples = _filter(samples, options, around, generator)
    if generator.random() < options.noise_share:
        noise = choose_noise(len(samples), options, around, generator)
        samples = add_noise(samples, noise, generator.uniform(*options.noise_db))
    if generator.random() < options.clip_share:
        limit = np.abs(samples).max() * generator.uniform(0.2, 0.8)
        samples = np.clip(samples, -limit, limit)
    return samples


def change_speed(samples: Samples, factor: float) -> Samples:
    """Faster and higher (factor above 1) or slower and lower: the vocal tract is scaled along with the tempo."""
    import soxr

    ratio = max(round(SAMPLE_RATE * factor / 100), 1) * 100  # few ratios, so that filters stay short
    return np.asarray(soxr.resample(samples, ratio, SAMPLE_RATE, quality="LQ"), dtype=np.float32)


def _filter(samples: Samples, options: AugmentOptions, around: Surroundings, generator: Generator) -> Samples:
    """Room, colour and telephone band, all in one pass through the spectrum."""
    in_room = bool(around.rooms) and generator.random() < options.room_share
    coloured = generator.random() < options.colour_share
    on_telephone = generator.random() < options.telephone_share
    holed = generator.random() < options.hole_share
    if not (in_room or coloured or on_telephone or holed):
        return samples
    room = trimmed(around.rooms[int(generator.integers(len(around.rooms)))]) if in_room else None
    size = _good_size(len(samples) + (0 if room is None else len(room)))
    spectrum = torch.fft.rfft(torch.from_numpy(samples), n=size)
    if room is not None:
        spectrum = spectrum * torch.fft.rfft(torch.from_numpy(room), n=size)
    frequencies = np.linspace(0.0, SAMPLE_RATE / 2, len(spectrum))
    gains = np.ones(len(spectrum), dtype=np.float32)
    if coloured:
        gains *= colour(frequencies, options.colour_db, generator)
    if holed:
        gains *= holes(frequencies, generator)
    if on_telephone:
        gains *= telephone_band(frequencies, generator.uniform(200, 350), generator.uniform(3200, 3700))
    filtered = torch.fft.irfft(spectrum * torch.from_numpy(gains), n=size)[: len(samples)].numpy()
    return companded(filtered) if on_telephone else filtered


def trimmed(room: Samples, tail: float = 0.4) -> Samples:
    """A room response from its first peak on, at most `tail` seconds, with unit energy."""
    start = int(np.argmax(np.abs(room)))
    kept = room[start : start + round(tail * SAMPLE_RATE)]
    return np.asarray(kept / np.sqrt(np.sum(kept * kept) + 1e-12), dtype=np.float32)


def colour(frequencies: FloatArray, decibel: float, generator: Generator) -> npt.NDArray[np.float32]:
    """A smooth random frequency response: five random levels between 0 and 8 kHz."""
    levels = generator.normal(0.0, decibel / 2, 5)
    shape = np.interp(frequencies, np.linspace(0.0, SAMPLE_RATE / 2, 5), levels)
    return np.asarray(10 ** (shape / 20), dtype=np.float32)


def holes(frequencies: FloatArray, generator: Generator, count: int = 2) -> npt.NDArray[np.float32]:
    """Some bands taken out, each at most a fifth of the mel scale wide (Park et al. 2019, on the waveform)."""
    mel = np.log1p(frequencies / 700.0) / np.log1p(SAMPLE_RATE / 2 / 700.0)
    gains = np.ones(len(frequencies), dtype=np.float32)
    for width in generator.uniform(0.0, 0.2, count):
        begin = generator.uniform(0.0, 1.0 - width)
        gains[(mel >= begin) & (mel < begin + width)] = 0.03
    return gains


def telephone_band(frequencies: FloatArray, low: float = 300.0, high: float = 3400.0) -> npt.NDArray[np.float32]:
    """The pass band of a telephone line with edges about 100 Hz wide."""
    rise = 1 / (1 + np.exp(-(frequencies - low) / 25.0))
    fall = 1 / (1 + np.exp((frequencies - high) / 40.0))
    return np.asarray(rise * fall, dtype=np.float32)


def companded(samples: Samples) -> Samples:
    """8-bit mu-law and back (ITU-T G.711's curve, continuous form), at the level of the loudest sample."""
    peak = float(np.abs(samples).max()) or 1.0
    compressed = np.sign(samples) * np.log1p(255.0 * np.abs(samples) / peak) / np.log(256.0)
    steps = np.rint(compressed * 127.0) / 127.0
    return np.asarray(np.sign(steps) * np.expm1(np.abs(steps) * np.log(256.0)) / 255.0 * peak, dtype=np.float32)


def choose_noise(length: int, options: AugmentOptions, around: Surroundings, generator: Generator) -> Samples:
    """Noise of that many samples: recorded, or coloured hiss where there is none or by chance."""
    if around.noises and generator.random() < 0.8:
        noise = around.noises[int(generator.integers(len(around.noises)))]
        offset = int(generator.integers(len(noise)))
        return np.resize(np.roll(noise, -offset) if len(noise) < 20 * SAMPLE_RATE else noise[offset:], length)
    hiss = generator.standard_normal(length, dtype=np.float32)
    pole = generator.choice([0.0, 0.5, 0.9])
    return hiss if pole == 0 else (hiss + pole * np.roll(hiss, 1) + pole * pole * np.roll(hiss, 2)).astype(np.float32)


def add_noise(samples: Samples, noise: Samples, decibel: float) -> Samples:
    """Adds noise at a signal-to-noise ratio in dB, both shape (samples,)."""
    ratio = float(np.mean(samples * samples)) / (float(np.mean(noise * noise)) + 1e-12)
    return np.asarray(samples + noise * np.sqrt(ratio * 10 ** (-decibel / 10)), dtype=np.float32)


def normalized(samples: Samples, gain: float = 1.0) -> Samples:
    """Zero mean and unit variance as the front end makes them, times a gain that stands for running statistics."""
    centred = samples - samples.mean()
    return np.asarray(centred * (gain / np.sqrt(np.mean(centred * centred) + 1e-7)), dtype=np.float32)


def _good_size(length: int) -> int:
    """The next multiple of a power of two that keeps Fourier transforms fast."""
    grain = max(1 << max(length.bit_length() - 4, 0), 2)
    return -(-length // grain) * grain
