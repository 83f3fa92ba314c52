"""What fields are for, read from their docstrings."""

from hpo.spec.experiment import SpecFile
from hpo.spec.marks import Spec
from hpo.spec.reference.descriptions import description_of, summary_of
from hpo.spec.sections.models.tables import Mlp
from hpo.spec.sections.search import SearchSpec


class Mine(Spec):
    """A spec of
    somebody's own."""

    size: int = 1
    """How large
    it is."""
    silent: int = 2


def test_a_field_is_described_by_the_text_below_it():
    assert description_of(Mine, "size") == "How large it is."
    assert description_of(Mine, "silent") == ""
    assert description_of(Mlp, "widths") == "Units of each hidden layer."


def test_a_field_of_a_parent_class_and_one_without_a_statement_are_described_too():
    assert description_of(SpecFile, "model") == "The model to train."
    assert description_of(SearchSpec, "from").startswith("Earlier studies to learn from")


def test_a_class_is_summed_up_in_one_paragraph():
    assert summary_of(Mine) == "A spec of somebody's own."


def test_a_class_without_a_source_has_no_descriptions():
    made = {}
    exec("from hpo.spec.marks import Spec\nclass Typed(Spec):\n    size: int = 1\n", made)
    made["Typed"].__module__ = "builtins"
    assert description_of(made["Typed"], "size") == ""
