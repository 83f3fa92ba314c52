"""A population after two epochs."""

from hpo.search.schedulers.pbt import Populations
from hpo.spec.sections.scheduler import Pbt
from hpo.trial import Trial, TrialState

SPEC = Pbt(name="pbt", population=10, interval=2)
WAITING, DIVERGED = TrialState.PAUSED, TrialState.DIVERGED


def member(number, *losses, state=WAITING, exploited=0):
    hparams = {"optimizer.learning_rate": 0.01, "model.dropout": 0.1, "model.widths": [8]}
    return Trial(number, hparams, state, tuple(map(float, losses)), exploited=exploited)


def at_two(*losses):
    """A population after two epochs, with these losses after the second."""
    return [member(number, 9, loss) for number, loss in enumerate(losses)]


def scheduler(total=10, epochs=6, spec=SPEC):
    return Populations(spec, epochs, total)
