"""Products in int8 stay near the exact ones, row by row."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from streaming_asr.model.quantization import PAIR_SAFE_LIMIT, QuantizedConvolution, QuantizedLinear, weight_limit


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("rows", [1, 5, 100])
def test_an_affine_map_stays_near(rows: int) -> None:
    weight, bias, inputs = random(48, 96), random(48, seed=1), random(2, rows, 96, seed=2)
    for offset in (bias, None):
        found = QuantizedLinear.of(weight, offset)(inputs)
        assert found.shape == (2, rows, 48)
        assert error(found, F.linear(inputs, weight, offset)) < 0.02


def test_a_row_does_not_depend_on_the_others() -> None:
    linear = QuantizedLinear.of(random(16, 64), None)
    quiet, loud = random(1, 64, seed=1), random(1, 64, seed=2) * 1e4
    torch.testing.assert_close(linear(torch.cat((quiet, loud)))[:1], linear(quiet), rtol=0, atol=0)


def test_rows_of_zeros_give_the_bias() -> None:
    bias = random(16)
    torch.testing.assert_close(QuantizedLinear.of(random(16, 64), bias)(torch.zeros(3, 64)), bias.expand(3, -1))


def test_the_largest_values_do_not_saturate() -> None:
    """All inputs and weights at their limit: where pairs of products are added in int16, this is what overflows."""
    linear = QuantizedLinear.of(torch.ones(32, 256), None)
    inputs = torch.cat((torch.ones(1, 256), -torch.ones(1, 256)))
    torch.testing.assert_close(linear(inputs), F.linear(inputs, torch.ones(32, 256)), rtol=1e-3, atol=0)


def test_weights_are_smaller_where_the_processor_adds_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", "avx2": True})
    assert weight_limit() == PAIR_SAFE_LIMIT
    linear = QuantizedLinear.of(random(48, 96), None)
    assert error(linear(random(5, 96, seed=1)), F.linear(random(5, 96, seed=1), random(48, 96))) < 0.03


@pytest.mark.parametrize(("batch", "time", "kernel", "groups"), [(1, 200, 128, 4), (3, 20, 5, 2), (2, 7, 7, 1)])
def test_a_grouped_convolution_stays_near(batch: int, time: int, kernel: int, groups: int) -> None:
    weight, bias, inputs = random(32, 32 // groups, kernel), random(32, seed=1), random(batch, time, 32, seed=2)
    found = QuantizedConvolution.of(weight, bias, groups)(inputs)
    expected = F.conv1d(inputs.transpose(1, 2), weight, bias, groups=groups).transpose(1, 2)
    assert found.shape == expected.shape
    assert error(found, expected) < 0.03


def test_a_sequence_does_not_depend_on_the_others() -> None:
    convolution = QuantizedConvolution.of(random(32, 8, 5), random(32, seed=1), 4)
    quiet, loud = random(1, 30, 32, seed=2), random(1, 30, 32, seed=3) * 1e4
    torch.testing.assert_close(convolution(torch.cat((quiet, loud)))[:1], convolution(quiet), rtol=0, atol=0)
