"""WavLM's distance buckets are those of transformers, at every distance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from streaming_asr.checkpoints.config import RelativeBias
from streaming_asr.model.attention import DistanceTable

if TYPE_CHECKING:
    from tests.conftest import TinyModel


@pytest.mark.parametrize(("buckets", "distance"), [(320, 800), (16, 20), (32, 128)])
def test_buckets_are_those_of_transformers(tiny_model: TinyModel, buckets: int, distance: int) -> None:
    model = tiny_model("wavlm", num_buckets=buckets, max_bucket_distance=distance)
    attention = model.wavlm.encoder.layers[0].attention
    distances = torch.arange(-1500, 1501)
    table = DistanceTable(RelativeBias(buckets, distance), torch.arange(buckets, dtype=torch.float64)[:, None])
    found = table(distances[None, None])[0, 0, 0].long()
    torch.testing.assert_close(found, attention._relative_positions_bucket(distances), rtol=0, atol=0)
