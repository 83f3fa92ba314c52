"""Targets that are the next token at each place of a text."""

from __future__ import annotations

import math

import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.engine.training.targets.classification import logits_of, probabilities_of
from hpo.engine.training.targets.kind import Targets
from hpo.spec.sections.loss import CrossEntropy


def _language(sums: list[float], total: float, split: Split, data: DataSet) -> dict[str, float]:
    loss = sums[0] / total
    return {
        "loss": loss,
        # A loss of more than 700 nats has no exponential in float64.
        "perplexity": math.exp(loss) if loss < 700 else math.inf if loss >= 700 else math.nan,
        "bits_per_byte": loss / math.log(2) / _bytes_of_a_token(split, data),
    }


def _bytes_of_a_token(split: Split, data: DataSet) -> float:
    """The mean length of the targets of a split, in bytes of UTF-8."""
    lengths = data.transform.more["token_bytes"]
    return float(np.bincount(split.y.ravel(), minlength=len(lengths)) @ lengths / split.y.size)


LANGUAGE = Targets(
    CrossEntropy(name="cross_entropy"), (), _language, probabilities_of, outputs=logits_of
)
