"""Labels of programs: the changes that affect them, and those that must not."""

from __future__ import annotations

from typing import Any

import pytest

from hpo.engine.labels import earlier_labels
from hpo.engine.program import Program, split
from hpo.spec.experiment import Training
from hpo.spec.marks import Count, Host, Knob, Positive, Share, Spec, Static, with_leaves
from hpo.spec.sections.models import tables as models
from tests.engine.samples import a_training, tiny_data

MERGED = {
    "batch_size": [8, 16],
    "widths": [[8], [16, 16]],
    "activation": ["relu", "tanh"],
    "optimizer": [{"name": "sgd"}, {"name": "adamw"}],
    "schedule": [{"name": "constant"}, {"name": "cosine", "warmup": 0.1}],
    "bounds": [8],
}


class Part(Spec):
    """A section that a later release adds."""

    rate: Knob[Positive] = 0.5
    kind: Static[str] = "plain"


class Mlp(models.Mlp):
    """The perceptron of a later release: the default of each new field has no effect."""

    later_number: Knob[Positive] = 0.01
    later_zero: Knob[Share] = 0.0
    later_size: Static[Count] = 1
    later_host: Host[Positive] = 1.0
    part: Part = Part()
    parts: tuple[Part, ...] = ()
    named: dict[str, Part] | None = None


def of(training: Training, **kwargs: Any) -> Program:
    return split(training, tiny_data(), "cpu", **kwargs)[0]


def later(training: Training, **leaves: Any) -> Training:
    """The same training as a later release reads it."""
    known = {name: getattr(training.model, name) for name in models.Mlp.model_fields}
    return with_leaves(training, {"model": Mlp(**known, **leaves)})


def trainings() -> dict[str, Training]:
    schedule = {"name": "cosine", "warmup": 0.1}
    return {
        "plain": a_training(),
        "clipped": a_training(optimizer__clip_norm=1.0, model__dropout=0.2),
        "layer_norm": a_training(
            optimizer={"name": "sgd", "schedule": schedule}, model={"name": "mlp", "norm": "layer"}
        ),
        "merged": a_training(
            model={"name": "mlp", "widths": [8]},
            data__batch_size=8,
            optimizer={"name": "sgd", "schedule": schedule},
            train={"epochs": 3, "merged": MERGED},
        ),
        "merged_optimizers": a_training(
            model={"name": "mlp", "widths": [16, 16]},
            data__batch_size=16,
            optimizer={"name": "adamw"},
            train={
                "epochs": 3,
                "merged": {name: MERGED[name] for name in ("optimizer", "batch_size")},
            },
        ),
    }


# The labels of release 0.1.0 for these trainings.
LABELS_IN_0_1_0 = {
    "plain": "772df38c3ab2",
    "clipped": "7b7074796652",
    "layer_norm": "e82701bb205b",
    "merged": "085c46fbd64c",
    "merged_optimizers": "54ce91097d1c",
}


@pytest.mark.parametrize("name", LABELS_IN_0_1_0)
def test_the_label_of_an_earlier_release_is_known(name: str) -> None:
    assert earlier_labels(of(trainings()[name])) == (LABELS_IN_0_1_0[name],)


@pytest.mark.parametrize("name", LABELS_IN_0_1_0)
def test_fields_that_a_release_adds_change_no_label(name: str) -> None:
    before = of(trainings()[name])
    after = of(later(trainings()[name]))
    assert {"model.later_number", "model.part.rate"} <= set(after.knobs) - set(before.knobs)
    assert after.label == before.label
    assert earlier_labels(after) == (LABELS_IN_0_1_0[name],)


@pytest.mark.parametrize(
    "leaves",
    [
        {"later_size": 2},
        {"part": Part(kind="other")},
        {"parts": (Part(),)},
        {"parts": (Part(), Part())},
        {"parts": (Part(kind="other"),)},
        {"named": {"one": Part()}},
        {"named": {"other": Part()}},
    ],
)
def test_an_added_field_that_is_used_gives_a_label_of_its_own(leaves: dict[str, Any]) -> None:
    used = of(later(a_training(), **leaves))
    assert used.label != of(a_training()).label
    assert earlier_labels(used) != (LABELS_IN_0_1_0["plain"],)


def test_every_use_of_an_added_list_or_mapping_has_a_label_of_its_own() -> None:
    uses: list[dict[str, Any]] = [{"parts": (Part(),) * n} for n in range(4)]
    uses += [{"parts": (Part(kind="other"),)}, {"parts": (Part(), Part(kind="other"))}]
    uses += [{"named": {name: Part()}} for name in ("one", "other")]
    assert len({of(later(a_training(), **leaves)).label for leaves in uses}) == len(uses)


def test_an_added_number_changes_no_label_unless_it_is_switched_on_or_off() -> None:
    label = of(a_training()).label
    assert of(later(a_training(), later_number=0.3)).label == label
    assert of(later(a_training(), later_zero=0.1)).label != label
    assert of(later(a_training()), varying={"model.later_zero"}).label != label


def test_values_that_only_the_host_reads_change_no_label() -> None:
    assert of(later(a_training(), later_host=2.0)).label == of(a_training()).label
