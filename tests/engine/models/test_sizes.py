"""Sizes of models, counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

from hpo.engine.models.sizes import model_size
from hpo.spec.sections.models.images import Cnn, Pooling
from hpo.spec.sections.models.tables import Mlp


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        (Mlp(name="mlp", widths=(4, 3)), (5 * 4 + 4 * 3 + 3 * 2,) * 2 + (0,)),
        # 8x8 pixels: a 3x3 kernel to 2 channels at each, then 4x4x2 values to 6, and 6 to 2.
        (
            Cnn(name="cnn", filters=(2,), dense=6),
            (9 * 2 + 32 * 6 + 12, 32 * 6 + 12, 64 * 9 * 2),
        ),
        # Stride 2 leaves 4x4 places and pooling 3x3 a single one; each of the filters of the
        # second convolution sees one of two groups.
        (
            Cnn(
                name="cnn",
                filters=(2, 4),
                stride=(2, 1),
                groups=2,
                pooling=Pooling(name=("max", "none"), size=3),
                dense=(6, 5),
            ),
            (9 * 2 + 9 * 4 + 4 * 6 + 30 + 10, 4 * 6 + 30 + 10, 16 * 18 + 36),
        ),
    ],
)
def test_sizes_are_those_counted_by_hand(spec: Any, size: tuple[int, ...]) -> None:
    shape = (5,) if isinstance(spec, Mlp) else (8, 8, 1)
    assert tuple(model_size(spec, shape, 2)) == size


def test_vectors_of_categories_are_weights_that_multiply_nothing() -> None:
    # Two vectors of 3 beside one number are 7 inputs.
    spec = Mlp(name="mlp", widths=(4,), embedding=3)
    layers = 7 * 4 + 4 * 2
    found = model_size(spec, (3,), 2, categories=(5, 9))
    assert tuple(found) == (layers + 3 * (5 + 9), layers, 0)
