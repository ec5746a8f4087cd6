from __future__ import annotations

import pytest
import torch
from torch import nn

from training.muon import Muon, orthogonal


@pytest.mark.parametrize(("rows", "columns"), [(24, 24), (16, 96)])
def test_matrices_become_nearly_orthogonal_with_the_same_singular_vectors(rows: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(2)
    matrices = torch.randn(5, rows, columns, generator=generator)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    found = orthogonal(matrices).float()
    values = torch.linalg.svdvals(found)
    # Five rounds bring every singular value above about a hundredth of the norm near one; the rest stay smaller.
    assert values.max() < 1.3
    assert values.median() > 0.6
    inside = left.transpose(1, 2) @ found @ right.transpose(1, 2)
    off_diagonal = inside - torch.diag_embed(torch.diagonal(inside, dim1=1, dim2=2))
    assert off_diagonal.abs().max() < 0.05


@pytest.mark.parametrize("size", [(8, 20), (20, 8), (8, 5, 4)])
def test_a_step_goes_against_the_gradient_whatever_its_size(size: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    gradient = torch.randn(size, generator=generator)
    steps = []
    for scale in (1e-4, 1e3):
        weight = nn.Parameter(torch.zeros(size))
        weight.grad = scale * gradient
        Muon([weight], lr=0.1).step()
        steps.append(weight.detach())
    assert torch.allclose(steps[0], steps[1], atol=2e-3)
    assert (steps[0] * gradient).sum() < 0
    # Liu et al.: the root mean square of a step is a fifth of the rate, as AdamW's is
    assert 0.1 * 0.2 * 0.6 < steps[0].pow(2).mean().sqrt() < 0.1 * 0.2 * 1.3


def test_weights_without_a_gradient_stay() -> None:
    still, moved = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4, 4))
    moved.grad = torch.eye(4)
    Muon([still, moved], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(still, torch.ones(4, 4))
    assert not torch.equal(moved, torch.ones(4, 4))


def test_a_convolution_finds_its_minimum() -> None:
    torch.manual_seed(0)
    wanted, found = nn.Conv1d(6, 4, 3), nn.Conv1d(6, 4, 3)
    found.bias = wanted.bias
    heard = torch.randn(8, 6, 40)
    optimizer = Muon([found.weight], lr=0.05)
    errors = []
    for step in range(60):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 60)
        optimizer.zero_grad()
        error = (found(heard) - wanted(heard).detach()).pow(2).mean()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.05 * errors[0]
