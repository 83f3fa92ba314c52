"""Merged programs: one serves several values of static leaves and learns as separate ones do.

Floating-point numbers are summed in another order, so curves are equal up to rounding.
"""

from __future__ import annotations

from typing import Any, get_args

import pytest

from hpo.data.dataset import DataSet
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.registry import OPTIMIZERS, SCHEDULES
from hpo.spec.experiment import Training
from hpo.spec.sections.models.parts import Activation
from tests.engine.samples import Learn, a_merged, tiny_data, unmerged

_DATA = tiny_data()
_WIDTHS = [[4], [8, 3], [5, 7, 4]]


def _assert_learn_the_same(learn: Learn, data: DataSet, trainings: list[Training]) -> None:
    """All of them in one program, and each in a separate program."""
    together = learn(data, trainings, lanes=2)
    for training in trainings:
        stream = training.train.stream
        (alone,) = learn(data, [unmerged(training)]).values()
        for ours, theirs in zip(together[stream], alone, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)


# Every value of every leaf, in one program. 96 rows: batches of 40 leave 16 of them out.
_OPTIMIZERS: list[dict[str, Any]] = [
    {"name": "sgd", "momentum": 0.8},
    {"name": "sgd", "momentum": 0.0, "nesterov": True},
    {"name": "adam", "beta1": 0.8},
    {"name": "adamw", "clip_norm": 0.3},
    {"name": "rmsprop", "momentum": 0.5},
    {"name": "adagrad", "initial_accumulator": 0.2},
    {"name": "lamb"},
    *(
        {"name": name}
        for name in ("adabelief", "adadelta", "adamax", "adan", "ademamix", "amsgrad")
    ),
    *({"name": name} for name in ("dog", "lion", "mechanic", "momo", "nadam", "prodigy", "radam")),
    *({"name": name} for name in ("yogi", "lars", "novograd")),
]
_SCHEDULES: list[dict[str, Any]] = [
    {"name": "constant", "warmup": 0.3},
    {"name": "cosine", "warmup": 0.1},
    {"name": "exponential"},
    {"name": "step", "drops": 1},
    {"name": "coslog"},
    {"name": "linear"},
    {"name": "polynomial"},
    {"name": "cosine_restarts"},
    {"name": "one_cycle"},
    {"name": "piecewise", "warmup": 0.2, "warmup_shape": "cosine"},
]
_ACTIVATIONS: tuple[str, ...] = get_args(Activation)
_BATCH_SIZES = [8, 16, 40]


@pytest.mark.long
def test_every_value_of_every_leaf_learns_as_in_a_program_of_its_own(learn: Learn) -> None:
    alone = {"own sizes", "own average", "all rows"}
    apart = {name for name, entry in OPTIMIZERS.items() if alone & {*entry.needs}}
    assert {spec["name"] for spec in _OPTIMIZERS} == set(OPTIMIZERS) - apart
    assert len(_SCHEDULES) == len(SCHEDULES)
    fields = {"learning_rate": 0.01, "weight_decay": 0.1}
    merged = {
        "widths": _WIDTHS,
        "bounds": [7],
        "activation": list(_ACTIVATIONS),
        "batch_size": _BATCH_SIZES,
        "optimizer": [{**optimizer, **fields} for optimizer in _OPTIMIZERS],
        "schedule": _SCHEDULES,
    }
    count = max(len(leaf) for leaf in (_ACTIVATIONS, _OPTIMIZERS, _SCHEDULES))
    trainings = [
        a_merged(
            n,
            merged,
            model={
                "name": "mlp",
                "dropout": 0.2,
                # One width for each pair of batch sizes, and the other way round.
                "widths": _WIDTHS[(n + n // 3) % 3],
                "activation": _ACTIVATIONS[n % len(_ACTIVATIONS)],
            },
            optimizer={
                **_OPTIMIZERS[n % len(_OPTIMIZERS)],
                **fields,
                "schedule": _SCHEDULES[n % len(_SCHEDULES)],
            },
            data__batch_size=_BATCH_SIZES[n % 3],
        )
        for n in range(count)
    ]
    program, _ = split(trainings[0], _DATA, "cpu")
    assert len(program.merged) == 5
    _assert_learn_the_same(learn, _DATA, trainings)


@pytest.mark.long
@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_widths_beside_norms_learn_as_in_programs_of_their_own(learn: Learn, norm: str) -> None:
    widths = [[8], [3]]
    optimizer, model = {"name": "sgd"}, {"name": "mlp", "norm": norm}
    trainings = [
        a_merged(
            n,
            {"widths": widths, "bounds": [4]},
            model={**model, "widths": mine},
            optimizer=optimizer,
        )
        for n, mine in enumerate(widths)
    ]
    _assert_learn_the_same(learn, _DATA, trainings)


@pytest.mark.parametrize("form", ["vmap", pytest.param("map", marks=pytest.mark.long)])
def test_widths_up_to_the_widest_learn_as_in_programs_of_their_own(learn: Learn, form: str) -> None:
    # Layers that a trial lacks must give no NaN, not even to a gradient under vmap.
    merged = {"widest": [8, 8], **({"bounds": [4]} if form == "map" else {})}
    trainings = [
        a_merged(
            n, merged, model={"name": "mlp", "norm": "layer", **shape}, optimizer={"name": "sgd"}
        )
        for n, shape in enumerate([{"depth": 1, "width": 3}, {"widths": [4, 8]}])
    ]
    program, _ = split(trainings[0], _DATA, "cpu")
    assert [path for path, _ in program.merged] == ["model.widths"]
    together = learn(_DATA, trainings, lanes=2, form=form)
    for training in trainings:
        (alone,) = learn(_DATA, [unmerged(training)]).values()
        for ours, theirs in zip(together[training.train.stream], alone, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)


def test_programs_of_the_widest_serve_every_list_that_fits() -> None:
    def program(**model: Any) -> Any:
        training = a_merged(0, {"widest": [16, 8, 8]}, model={"name": "mlp", **model})
        return split(training, _DATA, "cpu")[0]

    served = program(depth=3, width=8)
    assert served == program(widths=[1]) == program(widths=[16, 2]) != program(widths=[])
    assert str(served).endswith("model.widths up to [16, 8, 8]")
    for too_large in ([17], [16, 9], [8, 8, 8, 8]):
        assert program(widths=too_large).merged == ()
    two_deep = program(widths=[4, 8], norm="batch")
    assert two_deep == program(widths=[16, 1], norm="batch") != program(widths=[4], norm="batch")


def test_only_widths_of_one_depth_are_merged_beside_batch_norms() -> None:
    widths = [[6, 8], [7, 3], [9]]
    model = {"name": "mlp", "norm": "batch"}
    *two_deep, one_deep = (
        split(a_merged(0, {"widths": widths}, model={**model, "widths": mine}), _DATA, "cpu")[0]
        for mine in widths
    )
    assert two_deep[0] == two_deep[1] != one_deep


def test_batch_sizes_are_not_merged_beside_batch_norms() -> None:
    model = {"name": "mlp", "norm": "batch"}
    program, _ = split(a_merged(0, {"batch_size": [8, 16]}, model=model), _DATA, "cpu")
    assert program.merged == ()


@pytest.mark.long
def test_a_convolutional_network_is_merged_in_its_dense_layer(
    learn: Learn, images: DataSet
) -> None:
    merged = {"dense": [4, 9], "bounds": [4], "activation": ["relu", "gelu"]}
    trainings = [
        a_merged(
            n,
            merged,
            model={"name": "cnn", "filters": [3], "dense": [4, 9][n], "activation": name},
            optimizer={"name": "sgd"},
        )
        for n, name in enumerate(["relu", "gelu"])
    ]
    _assert_learn_the_same(learn, images, trainings)


def test_a_value_that_is_not_listed_has_a_program_of_its_own() -> None:
    inside, outside = (a_merged(0, {"widths": [[4], [8]]}, model__widths=[n]) for n in (4, 5))
    assert split(outside, _DATA, "cpu")[0] == split(unmerged(outside), _DATA, "cpu")[0]
    assert split(inside, _DATA, "cpu")[0] != split(unmerged(inside), _DATA, "cpu")[0]


def test_a_leaf_of_one_value_is_not_merged() -> None:
    training = a_merged(0, {"widths": [[8]], "activation": ["relu"]})
    assert split(training, _DATA, "cpu")[0] == split(unmerged(training), _DATA, "cpu")[0]


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_a_zero_finds_the_optimizer_whose_numbers_vary(value: float) -> None:
    specs = [{"name": "sgd", "momentum": 0.9}, {"name": "adamw"}]
    training = a_merged(0, {"optimizer": specs}, optimizer={"name": "sgd", "momentum": value})
    program, knobs = split(training, _DATA, "cpu")
    assert program == split(a_merged(1, {"optimizer": specs}), _DATA, "cpu")[0]
    assert dict(zip(program.knobs, knobs, strict=True))["optimizer.momentum"] == value


def test_a_trial_learns_the_same_bits_alone_and_beside_others(learn: Learn) -> None:
    widths = [[4], [8, 3]]
    trainings = [
        a_merged(
            n,
            {"widths": widths, "batch_size": [8, 16]},
            model={"name": "mlp", "widths": widths[n // 2]},
            data__batch_size=[8, 16][n % 2],
        )
        for n in (0, 1, 3)
    ]
    together = learn(_DATA, trainings, lanes=3)
    for training in trainings:
        assert learn(_DATA, [training])[training.train.stream] == together[training.train.stream]


def test_bounds_that_hold_all_sizes_are_dropped() -> None:
    sizes = {"widths": [[4], [8]]}
    plain = a_merged(0, sizes, model__widths=[4])
    for bounds in ([8], [20]):
        bounded = a_merged(0, {**sizes, "bounds": bounds}, model__widths=[4])
        assert split(bounded, _DATA, "cpu")[0] == split(plain, _DATA, "cpu")[0]


def test_one_compile_serves_all(learn: Learn, compiler: Compiler) -> None:
    model = {"name": "mlp", "dropout": 0.0}
    trainings = [
        a_merged(
            n,
            {"widths": [[2], [3], [5]]},
            model={**model, "widths": [size]},
            optimizer={"name": "sgd"},
        )
        for n, size in enumerate([2, 3, 5])
    ]
    before = compiler.programs
    learn(_DATA, trainings, lanes=2)
    assert compiler.programs == before + 1
