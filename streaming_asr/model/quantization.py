"""Matrix products in int8 on the CPU: weights quantized once, activations as they come, by scales of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

INT8_LIMIT: Final = 127

PAIR_SAFE_LIMIT: Final = 63
"""Largest weight for which two int8 products add up inside int16, where AVX2 without VNNI adds them."""

SMALLEST_SCALE: Final = 1e-12
"""Keeps a row of zeros from being divided by zero."""

INPUT_ZERO: Final = 128
"""What stands for zero in unsigned inputs."""

TYPICAL_ROWS: Final = 32
"""Rows for which the order of packed weights is chosen; it serves other numbers as well."""

BLOCK: Final = 64
"""Outputs of a grouped convolution that are computed at once; its windows are copied, this bounds the copy."""


def weight_limit() -> int:
    """The largest quantized weight that this CPU multiplies without saturating, by what it says and by trying."""
    capabilities = torch.cpu.get_capabilities()
    able = capabilities.get("avx512_vnni") or capabilities.get("avx_vnni") or capabilities.get("amx_int8")
    able = able or capabilities.get("architecture") != "x86_64"
    return INT8_LIMIT if able and _adds_exactly() else PAIR_SAFE_LIMIT


def _adds_exactly() -> bool:
    """Whether the largest products add up (oneDNN can be told to do without instructions that the CPU has)."""
    largest = torch.full((TYPICAL_ROWS, 2 * TYPICAL_ROWS), INT8_LIMIT, dtype=torch.int8)
    return bool((torch._int_mm(largest, largest.t()) == largest.shape[1] * INT8_LIMIT**2).all())


def quantized_weight(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Quantize (..., outputs, inputs) symmetrically per output: int8 of the same shape and scales (..., outputs)."""
    scale = weight.abs().amax(dim=-1).clamp_min(SMALLEST_SCALE) / weight_limit()
    return (weight / scale[..., None]).round().to(torch.int8).contiguous(), scale


@dataclass(frozen=True, slots=True)
class QuantizedLinear:
    """An affine map whose product runs in int8, with one scale per output and one per row of the input.

    A row's result depends on that row alone, so what else is in a batch changes nothing. (Per-tensor scales, as torch's
    own dynamic quantization has them, would let loud streams blur quiet ones.)
    """

    weight: torch.Tensor
    """(outputs, inputs), int8, packed in the order in which oneDNN reads it."""
    scale: torch.Tensor
    """(outputs,)"""
    zero: torch.Tensor
    """(outputs,): the zero points of the weights, all zero."""
    bias: torch.Tensor
    """(outputs,)"""

    @classmethod
    def of(cls, weight: torch.Tensor, bias: torch.Tensor | None) -> QuantizedLinear:
        """Quantize a floating-point weight (outputs, inputs)."""
        quantized, scale = quantized_weight(weight)
        packed = torch.ops.onednn.qlinear_prepack(quantized, [TYPICAL_ROWS, weight.shape[1]])
        zero = torch.zeros(len(weight), dtype=torch.int32)
        return cls(packed, scale, zero, torch.zeros_like(scale) if bias is None else bias)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., inputs) -> (..., outputs)."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        scale = rows.abs().amax(dim=1, keepdim=True).clamp_min_(SMALLEST_SCALE).div_(INT8_LIMIT)
        # oneDNN is quick with unsigned inputs: shifted by 128 in place, and told so
        shifted = (rows * scale.reciprocal()).round_().to(torch.int8).view(torch.uint8).add_(INPUT_ZERO)
        product = torch.ops.onednn.qlinear_pointwise(
            shifted, 1.0, INPUT_ZERO, self.weight, self.scale, self.zero, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return torch.addcmul(self.bias, product, scale).view(*inputs.shape[:-1], -1)


@dataclass(frozen=True, slots=True)
class QuantizedConvolution:
    """A grouped convolution of stride 1 in int8, with one scale per output channel and one per input sequence."""

    weight: torch.Tensor
    """(groups, outputs, kernel * inputs), int8; inputs and outputs are those of one group."""
    scale: torch.Tensor
    """(groups, outputs)"""
    bias: torch.Tensor
    """(groups * outputs,)"""
    kernel: int

    @classmethod
    def of(cls, weight: torch.Tensor, bias: torch.Tensor, groups: int) -> QuantizedConvolution:
        """Quantize the weight (groups * outputs, inputs, kernel) of a convolution."""
        flat = weight.transpose(1, 2).reshape(groups, weight.shape[0] // groups, -1)
        quantized, scale = quantized_weight(flat)
        return cls(quantized, scale, bias, weight.shape[2])

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """(batch, time, channels) -> (batch, time - kernel + 1, channels)."""
        batch, time, channels = inputs.shape
        scale = inputs.abs().amax(dim=(1, 2)).clamp_min_(SMALLEST_SCALE).div_(INT8_LIMIT)[:, None, None]
        grouped = (inputs * scale.reciprocal()).round_().to(torch.int8).view(batch, time, len(self.weight), -1)
        grouped = grouped.permute(2, 0, 1, 3).contiguous()
        outputs = time - self.kernel + 1
        blocks = [self._block(grouped, start, min(BLOCK, outputs - start)) for start in range(0, outputs, BLOCK)]
        product = torch.cat(blocks, dim=2).mul_(self.scale[:, None, None])
        return torch.addcmul(self.bias, product.permute(1, 2, 0, 3).reshape(batch, outputs, channels), scale)

    def _block(self, grouped: torch.Tensor, start: int, outputs: int) -> torch.Tensor:
        """(groups, batch, time, inputs) -> (groups, batch, outputs, outputs of a group), from output `start` on."""
        groups, batch, time, width = grouped.shape
        shape, strides = (groups, batch, outputs, self.kernel * width), (batch * time * width, time * width, width, 1)
        windows = grouped.as_strided(shape, strides, start * width).contiguous().view(groups, batch * outputs, -1)
        products = [torch._int_mm(rows, weight.t()) for rows, weight in zip(windows, self.weight, strict=True)]
        return torch.stack(products).view(groups, batch, outputs, -1).to(self.scale.dtype)
