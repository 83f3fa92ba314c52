"""`hpo.train`: one configuration trained in a process of its own."""

from __future__ import annotations

import pytest

import hpo


@pytest.mark.long
def test_the_winner_is_trained_to_the_value_of_its_trial(spec, flowers):
    best = hpo.search(flowers, quiet=True).best
    model = hpo.Study("flowers").train("model", quiet=True)

    assert model.metrics["validation"]["accuracy"] == best.value
    assert (model.name, model.epochs, model.deviations) == ("flowers", 2, {})
    assert model.curve()["accuracy"].iloc[-1] == best.value
    assert hpo.TrainedModel.read("model") == model
    with pytest.raises(hpo.HpoError, match=r"^-o model: holds a trained model: give another "):
        hpo.train(hpo.Study("flowers").export("best.yaml"), "model", quiet=True)
