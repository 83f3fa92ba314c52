"""The normal distribution that CMA-ES adapts."""

import pytest

from hpo.search.samplers.covariance import Normal


def test_cma_has_converged_once_its_distribution_is_narrow():
    import numpy as np

    normal = Normal.start(np.full(2, 0.5), 0.2, np.zeros(2), 6)
    rng = np.random.default_rng(0)
    for _ in range(400):
        points = [normal.draw(rng) for _ in range(6)]
        points.sort(key=lambda point: float(np.sum((point - 0.3) ** 2)))
        normal = normal.update(np.array(points))
        if normal.has_converged:
            break
    assert normal.has_converged
    assert normal.mean == pytest.approx([0.3, 0.3], abs=1e-6)
