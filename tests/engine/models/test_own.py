"""Modules of a user's own, trained beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from hpo.engine.models import own
from hpo.engine.models.abstract import authored, shapes_of
from hpo.engine.models.dropout import Dropout, mask_key
from hpo.engine.program import split
from hpo.engine.training.batches import host_data
from hpo.engine.training.supervised import initial_lane
from hpo.engine.training.task import task_of
from hpo.errors import HpoError
from hpo.spec.experiment import Training
from hpo.spec.marks import with_leaves
from tests.engine.samples import Learn, a_training
from tests.own_code import NET, own_experiment, write_net

LINEN = """
    from flax import linen as nn

    class Net(nn.Module):
        outputs: int
        width: int = 8
        scale: float = 1.0

        @nn.compact
        def __call__(self, x, train: bool):
            x = nn.BatchNorm(use_running_average=not train)(nn.Dense(self.width)(x))
            x = nn.Dropout(0.5, deterministic=not train)(nn.relu(x))
            return nn.Dense(self.outputs)(x) * self.scale
    """
EQUINOX = """
    import equinox as eqx
    import jax

    class Net(eqx.Module):
        layers: list
        drop: eqx.nn.Dropout
        scale: float

        def __init__(self, inputs, outputs, width: int = 8, rate=0.1, scale=1.0, *, key):
            one, two = jax.random.split(key)
            self.layers = [eqx.nn.Linear(inputs, width, key=one)]
            self.layers += [eqx.nn.Linear(width, outputs, key=two)]
            self.drop, self.scale = eqx.nn.Dropout(rate), scale

        def __call__(self, x, key):
            return self.layers[1](self.drop(jax.nn.relu(self.layers[0](x)), key=key)) * self.scale
    """
# Ours, as an author would copy it.
MLP = """
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, inputs, outputs, widths=(8, 4), dropout=0.2, *, rngs):
            sizes = (inputs, *widths)
            pairs = list(zip(sizes[:-1], sizes[1:]))
            self.linears = nnx.List([nnx.Linear(n, m, rngs=rngs) for n, m in pairs])
            self.drop = nnx.Dropout(dropout, rngs=rngs)
            self.head = nnx.Linear(sizes[-1], outputs, rngs=rngs)

        def __call__(self, x):
            for linear in self.linears:
                x = self.drop(nnx.relu(linear(x)))
            return self.head(x)
    """


def trainings(folder: Path, source: str, *models: dict[str, Any]) -> list[Training]:
    """A training for each of these model sections, whose numbers all vary."""
    write_net(folder, source)
    train = {"epochs": 2}
    first = own_experiment(folder, models[0], train=train).training
    return [
        with_leaves(
            first,
            {"train.stream": stream} | {f"model.{name}": value for name, value in model.items()},
        )
        for stream, model in enumerate(models)
    ]


@pytest.mark.parametrize("form", ["map", "vmap"])
def test_a_trial_learns_the_same_alone_as_beside_others_one_of_which_diverges(
    tmp_path, tiny, learn: Learn, form
):
    models = [{"rate": r, "scale": s} for r, s in ((0.1, 1.0), (0.6, 0.5), (0.3, 1e38), (0.2, 2.0))]
    several = trainings(tmp_path, NET, *models)

    together = learn(tiny, several, lanes=4, form=form)
    alone = learn(tiny, [several[1]], lanes=4, form=form)

    assert together[1] == alone[1]
    assert not np.isfinite(together[2][0]["loss"])
    assert all(np.isfinite(together[n][-1]["loss"]) for n in (0, 1, 3))


def test_an_array_of_the_file_is_a_constant_of_every_program(tmp_path, tiny, learn: Learn):
    source = NET.replace("class Net", "HALF = jnp.full(8, 0.5)\n\n    class Net")
    source = source.replace(
        "from flax import nnx", "import jax.numpy as jnp\n    from flax import nnx"
    )
    source = source.replace("drop(x)", "drop(x) * HALF")
    several = trainings(tmp_path, source, {"rate": 0.1}, {"rate": 0.2})

    found = learn(tiny, several, lanes=2, form="map")

    assert all(np.isfinite(found[n][-1]["loss"]) for n in (0, 1))


def test_a_module_that_counts_its_calls_in_a_global_trains_to_the_bits_of_one_that_does_not(
    tmp_path, tiny, learn: Learn
):
    counting = NET.replace("class Net", "CALLS = []\n\n    class Net").replace(
        "def __call__(self, x):", "def __call__(self, x):\n            CALLS.append(len(CALLS))"
    )
    models = [{"rate": 0.1}, {"rate": 0.3}, {"rate": 0.6}]
    for name in ("counting", "plain"):
        (tmp_path / name).mkdir()
    counts = trainings(tmp_path / "counting", counting, *models)
    [_, plain, _] = trainings(tmp_path / "plain", NET, *models)

    beside = [learn(tiny, some, lanes=len(some))[1] for some in (counts, [counts[1], counts[2]])]

    assert beside == [learn(tiny, [plain])[1]] * 2


def test_numbers_share_one_program_and_reach_the_module(tmp_path, tiny, learn: Learn):
    models = [{"rate": 0.1, "gain": 1.0}, {"rate": 0.5, "gain": 1.0}, {"rate": 0.1, "gain": 2.0}]
    several = trainings(tmp_path, NET, *models)
    programs = {split(training, tiny, "cpu")[0] for training in several}

    # All start from the same random stream.
    curves = [learn(tiny, [with_leaves(training, {"train.stream": 0})])[0] for training in several]

    assert len(programs) == 1
    assert curves[0] != curves[1]  # the rate of dropout counts in every step
    assert curves[0] != curves[2]  # the gain of the initialiser in the first weights


def test_a_label_depends_on_the_spec_and_neither_on_the_folder_nor_on_the_code(tmp_path, tiny):
    labels = []
    for name, source in (("here", NET), ("there", NET), ("edited", f"{NET}\n    # edited\n")):
        (tmp_path / name).mkdir()
        [training] = trainings(tmp_path / name, source, {})
        labels.append(split(training, tiny, "cpu")[0].label)

    assert labels == ["ba6f2ad9b671"] * 3


def test_a_copy_of_our_mlp_trains_to_its_bits_from_the_same_weights(tmp_path, tiny):
    """Six steps of each, from the weights of ours."""
    [copy] = trainings(tmp_path, MLP, {})
    ours = a_training(
        model={"name": "mlp", "widths": [8, 4], "dropout": 0.2},
        optimizer={"name": "adam", "learning_rate": 0.01},
        train={"epochs": 2},
    )
    programs = [split(training, tiny, "cpu") for training in (ours, copy)]
    lane = initial_lane(programs[0][0], ours)
    data = host_data(tiny, is_whole=False)

    after = []
    for (program, knobs), training in zip(programs, (ours, copy), strict=True):
        task = task_of(program)
        train = jax.jit(task.train)
        after.append(train(knobs, lane, data, task.feed(training, 0), np.int32(6)))

    assert (np.asarray(after[0].params) == np.asarray(after[1].params)).all()
    assert after[0].loss_sum == after[1].loss_sum
    assert (np.asarray(after[0].params) != lane.params).any()


def test_first_weights_are_those_of_the_authors_initialisers(tmp_path, tiny):
    one, two = trainings(tmp_path, NET, {"gain": 1.0}, {"gain": 4.0})
    program, _ = split(one, tiny, "cpu")

    (small, variables), (large, _), (again, _) = (
        authored(training.model, program, 5) for training in (one, two, one)
    )

    np.testing.assert_allclose(large["hidden"]["kernel"], 2 * small["hidden"]["kernel"], rtol=1e-6)
    assert (again["head"]["kernel"] == small["head"]["kernel"]).all()
    assert (variables["norm"]["var"] == 1).all()


@pytest.mark.parametrize(
    ("package", "source"), [("flax", NET), ("flax", LINEN), ("equinox", EQUINOX)]
)
def test_modules_of_every_library_train_and_are_evaluated_without_noise(
    tmp_path, tiny, package, source, learn: Learn
):
    pytest.importorskip(package)
    [training] = trainings(tmp_path, source, {"scale": 0.5})
    program, knobs = split(training, tiny, "cpu")
    model = program.fill(knobs).model
    state = jax.device_put(own.State(*authored(training.model, program, 1)))
    x = tiny.validation.x
    noise = Dropout(0, mask_key(np.array([0, 1], np.uint32), np.int32(4)))

    trained, _ = own.call(model, shapes_of(program), state, x, noise)
    evaluated = [own.call(model, shapes_of(program), state, x, None)[0] for _ in range(2)]

    assert (evaluated[0] == evaluated[1]).all()
    assert (trained != evaluated[0]).any()
    losses = [epoch["train_loss"] for epoch in learn(tiny, [training])[0]]
    assert losses[1] < losses[0]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def Net():\n    return 3\n", "makes an object of type int, which is no module"),
        (
            "from flax import nnx\nclass Net(nnx.Module):\n    def __call__(self, x): return x\n",
            "has no weights to train",
        ),
        (
            NET.replace("def __call__(self, x)", "def __call__(self, x, lengths)"),
            "the call of the module takes lengths, which hpo does not give",
        ),
    ],
)
def test_what_is_no_module_to_train_is_told_in_a_sentence(tmp_path, tiny, source, says):
    [training] = trainings(tmp_path, source, {})
    program, _ = split(training, tiny, "cpu")

    with pytest.raises(HpoError, match=says):
        task_of(program).shapes()


# Keeps its streams, draws a plain array from one, and noise in each step from another.
ODD = """
    import jax
    import jax.numpy as jnp
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, inputs, outputs, *, rngs):
            self.features = jax.random.normal(rngs.features(), (inputs, 8))
            self.head = nnx.Linear(8, outputs, rngs=rngs)
            self.rngs = rngs

        def __call__(self, x, *, deterministic):
            x = jnp.tanh(x @ self.features)
            if not deterministic:
                x = x + jax.random.normal(self.rngs.noise(), x.shape)
            return self.head(x)
    """


def test_arrays_of_a_constructor_stay_and_noise_is_new_in_each_step(tmp_path, tiny):
    [training] = trainings(tmp_path, ODD, {})
    program, knobs = split(training, tiny, "cpu")
    state = jax.device_put(own.State(*authored(training.model, program, 1)))
    model, shapes, x = program.fill(knobs).model, shapes_of(program), tiny.validation.x

    def outputs(step: int | None) -> Any:
        key = np.array([0, 1], np.uint32)
        dropout = None if step is None else Dropout(0, mask_key(key, np.int32(step)))
        return np.asarray(own.call(model, shapes, state, x, dropout)[0])

    assert (outputs(None) == outputs(None)).all()
    assert (outputs(3) == outputs(3)).all()
    assert (outputs(3) != outputs(4)).any()
