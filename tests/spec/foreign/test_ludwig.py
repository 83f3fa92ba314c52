"""A config of Ludwig becomes parts of a spec."""

import pytest
import yaml

from hpo.errors import HpoError
from hpo.spec.foreign.ludwig import from_ludwig

CONFIG = """
input_features:
  - {name: size, type: number}
  - {name: colour, type: category}
  - {name: review, type: text, encoder: {type: bert}}
  - {name: photo, type: image}
output_features: [{name: sold, type: binary}]
combiner: {type: concat, num_fc_layers: 2, output_size: 64, dropout: 0.2}
trainer:
  {epochs: 30, learning_rate: 0.002, batch_size: 128, early_stop: 5, optimizer: {type: adamw}}
preprocessing: {split: {type: random, probabilities: [0.6, 0.15, 0.25]}}
hyperopt:
  goal: maximize
  metric: roc_auc
  parameters:
    trainer.learning_rate: {space: loguniform, lower: 0.0001, upper: 0.1}
    combiner.dropout: {space: uniform, lower: 0.0, upper: 0.5}
    review.encoder: {space: choice, categories: [bert, rnn]}
  search_alg: {type: optuna}
  executor: {num_samples: 25, scheduler: {type: async_hyperband}}
backend: ray
"""


def test_a_config_becomes_targets_columns_training_and_search():
    found = from_ludwig(yaml.safe_load(CONFIG))

    assert (found.targets, found.features) == (["sold"], ["size", "colour", "review"])
    assert found.types == {"colour": {"type": "category"}, "review": {"type": "text"}}
    assert found.document == {
        "task": "classification",
        "train": {"epochs": 30},
        "optimizer": {"learning_rate": 0.002, "name": "adamw"},
        "data": {"batch_size": 128, "validation": 0.15, "test": 0.25},
        "model": {"widths": [64, 64], "dropout": 0.2},
        "space": {
            "optimizer.learning_rate": {"float": [0.0001, 0.1], "log": True},
            "model.dropout": {"float": [0.0, 0.5]},
        },
        "search": {
            "objective": {"maximize": "auroc"},
            "trials": 25,
            "scheduler": {"name": "asha"},
            "sampler": {"name": "tpe"},
        },
    }


def test_what_has_no_place_is_said_line_by_line():
    lost = from_ludwig(yaml.safe_load(CONFIG)).lost
    assert [line.partition(": ")[0] for line in sorted(lost)] == [
        "backend",
        "hyperopt.parameters.review.encoder",
        "input_features.photo",
        "input_features.review.encoder",
        "trainer.early_stop",
    ]


@pytest.mark.parametrize(
    ("entry", "range_"),
    [
        ({"space": "randint", "lower": 1, "upper": 9}, {"int": [1, 8]}),
        ({"space": "quniform", "lower": 0, "upper": 1, "q": 0.1}, {"float": [0, 1], "step": 0.1}),
        ({"space": "grid_search", "values": [1, 2]}, {"choice": [1, 2]}),
    ],
)
def test_ranges_are_those_of_ray(entry, range_):
    hyperopt = {"metric": "loss", "parameters": {"trainer.batch_size": entry}}
    outputs = [{"name": "y", "type": "number"}]
    found = from_ludwig({"output_features": outputs, "hyperopt": hyperopt})
    assert found.document["space"] == {"data.batch_size": range_}


def test_a_file_without_outputs_is_refused():
    with pytest.raises(HpoError, match="is no config of Ludwig"):
        from_ludwig({"input_features": []})
