"""Hyperparameter tuning for JAX: many trials train as lanes of one XLA program."""

__version__ = "0.1.0"
