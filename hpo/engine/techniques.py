"""What techniques the data, the model and streaming exclude, by the table of techniques."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from hpo.engine.models.abstract import abstract_model
from hpo.engine.program import Program
from hpo.entries import Need
from hpo.errors import DeviceError, HpoError
from hpo.spec.marks import with_leaves
from hpo.spec.techniques.clashes import clashes_around, unfit
from hpo.techniques import Fact


def check_techniques(program: Program, *, is_streamed: bool = False) -> None:
    """Refuse techniques for other data, and those that the model or streaming exclude.

    Raises:
        HpoError: for the first of them; a `DeviceError` where data are streamed.
    """
    has_statistics = bool(jax.tree.leaves(abstract_model(program).variables))
    holds: dict[Fact, bool] = {
        "kept statistics": has_statistics,
        "streaming": is_streamed,
        "streamed statistics": is_streamed and has_statistics,
    }
    around = [fact for fact, is_so in holds.items() if is_so]
    training = program.template
    if program.own_steps:  # a template has no numbers of the host
        training = with_leaves(training, {"sampling.share": 0.5})
    if program.reads_extra:
        training = with_leaves(training, {"sampling.extra_share": 0.5})
    error = DeviceError if is_streamed else HpoError
    wrong = *unfit(training, lacking(program)), *clashes_around(training, around)
    for path, text in wrong:
        raise error(f"{'.'.join(path)}: {text}.")


def lacking(program: Program) -> dict[Need, str]:
    """The needs that the examples of a program do not meet, each with a clause that says why."""
    axes = len(program.example_shape)
    has_numbers = bool(jnp.issubdtype(program.example_type, jnp.floating))
    is_text = not has_numbers and axes == 1 and program.task != "language"
    kind = "numbers" if has_numbers else "tokens"
    examples = f"these examples are {list(program.example_shape)} {kind}"
    task = f"the task is {program.task}"
    met: dict[Need, tuple[bool, str]] = {
        "images": (has_numbers and axes == 3, examples),
        "colours": (has_numbers and axes == 3 and program.example_shape[-1] == 3, examples),
        "series": (has_numbers and axes == 2, examples),
        "table": (has_numbers and axes == 1, examples),
        "texts": (is_text, examples),
        "synonyms": (
            program.template.data.text.synonyms is not None,
            "data.text.synonyms names none",
        ),
        "homophones": (
            program.template.data.text.homophones is not None,
            "data.text.homophones names none",
        ),
        "numbers": (has_numbers, examples),
        "classes": (program.task == "classification", task),
        "labels": (program.task in ("classification", "multilabel"), task),
    }
    return {need: why for need, (is_met, why) in met.items() if not is_met}
