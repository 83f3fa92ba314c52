"""The spaces that come with hpo fit every spec that they are for."""

from itertools import cycle, islice

import pytest
from numpy.random import default_rng

from hpo import registry
from hpo.errors import SpecError
from hpo.spec.experiment import Training
from hpo.spec.file.document import parse_yaml
from hpo.spec.file.include import packaged_folder
from hpo.spec.fill import fill
from hpo.spec.load import experiment_from_document, require_single
from hpo.spec.schema import all_leaves, variants_of

FILES = sorted(packaged_folder("search_spaces").glob("*.yaml"))
NAMES = [path.stem for path in FILES]
MODELS = list(variants_of(Training, "model").specs)
OPTIMIZERS = list(variants_of(Training, "optimizer").specs)


def experiment(includes, model, optimizer, own=None, folder=FILES[0].parent):
    takes_all = "all rows" in registry.OPTIMIZERS[optimizer].needs
    document = {
        "name": "x",
        # Files that the spaces of extra rows and synonyms need.
        "data": {
            "dataset": "digits",
            "batch_size": "all" if takes_all else 64,
            "extra": "generated.npz",
            "text": {"synonyms": "synonyms.tsv", "homophones": "synonyms.tsv"},
        },
        "model": {"name": model},
        "optimizer": {"name": optimizer},
        "train": {"epochs": 3},
        "space": {"include": includes, **(own or {})},
    }
    return experiment_from_document(document, folder)


# Needs of an optimizer that a space excludes, and what says so.
_REFUSED = {
    "updates": ({"gradient", "own average"}, r"updates\.(accumulate|max_norm)"),
    "updates_more": ({"own rate", "own average"}, r"updates\.(decay_on|spectral_norm)"),
    "averages": ({"own average"}, r"swa averages weights itself"),
    "rewinding": ({"own average"}, r"compression\.sparsity\.rewind"),
}
# Models that a space excludes, and what says so.
_REFUSED_MODELS = {
    "activations": ({"realmlp", "tabm", "rnn"}, r"compression\.activations\.bits: rounds"),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_space_is_valid_for_every_model_and_optimizer(name):
    # Each model and each optimizer at least once; which of them meet differs among the spaces.
    count, first = max(len(MODELS), len(OPTIMIZERS)), NAMES.index(name)
    models = islice(cycle(MODELS), first, first + count)
    for model, optimizer in zip(models, islice(cycle(OPTIMIZERS), count), strict=True):
        needs = registry.OPTIMIZERS[optimizer].needs
        excluded, said = _REFUSED.get(name, (set(), ""))
        models_excluded, said_of_models = _REFUSED_MODELS.get(name, (set(), ""))
        if model in models_excluded:
            with pytest.raises(SpecError, match=said_of_models):
                experiment([name], model, optimizer)
            continue
        if excluded & {*needs}:
            with pytest.raises(SpecError, match=said):
                experiment([name], model, optimizer)
            continue
        if name == "private" and (model == "resnet" or "gradient" in needs):
            with pytest.raises(SpecError, match=r"model\.norm batch|gets the gradient"):
                experiment([name], model, optimizer)
            continue
        experiment([name], model, optimizer)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("augment")])
def test_every_range_of_augmentation_holds_0(name):
    entries = parse_yaml((FILES[0].parent / f"{name}.yaml").read_text(), name).values
    assert [low for entry in entries.values() for low, _ in entry.values()] == [0] * len(entries)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_space_varies_something_and_says_what_it_is_for(path):
    assert path.read_text().startswith("# ")
    model = {"blocks": "resnet"}.get(path.stem, path.stem if path.stem in MODELS else "mlp")
    model = "realmlp" if path.stem.startswith("tables") else model
    space = experiment([path.stem], model, "adamw").space
    entries = parse_yaml(path.read_text(), path.name).values
    assert {dimension.path for dimension in space.dimensions} == set(entries)


def test_spaces_for_several_parts_go_together():
    names = ["optimizer", "schedule", "mlp", "cnn", "regularization"]
    found = experiment(names, "mlp", "sgd", {"model.name": {"choice": ["mlp", "cnn"]}})
    for seed in range(50):
        fill(found.training, found.space.draw(default_rng(seed)), 0)


def test_every_optimizer_schedule_and_update_is_in_a_space():
    includes = ["optimizers_all", "schedules_all", "updates", "updates_more"]
    varied = experiment(includes, "mlp", "sgd").space.by_path
    untuned = experiment(["untuned"], "mlp", "sgd").space.by_path
    optimizers = [
        name for space in (varied, untuned) for name in space["optimizer.name"].distribution.values
    ]
    all_rows = {name for name, entry in registry.OPTIMIZERS.items() if "all rows" in entry.needs}
    assert {*optimizers} | all_rows == {*registry.OPTIMIZERS}
    assert {*varied["optimizer.schedule.name"].distribution.values} == {*registry.SCHEDULES}
    updates = {path for path, _ in all_leaves(Training) if path.startswith("updates.")}
    # Clipping by the whole norm is in the space `regularization`, and the others name layers.
    assert updates - {*varied} == {"updates.clip_norm", "updates.freeze", "updates.rates"}


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("recipe_")])
def test_a_recipe_can_be_trained_as_it_is_and_says_what_it_gains(name):
    found = require_single(experiment([name], "transformer", "sgd"))
    optimizer = "muon" if name == "recipe_tables" else "adamw"
    assert (len(found.space), found.training.optimizer.name) == (0, optimizer)
    header = (FILES[0].parent / f"{name}.yaml").read_text().split("\nmodel.")[0]
    assert "5 seeds" in header
    assert header.count("±") == 4
