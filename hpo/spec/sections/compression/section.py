"""The compression section of a spec: what makes a trained model small."""

from __future__ import annotations

from hpo.spec.marks import Spec
from hpo.spec.sections.compression.activations import Activations
from hpo.spec.sections.compression.quantisation import Weights
from hpo.spec.sections.compression.sparsity import WITHOUT_SHARE, Sparsity
from hpo.spec.sections.compression.teacher import Teacher


class Compression(Spec):
    """What makes a model small while it trains; nothing by default."""

    sparsity: Sparsity = Sparsity()
    """Zeros among the weights; none by default."""
    weights: Weights = Weights()
    """Weights in few bits; in float32 by default."""
    activations: Activations = Activations()
    """The numbers between layers; as they are by default."""
    teacher: Teacher = Teacher()
    """A trained model whose answers are learnt, too; none by default."""

    @property
    def packs(self) -> bool:
        """Whether a trained model is kept in fewer bytes than its arrays have."""
        return self.has_zeros or self.weights.name != "none"

    @property
    def has_zeros(self) -> bool:
        """Whether some of its weights are 0."""
        name, share = self.sparsity.name, self.sparsity.share
        return name in WITHOUT_SHARE or (name != "none" and share != 0)
