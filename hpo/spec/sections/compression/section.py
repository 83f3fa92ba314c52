"""The compression section of a spec: what makes a trained model small."""

from __future__ import annotations

from hpo.spec.marks import Spec
from hpo.spec.sections.compression.quantisation import Weights
from hpo.spec.sections.compression.sparsity import Sparsity


class Compression(Spec):
    """What makes a model small while it trains; nothing by default."""

    sparsity: Sparsity = Sparsity()
    """Zeros among the weights; none by default."""
    weights: Weights = Weights()
    """Weights in few bits; in float32 by default."""
