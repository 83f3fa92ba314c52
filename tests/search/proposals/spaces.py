"""A space with priors, and a sampler that records what it sees."""

from hpo.search.proposals.stack import make_sampler
from hpo.search.proposals.warm_start import WarmStart
from hpo.search.sampler import Setting
from hpo.space import Choice, Condition, Dimension, Float, Int, Prior, SearchSpace
from hpo.spec.schema import variants_of
from hpo.spec.sections.scheduler import NoScheduler
from hpo.spec.sections.search import SearchSpec
from hpo.trial import Trial, TrialState

SPECS = variants_of(SearchSpec, "sampler").specs
SPACE = SearchSpace(
    (
        Dimension("rate", Float(1e-4, 1.0, log=True), prior=Prior(1e-3)),
        Dimension("kind", Choice(("a", "b", "c")), prior=Prior("b")),
        Dimension("depth", Int(1, 9), Condition("kind", ("b",))),
    )
)
PLAIN = SearchSpace(tuple(Dimension(d.path, d.distribution, d.when) for d in SPACE.dimensions))


def sampler_of(name, space, seed=0, **warm_start):
    setting = Setting(seed, trials=100, epochs=9, scheduler=NoScheduler(name="none"))
    return make_sampler(SPECS[name](name=name), space, setting, WarmStart(**warm_start))


def ended(number, hparams, loss, *values):
    return Trial(number, hparams, TrialState.COMPLETE, (loss,), values)


class Recorder:
    """Remembers what it was shown, and proposes its numbers."""

    def __init__(self):
        self.shown = []

    def ask(self, trials, n):
        self.shown.append(list(trials))
        return [{"rate": float(len(trials) + k)} for k in range(n)]
