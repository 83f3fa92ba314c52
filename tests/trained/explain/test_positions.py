"""Answers at every position, judged piece by piece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss

from hpo.data.dataset import Split
from hpo.engine.training.metrics.classes import calibration_error
from hpo.trained.explain.explanation import explained
from hpo.trained.explain.findings import How
from hpo.trained.explain.positions import judged_positions
from hpo.trained.predict import NewData
from tests.trained.exported.drawn import data_of, drawn


def test_pieces_have_the_sums_of_the_whole(tmp_path: Path) -> None:
    model, _ = drawn(
        tmp_path, data_of(tmp_path, "masks"), {"name": "unet", "filters": 2, "depth": 1}
    )
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(2), (5, 3, 3))
    y = rng.integers(0, 2, (5, 3, 3))
    weight = np.array([1, 1, 2, 0, 1], np.float32)
    seen: list[np.ndarray] = []
    pieces = ((rows, chances[rows]) for rows in (slice(0, 2), slice(2, 5)))
    found = judged_positions(
        model,
        Split({"y": y, "weight": weight}),
        lambda rows: np.zeros((5, 3, 3, 1), np.float32)[rows],
        pieces,
        lambda y, _: seen.append(y),
    )
    flat = chances.reshape(-1, 2)
    each = weight.repeat(9)
    assert found.metrics["loss"] == pytest.approx(
        log_loss(y.ravel(), flat, sample_weight=each), rel=1e-5
    )
    own = np.where(y == 1, chances[..., 1], chances[..., 0])
    np.testing.assert_allclose(found.losses, -np.log(own).mean((1, 2)))
    assert found.errors["raw"] == pytest.approx(calibration_error(flat, y.ravel(), None))
    assert sum(one.rows for one in found.calibration) == 45
    np.testing.assert_array_equal(np.concatenate(seen), y.ravel())


@pytest.mark.parametrize(
    ("kind", "net"),
    [("masks", {"name": "unet", "filters": 2, "depth": 1}), ("language", {"name": "rnn"})],
)
def test_a_loss_of_ones_own_may_read_the_features_of_each_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, net: dict[str, Any]
) -> None:
    (tmp_path / "own.py").write_text(
        "def brightness(outputs, batch):\n"
        "    return batch['x'].reshape(len(outputs), -1).astype('float32').mean(1)\n"
    )
    loss = {"python": "own.py:brightness"}
    model, source = drawn(tmp_path, data_of(tmp_path, kind), net, loss=loss)
    assert source is not None
    monkeypatch.setattr("hpo.trained.predict._MOST_BYTES", 1)  # the fewest rows at once
    found = explained(model, NewData(source), How(worst=0, has_pictures=False))
    features = model.features(model.members[0], source)
    assert found.metrics["loss"] == pytest.approx(features.mean(), rel=1e-5)
