"""A Whisper encoder small enough for tests, in the format that CTranslate2 writes."""

from __future__ import annotations

import struct

import numpy as np

WIDTH, HEADS, LAYERS, POSITIONS = 32, 4, 2, 1500


def arrays() -> dict[str, np.ndarray]:
    """The arrays of a small encoder by CTranslate2's names, and one of a decoder."""
    generator = np.random.default_rng(0)

    def some(*sizes: int) -> np.ndarray:
        return (0.1 * generator.standard_normal(sizes)).astype(np.float16)

    found = {
        "encoder/num_heads": np.array(HEADS, dtype=np.int16),
        "encoder/conv1/weight": some(WIDTH, 80, 3),
        "encoder/conv1/bias": some(WIDTH),
        "encoder/conv2/weight": some(WIDTH, WIDTH, 3),
        "encoder/conv2/bias": some(WIDTH),
        "encoder/position_encodings/encodings": some(POSITIONS, WIDTH),
        "encoder/layer_norm/gamma": some(WIDTH) + 1,
        "encoder/layer_norm/beta": some(WIDTH),
        "decoder/embeddings/weight": some(4, WIDTH),
    }
    for layer in range(LAYERS):
        name = f"encoder/layer_{layer}/"
        inputs = some(3 * WIDTH)
        inputs[WIDTH : 2 * WIDTH] = 0.0
        for part, weight, bias in (
            ("self_attention/linear_0", 4 * some(3 * WIDTH, WIDTH), inputs),
            ("self_attention/linear_1", some(WIDTH, WIDTH), some(WIDTH)),
            ("ffn/linear_0", some(4 * WIDTH, WIDTH), some(4 * WIDTH)),
            ("ffn/linear_1", some(WIDTH, 4 * WIDTH), some(WIDTH)),
        ):
            found |= {f"{name}{part}/weight": weight, f"{name}{part}/bias": bias}
        for part in ("self_attention/layer_norm", "ffn/layer_norm"):
            found |= {f"{name}{part}/gamma": some(WIDTH) + 1, f"{name}{part}/beta": some(WIDTH)}
    return found


def packed(content: dict[str, np.ndarray]) -> bytes:
    """Arrays as CTranslate2 writes them."""
    kinds = {np.dtype(np.float32): 0, np.dtype(np.int8): 1, np.dtype(np.int16): 2, np.dtype(np.float16): 4}

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    parts = [struct.pack("<I", 6), text("WhisperSpec"), struct.pack("<II", 3, len(content))]
    for name, array in content.items():
        raw = array.tobytes()
        sizes = struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        parts += [text(name), sizes, struct.pack("<BI", kinds[array.dtype], len(raw)), raw]
    return b"".join(parts)
