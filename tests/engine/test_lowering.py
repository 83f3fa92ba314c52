"""Programs for accelerators: every shipped config lowers for CUDA and TPU on any machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from hpo.data.dataset import DataSet, Split
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import Program, split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.lanes import operations
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.batches import host_data
from hpo.engine.training.compression.distillation import ANSWERS
from hpo.engine.training.supervised import abstract_lane
from hpo.engine.training.task import task_of
from hpo.registry import METRICS, MODELS
from hpo.spec.experiment import Experiment
from hpo.spec.fill import fill
from hpo.spec.load import load_experiment, require_search
from hpo.spec.sections.compression.teacher import teacher_of
from tests.checkout import ROOT
from tests.engine.samples import a_split, a_training, tiny_data

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


def stand_in(experiment: Experiment) -> DataSet:
    """A little data of the kind that a config trains on, because its own may need a download."""
    rng = np.random.default_rng(0)
    tasks = METRICS[require_search(experiment).goal.first.metric].tasks
    shape = (28, 28, 1) if _needs_images(experiment) else (12,)
    rows = 2 * experiment.training.data.batch_size
    parts = a_split(rng, rows, shape), a_split(rng, 8, shape)
    ids = [{**part.arrays, "x": np.abs(part.x).astype(np.int32)} for part in parts]
    if tasks == ("language",):
        own = [Split({**arrays, "y": arrays["x"]}) for arrays in ids]
        return DataSet("language", *own, None, 9, "")
    if tasks == ("segmentation",):
        masks = [{**part.arrays, "y": (part.x[..., 0] > 0).astype(np.int32)} for part in parts]
        return DataSet("segmentation", Split(masks[0]), Split(masks[1]), None, 2, "")
    if has_tokens(experiment):
        parts = Split(ids[0]), Split(ids[1])
    if teacher_of(experiment.training):
        answers = rng.standard_normal((rows, 3)).astype(np.float32)
        parts = Split({**parts[0].arrays, ANSWERS: answers}), parts[1]
    if "classification" in tasks:
        return DataSet("classification", *parts, None, 3, "")
    train, validation = (Split({"x": part.x, "y": part.x[:, 0]}) for part in parts)
    return DataSet("regression", train, validation, None, 1, "")


def has_tokens(experiment: Experiment) -> bool:
    return experiment.training.data.text.vectors == "ids"


def _needs_images(experiment: Experiment) -> bool:
    return "images" in MODELS[experiment.training.model.name].needs


def drawn(experiment: Experiment, seed: int) -> Program:
    """The program of one draw from the space."""
    hparams = experiment.space.draw(np.random.default_rng(seed))
    training, data = fill(experiment.training, hparams, 0), stand_in(experiment)
    program, _ = split(training, data, "gpu", experiment.space.varying)
    return replace(program, vocabulary=9) if has_tokens(experiment) else program


def lower(program: Program, data: DataSet) -> str:
    """The text of a round with "vmap" on accelerators."""
    made = operations(
        task_of(program), "vmap", 2, host_data(data, is_whole=False), abstract_lane(program)
    )
    texts = {}
    for name, operation in made.items():
        jitted = jax.jit(operation.function, donate_argnums=operation.donated)
        exported = jax.export.export(jitted, platforms=("cuda", "tpu"))(*operation.arguments)
        assert exported.platforms == ("cuda", "tpu")
        texts[name] = exported.mlir_module()
    return texts["round"]


@pytest.mark.long
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_lowers_for_accelerators(path: Path) -> None:
    experiment = load_experiment(path)
    text = lower(drawn(experiment, seed=0), stand_in(experiment))
    # The plain form; the form for CPUs consists of matrix products.
    assert ("stablehlo.convolution" in text) == _needs_images(experiment)


@pytest.mark.long
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_other_shapes_of_its_space_lower_too(path: Path) -> None:
    experiment = load_experiment(path)
    first, *others = (drawn(experiment, seed) for seed in range(4))
    for program in {*others} - {first}:
        assert "stablehlo.while" in lower(program, stand_in(experiment))


def test_a_round_overwrites_its_lanes_and_makes_no_host_calls() -> None:
    data = tiny_data()
    program, _ = split(a_training(), data, "cpu")
    pool = Pool(local_devices("cpu")[0], Compiler())
    pool.load(program, Plans(Plan("map", 2)), data)
    leaves = len(jax.tree.leaves(abstract_lane(program)))
    for name in ("round", "put"):
        text = getattr(pool._operations, name).as_text()
        # Every leaf of the lanes is an output in place: no second copy is made.
        assert text.splitlines()[0].count("-alias") == leaves, name
        for word in ("infeed", "outfeed", " send(", " recv(", "callback", "host_compute"):
            assert word not in text
