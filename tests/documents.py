"""Specs for tests that need any valid one."""

SMALL = {
    "name": "here",
    "data": {"dataset": "iris"},
    "model": {"name": "mlp"},
    "optimizer": {"name": "adamw", "learning_rate": 0.01},
    "train": {"epochs": 2},
    "space": {"model.dropout": {"float": [0.0, 0.3]}},
    "search": {"objective": {"maximize": "accuracy"}, "trials": 10},
}
