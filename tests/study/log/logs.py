"""Logs as drivers write them."""

from hypothesis import strategies as st

from hpo.spec.sections.goal import Goal, Objective
from hpo.study.log.events import (
    Checkpoint,
    Cost,
    Draw,
    End,
    Pause,
    Pin,
    Promote,
    Propose,
    Report,
    Start,
    Stop,
    StudyState,
    Times,
)
from hpo.trial import Run, TrialState

ACCURACY = Goal((Objective(maximize="accuracy"),))
LOSS = Goal((Objective(minimize="loss"),))
hparams = st.dictionaries(
    st.sampled_from(["a", "a.b", "c"]),
    st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(["relu", [64, 32], {}])),
    max_size=3,
)
metrics = st.fixed_dictionaries({"accuracy": st.floats(allow_nan=False), "loss": st.floats()})
ends = st.sampled_from([state for state in TrialState if state.is_finished])
reasons = st.sampled_from(["finished", "timeout"])


@st.composite
def logs(draw):
    """Logs as drivers write them: every trial lives from its proposal to at most one end."""
    state = StudyState(ACCURACY)
    log = []
    for _ in range(draw(st.integers(0, 30))):
        under_way = [trial.number for trial in state.trials if not trial.state.is_finished]
        kinds = ["propose", "start", "stop", "pin", "times"]
        if under_way:
            kinds += [
                "report",
                "report",
                "report",
                "cost",
                "draw",
                "pause",
                "promote",
                "checkpoint",
                "end",
            ]
        kind = draw(st.sampled_from(kinds))
        number = draw(st.sampled_from(under_way)) if under_way else None
        epoch = len(state.metrics.get(number, ()))
        match kind:
            case "propose":
                # Numbers come in any order: pools propose for themselves.
                number = draw(st.sampled_from([n for n in range(50) if n not in state.metrics]))
                what = Propose(draw(hparams), state.seq)
            case "start":
                number, what = None, Start({"pid": 1}, ("jax has changed",))
            case "stop":
                number, what = None, Stop(draw(reasons))
            case "pin":
                number, what = None, Pin("mlp", {"form": "map", "lanes": draw(st.integers(1, 9))})
            case "times":
                number, what = None, Times({"pool 0": {"training": 1.5, "idle": 0.25}})
            case "report":
                what = Report(epoch + 1, draw(metrics))
            case "draw":
                what = Draw({"momentum": draw(st.floats(0, 1)), "kind": [1, None]})
            case "cost":
                what = Cost({"train_seconds": draw(st.floats(0, 1e9))})
            case "pause":
                what = Pause(epoch)
            case "promote":
                what = Promote(epoch, epoch + 2)
            case "checkpoint":
                what = Checkpoint(epoch, f"{number}-{epoch}.safetensors", "abc", Run(number))
            case "end":
                what = End(draw(ends), draw(st.integers(0, 8)))
        log.append(state.record(what, number, len(log)))
    return log
