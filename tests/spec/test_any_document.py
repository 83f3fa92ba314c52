"""Whatever stands in a document, it is an experiment or a list of mistakes."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng

from hpo.errors import SpecError
from hpo.spec.experiment import Experiment, Training
from hpo.spec.fill import fill
from hpo.spec.load import experiment_from_document
from hpo.spec.programs import count_programs
from hpo.spec.schema import all_leaves

PATHS = [path for path, _ in all_leaves(Training)]
NAMES = ["mlp", "cnn", "sgd", "adam", "rmsprop", "cosine", "step", "constant", "layer", "relu"]
PARTS = [{"name": "mlp"}, {"name": "cnn"}, {"name": "sgd"}, {"name": "step"}, {"name": "cosine"}]
SIMPLE = st.sampled_from(
    [None, True, False, 0, 1, 3, 0.0, 0.5, 1e-3, 2.5, [8], [], {}, *NAMES, *PARTS]
)
LISTS = st.lists(SIMPLE, max_size=3)
ENTRIES = SIMPLE | st.fixed_dictionaries(
    {},
    optional={
        "float": LISTS | st.just([0.1, 0.5]),
        "int": st.just([1, 3]),
        "choice": LISTS | st.just(["mlp", "cnn"]),
        "value": SIMPLE,
        "log": SIMPLE,
        "step": SIMPLE,
        "when": st.dictionaries(st.sampled_from(PATHS), LISTS | SIMPLE, max_size=1),
    },
)
GOOD = [
    ("model.name", {"choice": ["mlp", "cnn"]}),
    ("optimizer.name", {"choice": ["sgd", "adam", "rmsprop"]}),
    ("optimizer", {"choice": [{"name": "sgd"}, {"name": "adam"}]}),
    ("optimizer.schedule", {"choice": [{"name": "step"}, {"name": "cosine", "final": 0.0}]}),
    ("optimizer.schedule.name", {"choice": ["step", "cosine", "exponential"]}),
    ("optimizer.momentum", {"float": [0.1, 0.9], "when": {"optimizer.name": ["sgd", "rmsprop"]}}),
    (
        "optimizer.schedule.final",
        {"float": [0.1, 0.9], "when": {"optimizer.schedule.name": "cosine"}},
    ),
    ("model.kernel", {"int": [1, 3], "when": {"model.name": "cnn"}}),
    ("model.dropout", {"float": [0.0, 0.5], "when": {"optimizer.momentum": [0.5, 0.9]}}),
    ("model.norm", {"choice": ["none", "layer"], "when": {"optimizer.nesterov": False}}),
    ("model.widths", {"choice": [[1], [2]], "when": {"model.norm": "layer"}}),
]
SPACES = st.one_of(
    st.lists(st.sampled_from(GOOD), max_size=6).map(dict),
    st.dictionaries(st.sampled_from(PATHS), ENTRIES, max_size=3),
    st.dictionaries(st.text(max_size=5), ENTRIES, max_size=2),
    SIMPLE,
)
SECTIONS = (
    st.dictionaries(st.sampled_from(["name", "widths", "schedule", "csv", "x"]), SIMPLE) | SIMPLE
)


@given(
    SPACES,
    st.dictionaries(
        st.sampled_from(["name", "data", "model", "search", "y"]), SECTIONS, max_size=1
    ),
    st.integers(0, 99),
)
def test_any_document_is_an_experiment_whose_every_draw_can_be_filled_in_or_a_mistake(
    space, changed, seed
):
    document = {
        "name": "x",
        "data": {"dataset": "digits"},
        "model": {"name": "mlp"},
        "optimizer": {"name": "sgd"},
        "train": {"epochs": 9},
        "space": space,
        **changed,
    }
    try:
        experiment = experiment_from_document(document, Path())
    except SpecError as error:
        lines = error.mistakes
    else:
        lines = []
        check_every_draw(experiment, seed)
    assert not any("\n" in line for line in lines)


def check_every_draw(experiment: Experiment, seed: int) -> None:
    count_programs(experiment)
    for number in range(5):
        rng = default_rng(seed + number)
        fill(experiment.training, experiment.space.draw(rng), number)
    assert experiment_from_document(experiment.document, Path()) == experiment
