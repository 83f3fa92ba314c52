"""Fields that hold one of the specs of a registry."""

from typing import Annotated, Any, Literal, get_args

import pytest

from hpo.errors import HpoError
from hpo.registry import OPTIMIZERS, READERS, Entry
from hpo.spec.experiment import Training
from hpo.spec.marks import Spec
from hpo.spec.registered import Registered, annotation_of, needs_of, registered
from hpo.spec.sections.data import DataSpec
from hpo.spec.sections.models.images import Cnn
from hpo.spec.sections.models.tables import Mlp
from hpo.spec.sections.optimizer import Adagrad, Sgd
from hpo.spec.sections.train import TrainSpec


class Holder(Spec):
    part: Annotated[Any, Registered("optimizer")]


def test_a_field_takes_every_spec_of_its_registry_by_name():
    for name, spec in registered(Training, "optimizer").specs().items():
        assert type(Holder.model_validate({"part": {"name": name}}).part) is spec
    assert registered(Training, "optimizer").specs().keys() == OPTIMIZERS.keys()


def test_a_reader_has_no_name_and_a_data_set_may_stand_in_its_place():
    held = registered(DataSpec, "dataset")
    assert held.tag is None
    assert held.specs().keys() == READERS.keys()
    members = get_args(annotation_of(DataSpec, "dataset"))
    assert set(held.specs().values()) <= set(members)
    assert len(members) == len(held.specs()) + 1


def test_a_plain_field_keeps_its_own_type():
    assert registered(TrainSpec, "epochs") is None
    assert annotation_of(TrainSpec, "form") == TrainSpec.model_fields["form"].annotation


def test_needs_are_those_of_the_entry_and_of_the_values_of_its_fields():
    assert needs_of("optimizer", Sgd(name="sgd")) == set()
    assert needs_of("optimizer", Adagrad(name="adagrad")) == {"start"}
    assert needs_of("model", Mlp(name="mlp", norm="layer")) == set()
    assert needs_of("model", Mlp(name="mlp", norm="batch")) == {
        "whole batch",
        "same depth",
        "statistics",
    }
    assert needs_of("model", Cnn(name="cnn")) == {"images"}


class NoSchedule(Spec):
    name: Literal["mine"]
    learning_rate: float = 0.1


class Unnamed(Spec):
    learning_rate: float = 0.1


NotASpec = int


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("NoSchedule", "has no field schedule, which training reads: add it."),
        ("Unnamed", 'has no name "mine": write name: Literal["mine"].'),
        ("NotASpec", "is not a spec class: derive it from hpo.spec.marks.Spec."),
    ],
)
def test_a_spec_that_training_could_not_read_is_refused(monkeypatch, spec, message):
    monkeypatch.setitem(OPTIMIZERS, "mine", Entry(f"{__name__}:{spec}"))
    monkeypatch.setattr(
        "hpo.registry.spec_classes", lambda kind: {"sgd": Sgd, "mine": globals()[spec]}
    )
    with pytest.raises(HpoError) as error:
        Registered("optimizer").specs()
    assert str(error.value).endswith(message)
