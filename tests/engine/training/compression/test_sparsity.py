"""Zeros among the weights of a lane, counted by NumPy, and the papers' formulas by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.program import split
from hpo.engine.training.batches import host_data, host_rows
from hpo.engine.training.compression.connections import CUT
from hpo.engine.training.compression.packing import leaves
from hpo.engine.training.compression.sparsity import replaced_part, scheduled_share
from hpo.engine.training.lane import lane_from_arrays, lane_to_arrays
from hpo.engine.training.pretrained import Start
from hpo.engine.training.supervised import own_weights
from hpo.engine.training.task import task_of
from hpo.registry import OPTIMIZERS
from hpo.spec.marks import with_leaves
from hpo.spec.sections.compression.sparsity import Sparsity
from tests.engine.samples import Learn, a_training, unmerged

MAGNITUDE = {"sparsity": {"name": "magnitude", "share": 0.75, "begin": 0.25, "end": 0.75}}
STEPS = 6  # of an epoch of the tiny data


def _lanes(data: DataSet, epochs: int, count: int = STEPS, **leaves: Any) -> list[Any]:
    """The lanes of a training after each of its epochs, trained `count` steps at once."""
    training = a_training(**leaves)
    program, knobs = split(training, data, "cpu")
    task = task_of(program)
    lane, found, train = task.initial(training), [], jax.jit(task.train)
    rows = host_data(data, is_whole=False)
    for epoch in range(epochs):
        feed = task.feed(training, epoch)
        for _ in range(STEPS // count):
            lane = train(knobs, lane, rows, feed, count)
            # As a checkpoint does.
            lane = lane_from_arrays(task.shapes(), lane_to_arrays(jax.device_get(lane)))
        found.append(lane)
    return found


def _trained(data: DataSet, epochs: int, count: int = STEPS, **leaves: Any) -> list[Any]:
    """The trial's own weights after each epoch."""
    training = a_training(**leaves)
    program = split(training, data, "cpu")[0]
    lanes = _lanes(data, epochs, count, **leaves)
    return [own_weights(program, training, lane)[0] for lane in lanes]


def _zeros(weights: Any) -> int:
    kernels = [weights["linears"][0]["kernel"], weights["head"]["kernel"]]
    return sum(int((np.asarray(kernel) == 0).sum()) for kernel in kernels)


def test_the_share_follows_the_cubic_schedule() -> None:
    sparsity = Sparsity.model_validate(MAGNITUDE["sparsity"])
    times = [0.0, 0.25, 0.375, 0.5, 0.625, 0.75, 1.0]
    found = [float(scheduled_share(sparsity, jnp.float32(time))) for time in times]
    # Zhu and Gupta 2017, Equation 1: s (1 - (1 - t)^3) at t = 0, 0, 1/4, 1/2, 3/4, 1 and 1.
    expected = [0.75 * part for part in (0, 0, 37 / 64, 7 / 8, 63 / 64, 1, 1)]
    assert found == pytest.approx(expected, abs=1e-5)
    at_once = Sparsity.model_validate({"name": "magnitude", "share": 0.5, "begin": 0.5, "end": 0.5})
    assert [float(scheduled_share(at_once, jnp.float32(t))) for t in (0.25, 0.5)] == [0, 0.5]


def test_a_lane_has_the_zeros_of_the_schedule_after_each_epoch(tiny: DataSet) -> None:
    # 64 weights of 5 * 8 + 8 * 3; the schedule is at t = 0, 1/2, 1 and 1.
    found = _trained(tiny, 4, compression=MAGNITUDE)
    assert [_zeros(weights) for weights in found] == [0, 42, 48, 48]
    kept = np.concatenate([np.ravel(found[2][name]["bias"]) for name in ("head",)])
    assert (kept != 0).all()
    layered = {"sparsity": {**MAGNITUDE["sparsity"], "scope": "layer"}}
    last = _trained(tiny, 4, compression=layered)[-1]
    assert (np.asarray(last["linears"][0]["kernel"]) == 0).sum() == 30
    assert (np.asarray(last["head"]["kernel"]) == 0).sum() == 18


def test_a_lane_resumed_in_the_middle_of_pruning_learns_the_same(tiny: DataSet) -> None:
    whole = _trained(tiny, 4, compression=MAGNITUDE)
    parts = _trained(tiny, 4, count=2, compression=MAGNITUDE)
    jax.tree.map(np.testing.assert_array_equal, parts, whole)


@pytest.mark.parametrize(
    "leaves",
    [
        {"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}},
        {"optimizer": {"name": "lion", "learning_rate": 0.01}},
        {"optimizer": {"name": "schedule_free", "learning_rate": 0.01}},
        {"train__average": {"name": "ema", "decay": 0.5}},
        {"updates": {"lookahead": 4, "weight_noise": 0.1, "sam_radius": 0.1}},
    ],
    ids=lambda leaves: str(next(iter(leaves.values()))),
)
def test_zeros_hold_through_optimizers_and_averages(tiny: DataSet, leaves: dict[str, Any]) -> None:
    assert _zeros(_trained(tiny, 4, compression=MAGNITUDE, **leaves)[-1]) == 48


@pytest.mark.parametrize(("rewind", "place"), [(0.0, 0), (0.3, 2)])
def test_kept_weights_go_back_to_what_they_were_when_all_zeros_are_there(
    tiny: DataSet, rewind: float, place: int
) -> None:
    early = {"sparsity": {"name": "magnitude", "share": 0.5, "begin": 0.5, "end": 0.5}}
    back = {"sparsity": {**early["sparsity"], "rewind": rewind}}
    leaves = {"train": {"epochs": 7}, "train__average": {"name": "ema", "decay": 0.5}}
    training = a_training(compression=back, **leaves)
    start = task_of(split(training, tiny, "cpu")[0]).initial(training)
    plain, found = (_lanes(tiny, 5, compression=one, **leaves) for one in (early, back))
    for one, other in zip(plain[:3], found[:3], strict=True):
        np.testing.assert_array_equal(one.params, other.params)
    # Half of 7 epochs have passed at the end of the fourth; two fill at most 0.3 of them.
    expected = [start, *plain][place].params
    cut = plain[3].copies["connections"] == CUT
    assert cut.sum() == 32
    for copy in (found[3].params, found[3].copies["average"]):
        np.testing.assert_array_equal(copy, np.where(cut, 0, expected))
    # It happens once.
    assert (abs(found[4].params - found[3].params)[~cut] > 0).any()
    np.testing.assert_array_equal(found[4].copies["early"], expected)


def test_lanes_go_back_each_by_its_own_number(tiny: DataSet, learn: Learn) -> None:
    trainings = [
        a_training(
            number,
            compression={"sparsity": {**MAGNITUDE["sparsity"], "rewind": rewind}},
            train__merged={"widths": [[8], [12]]},
            train__varying=["compression.sparsity.rewind"],
        )
        for number, rewind in enumerate([0.0, 0.25, 0.5])
    ]
    assert len({split(training, tiny, "cpu")[0] for training in trainings}) == 1
    together = learn(tiny, trainings, lanes=2)
    for number, training in enumerate(trainings):
        assert learn(tiny, [training], lanes=2)[number] == together[number]
        alone = learn(tiny, [unmerged(training)])[number]
        assert alone[-1] == pytest.approx(together[number][-1], rel=1e-4)


def test_merged_programs_count_only_a_trials_own_weights(tiny: DataSet) -> None:
    merged = {"widths": [[8], [12], [3, 3]]}
    leaves = {"compression": MAGNITUDE, "train__merged": merged}
    alone = _trained(tiny, 4, compression=MAGNITUDE)
    together = _trained(tiny, 4, **leaves)
    assert [_zeros(weights) for weights in together] == [_zeros(weights) for weights in alone]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), together, alone)


def test_shares_vary_in_one_program_and_are_the_lanes_own(tiny: DataSet, learn: Learn) -> None:
    trainings = [
        a_training(
            number,
            compression={"sparsity": {"name": "magnitude", "share": share, "end": end}},
            train__varying=["compression.sparsity.share"],
        )
        for number, (share, end) in enumerate([(0.0, 0.5), (0.5, 0.7), (0.9, 1.0)])
    ]
    assert len({split(training, tiny, "cpu")[0] for training in trainings}) == 1
    together = learn(tiny, trainings, lanes=2)
    for number, training in enumerate(trainings):
        assert learn(tiny, [training], lanes=2)[number] == together[number]


def test_no_share_gives_the_bits_of_no_sparsity(tiny: DataSet, learn: Learn) -> None:
    none = a_training(compression={"sparsity": {"name": "magnitude"}})
    assert learn(tiny, [none]) == learn(tiny, [a_training()])


def test_the_replaced_part_falls_by_a_cosine() -> None:
    sparsity = Sparsity(name="rigl", share=0.5, drop=0.4, end=0.8)
    found = [float(replaced_part(sparsity, jnp.float32(time))) for time in (0, 0.2, 0.4, 0.8, 1)]
    # Evci et al. 2020: a / 2 (1 + cos(t pi / T)) at t / T = 0, 1/4 and 1/2.
    assert found == pytest.approx([0.4, 0.2 * (1 + 0.5**0.5), 0.2, 0, 0], abs=1e-6)


@pytest.mark.parametrize(("name", "moved"), [("fixed", 0), ("set", 1), ("rigl", 1)])
def test_zeros_from_the_start_keep_their_number_and_move_until_the_end(
    tiny: DataSet, name: str, moved: int
) -> None:
    sparse = {"sparsity": {"name": name, "share": 0.5, "end": 0.75}}
    found = [lane.copies["connections"] for lane in _lanes(tiny, 4, compression=sparse)]
    # 20 of 40, and 12 of 24, are cut.
    assert {int((each == CUT).sum()) for each in found} == {32}
    parts = [replaced_part(Sparsity.model_validate(sparse["sparsity"]), t) for t in (0.5, 0.75)]
    assert parts[0] > 0.07
    changes = [(one != other).any() for one, other in pairwise(found)]
    assert changes == [bool(moved), False, False]
    wide = {"compression": sparse, "train__merged": {"widths": [[8], [12], [3, 3]]}}
    together = _lanes(tiny, 4, **wide)
    assert {int((lane.copies["connections"] == CUT).sum()) for lane in together} == {32}


@pytest.mark.parametrize("merged", [{}, {"widths": [[8], [12], [3, 3]]}], ids=["alone", "merged"])
def test_weights_that_are_0_at_the_start_stay_so_and_others_learn(
    tiny: DataSet, merged: dict[str, Any]
) -> None:
    rng = np.random.default_rng(2)
    shapes = {"linears/0/kernel": (5, 8), "linears/0/bias": (8,), "head/kernel": (8, 3)}
    shapes["head/bias"] = (3,)
    arrays = {f"params/{name}": rng.standard_normal(shape) for name, shape in shapes.items()}
    arrays["params/linears/0/kernel"][rng.random((5, 8)) < 0.4] = 0
    arrays["params/linears/0/kernel"][:, 2] = 0  # a unit that is cut, with its bias
    arrays["params/linears/0/bias"][2] = 0
    # These learn: the bias of a unit that reads something, and the head's.
    arrays["params/linears/0/bias"][4] = arrays["params/head/bias"][1] = 0
    model, sparse = {"name": "mlp", "widths": [8]}, {"sparsity": {"name": "kept"}}
    training = a_training(model=model, compression=sparse, train__merged=merged or "auto")
    training = with_leaves(training, {"model.from": Start("base", {"": arrays}, keeps_head=True)})
    program, knobs = split(training, tiny, "cpu")
    task, rows = task_of(program), host_data(tiny, is_whole=False)
    feed = task.feed(training, 0)
    lane = jax.jit(task.train)(knobs, task.initial(training), rows, feed, STEPS)
    found = dict(leaves(own_weights(program, training, lane)[0], "params"))
    for name, array in arrays.items():
        after = np.asarray(found[name])
        stays = array == 0
        if name == "params/linears/0/bias":
            stays[4] = False
        if name == "params/head/bias":
            stays[1] = False
        np.testing.assert_array_equal(after == 0, stays)
        assert (after != array.astype(np.float32)).any()


_ALL_ROWS = ("exact", "lbfgs")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_zeros_hold_through_every_optimizer(tiny: DataSet, name: str) -> None:
    all_rows = {"data__batch_size": len(tiny.train)} if name in _ALL_ROWS else {}
    sparse = {"compression": {"sparsity": {"name": "fixed", "share": 0.5}}}
    training = a_training(optimizer={"name": name}, **sparse, **all_rows)
    program, knobs = split(training, tiny, "cpu")
    task, data = task_of(program), host_data(tiny, is_whole=False)
    lane = task.initial(training)
    is_cut = lane.copies["connections"] == CUT
    assert is_cut.sum() == 32
    lane = jax.jit(task.train)(knobs, lane, data, task.feed(training, 0), 1 if all_rows else STEPS)
    assert not np.asarray(lane.params)[is_cut].any()
    assert _zeros(own_weights(program, training, lane)[0]) == 32


def test_two_of_four_weights_are_kept_from_an_epoch_on(tiny: DataSet) -> None:
    sparse = {"sparsity": {"name": "n_of_m", "begin": 0.5}}
    found = _trained(tiny, 4, compression=sparse)
    # Each of 8 units has five inputs, and each of 3 outputs eight.
    assert [_zeros(weights) for weights in found] == [0, 28, 28, 28]
    groups = np.asarray(found[-1]["head"]["kernel"]).reshape(2, 4, 3)
    assert ((groups != 0).sum(1) == 2).all()
    merged = _trained(tiny, 4, compression=sparse, train__merged={"widths": [[8], [12], [3, 3]]})
    assert [_zeros(weights) for weights in merged] == [0, 28, 28, 28]


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_units_are_cut_with_their_biases_and_norms_and_can_be_taken_out(
    tiny: DataSet, norm: str
) -> None:
    units = {"sparsity": {**MAGNITUDE["sparsity"], "share": 0.5, "unit": "unit"}}
    model = {"name": "mlp", "widths": [8, 6], "norm": norm, "activation": "gelu"}
    weights = _trained(tiny, 4, compression=units, model=model)[-1]
    kept = [
        np.flatnonzero((np.asarray(weights["linears"][layer]["kernel"]) != 0).any(0))
        for layer in (0, 1)
    ]
    assert list(map(len, kept)) == [4, 3]
    for layer, own in enumerate(kept):
        others = np.setdiff1d(np.arange((8, 6)[layer]), own)
        arrays = [*jax.tree.leaves(weights["linears"][layer])]
        arrays += jax.tree.leaves(weights["norms"][layer]) if norm != "none" else []
        assert all((np.asarray(array)[..., others] == 0).all() for array in arrays)
    assert (np.asarray(weights["head"]["kernel"])[kept[1]] != 0).all()
    if norm == "none":
        first, second, head = *(weights["linears"][layer] for layer in (0, 1)), weights["head"]
        x = tiny.validation.x
        whole = jax.nn.gelu(x @ first["kernel"] + first["bias"])
        whole = jax.nn.gelu(whole @ second["kernel"] + second["bias"]) @ head["kernel"]
        small = jax.nn.gelu(x @ first["kernel"][:, kept[0]] + first["bias"][kept[0]])
        kernel = second["kernel"][np.ix_(kept[0], kept[1])]
        small = jax.nn.gelu(small @ kernel + second["bias"][kept[1]]) @ head["kernel"][kept[1]]
        np.testing.assert_allclose(small, whole, atol=1e-5)


def test_units_of_layers_of_low_rank_are_cut_with_their_norms(tiny: DataSet) -> None:
    units = {"sparsity": {**MAGNITUDE["sparsity"], "share": 0.5, "unit": "unit"}}
    model = {"name": "mlp", "widths": [8], "norm": "batch", "rank": 2}
    weights = _trained(tiny, 4, compression=units, model=model)[-1]
    cut = ~(np.asarray(weights["linears"][0]["right"]["kernel"]) != 0).any(0)
    assert cut.sum() == 4
    for array in weights["norms"][0].values():
        np.testing.assert_array_equal(np.asarray(array) == 0, cut)


@pytest.mark.parametrize("merged", [None, [[8], [12], [3, 3]]], ids=["alone", "merged"])
def test_metrics_count_zeros_as_numpy_does(tiny: DataSet, merged: Any) -> None:
    train: dict[str, Any] = {"epochs": 4, "metrics": ["nonzero", "sparsity"]}
    train |= {} if merged is None else {"merged": {"widths": merged}}
    training = a_training(compression=MAGNITUDE, train=train)
    program, knobs = split(training, tiny, "cpu")
    lane = _lanes(tiny, 4, compression=MAGNITUDE, train=train)[-1]
    task, part = task_of(program), tiny.validation
    tally = task.evaluate(knobs, lane, jax.tree.map(jnp.asarray, host_rows(part)))
    found = task.metrics(tiny, part, jax.device_get(tally.sums), None)
    weights = own_weights(program, training, lane)[0]
    assert found["nonzero"] == sum(np.count_nonzero(leaf) for leaf in jax.tree.leaves(weights))
    assert found["sparsity"] == _zeros(weights) / 64 == 0.75


def test_the_metric_of_zeros_changes_no_weight_and_counts_those_of_l1(tiny: DataSet) -> None:
    l1 = {"updates": {"l1": 1.0}}
    plain, counted = (
        _trained(tiny, 2, train={"epochs": 2, "metrics": metrics}, **l1)[-1]
        for metrics in ([], ["sparsity"])
    )
    assert _zeros(plain) > 0
    jax.tree.map(np.testing.assert_array_equal, counted, plain)
