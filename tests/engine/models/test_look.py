"""What a look at an own model tells before it trains."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest

from hpo.engine.models.abstract import shapes_of
from hpo.engine.models.look import failing, is_remade, look_at, static_numbers
from hpo.engine.program import split
from hpo.errors import HpoError
from hpo.spec.code.frames import CodeError
from tests.own_code import NET, own_experiment, write_net


@pytest.fixture
def looked(tmp_path, tiny):
    def of(source: str, **model: Any) -> tuple[Any, Any]:
        write_net(tmp_path, source)
        training = own_experiment(tmp_path, model).training
        return training.model, shapes_of(split(training, tiny, "cpu")[0])

    return of


def test_numbers_that_the_module_takes_traced_are_knobs(looked):
    assert static_numbers(*looked(NET)) == {}


def test_a_number_that_is_compared_in_python_is_static_at_the_authors_line(looked):
    source = NET.replace("x = drop(x)", "x = drop(x) if self.scale > 0.5 else x")

    assert static_numbers(*looked(source)) == {
        "scale": "nets.py:18, in __call__ (`x = drop(x) if self.scale > 0.5 else x`)"
    }


def test_dropout_within_attention_is_static(looked):
    source = """
        import jax.numpy as jnp
        from flax import nnx

        class Net(nnx.Module):
            def __init__(self, inputs, outputs, rate=0.1, scale=1.0, *, rngs):
                self.attention = nnx.MultiHeadAttention(
                    2, inputs + 1, 4, dropout_rate=rate, decode=False, rngs=rngs)
                self.head = nnx.Linear(inputs + 1, outputs, rngs=rngs)
                self.scale = scale

            def __call__(self, x):
                x = nnx.relu(jnp.pad(x, ((0, 0), (0, 1))))[:, None]
                return self.head(self.attention(x)[:, 0]) * self.scale
        """
    found = static_numbers(*looked(source))

    assert [*found] == ["rate"]


def test_a_knob_that_cannot_be_one_is_refused(looked):
    source = NET.replace("x = drop(x)", "x = drop(x) if self.scale > 0.5 else x")

    with pytest.raises(HpoError, match=r"model\.knobs: scale cannot be traced: nets\.py:18"):
        static_numbers(*looked(source, knobs=["scale"]))


def test_outputs_of_another_shape_are_refused_with_both_shapes(looked):
    source = NET.replace("nnx.Linear(width, outputs", "nnx.Linear(width, outputs + 1")

    with pytest.raises(
        HpoError, match=r"have the shape \[rows, 4\], and the data need \[rows, 3\]"
    ):
        look_at(*looked(source))


def test_a_module_that_keeps_the_shape_of_an_image_is_told_to_flatten_it(looked):
    model, shapes = looked(NET.replace("return self.head(x)", "return self.head(x)[:, None]"))

    with pytest.raises(HpoError, match=r"shape \[rows, 1, 3\].* flatten x first: x\.reshape"):
        look_at(model, shapes)


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ("", "", False),
        ("x = drop(x)", "x = drop(x) + np.random.normal()", True),
        ("x = drop(x)", "x = drop(x) + np.random.normal(size=x.shape)", True),
        (
            "kernel_init=init",
            "kernel_init=lambda k, s, d: jnp.array(np.random.normal(size=s), d)",
            True,
        ),
        ("x = drop(x)", "CALLS.append(1); x = drop(x)", False),
        ("x = drop(x)", "CALLS.append(1); x = drop(x) * len(CALLS)", True),
    ],
)
def test_a_module_that_draws_without_a_stream_or_changes_what_it_reads_is_found(
    looked, old, new, differs
):
    head = "import numpy as np\nimport jax.numpy as jnp\nCALLS = []\n"

    assert is_remade(*looked(head + dedent(NET).replace(old, new))) is differs


def test_an_error_of_the_module_is_told_by_its_line(looked):
    source = NET.replace("self.scale = scale", "self.scale = {}[width]")

    with pytest.raises(CodeError, match=r"(?s)raised KeyError: 8 \(width = 8.*nets\.py:13, in"):
        look_at(*looked(source, width=8))


RNN = """
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, outputs, units: int = 4, rate=0.1, *, rngs):
            self.rnn = nnx.RNN(nnx.LSTMCell(1, units, rngs=rngs))
            self.drop = nnx.Dropout(rate, rngs=rngs)
            self.head = nnx.Linear(units, outputs, rngs=rngs)

        def __call__(self, x):
            return self.head(self.drop(self.rnn(x[..., None])[:, -1]))
    """
BRIDGE = """
    import jax.numpy as jnp
    from flax import linen, nnx

    class Inner(linen.Module):
        outputs: int
        gain: float

        @linen.compact
        def __call__(self, x):
            return linen.Dense(self.outputs)(x) * self.gain

    def Net(inputs, outputs, gain=1.0, *, rngs):
        module = nnx.bridge.ToNNX(Inner(outputs, gain), rngs=rngs)
        return nnx.bridge.lazy_init(module, jnp.zeros((1, inputs)))
    """


@pytest.mark.parametrize("source", [RNN, BRIDGE], ids=["rnn", "bridge"])
def test_cells_and_bridged_modules_take_traced_numbers(looked, source):
    spec, shapes = looked(source)

    assert static_numbers(spec, shapes) == {}
    assert look_at(spec, shapes).params


def test_numbers_fail_alone_or_count_together_where_only_some_of_them_together_fail():
    def failure(traced):
        names = {*traced}
        return ValueError(sorted(names)) if "a" in names or {"b", "c"} <= names else None

    def reasons(*names, others=()):
        return {name: e.args[0] for name, e in failing(names, failure, others).items()}

    assert reasons("a", "b") == {"a": ["a"]}
    assert reasons("b", "c", "d") == {name: ["b", "c", "d"] for name in "bcd"}
    assert reasons("b", others=["c"]) == {"b": ["b", "c"]}
    assert reasons("b", "d") == {}
