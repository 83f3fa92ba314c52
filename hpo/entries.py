"""What an entry of a registry or of the table of techniques says, and what it may need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "model",
    "loss",
    "optimizer",
    "schedule",
    "sampler",
    "scheduler",
    "reader",
    "dataset",
    "metric",
]

Need = Literal[
    "whole batch", "same depth", "images", "numbers", "layers", "start", "gradient", "rate",
    "own rate", "own sizes", "own order", "mixed rows", "second gradient", "uneven steps",
    "own average", "all rows", "statistics", "table", "texts", "classes", "labels", "colours",
    "joined pixels", "other products", "series", "synonyms", "homophones", "changed rows",
    "spent rows",
]  # fmt: skip

# What an entry of a kind may need. Merging, models and optimizers, and each refusal read the needs
# of an entry, and those of the values of its fields (`hpo.spec.marks.NeedsWhere`). Those of a
# technique are in `hpo/techniques.py`.
NEEDS: dict[Kind | Literal["technique"], dict[Need, str]] = {
    "model": {
        "whole batch": "reads the rows of a batch together",
        "same depth": "cannot have layers more than its own, so depths are not merged",
        "images": "takes examples of height, width and channels",
        "numbers": "treats columns of numbers otherwise than other features of a table",
        "statistics": "keeps statistics of its batches",
        "other products": "multiplies by weights of other layers, too",
    },
    "optimizer": {
        "layers": "gets the arrays of each layer",
        "start": "makes its state from the first weights, instead of zeros",
        "gradient": "gets the gradient as a function of the weights, for one batch",
        "rate": "gets the learning rate and returns the step itself, instead of its direction",
        "own rate": "finds its own learning rate",
        "own sizes": "is wrong for narrower models in larger arrays",
        "own average": "is judged by an average of its own",
        "all rows": "takes all training rows in one step",
        "whole batch": "reads the rows of a batch together",
    },
    "technique": {
        "whole batch": "reads the rows of a batch together",
        "same depth": "cannot have layers more than its own, so depths are not merged",
        "statistics": "keeps statistics of its batches",
        "own sizes": "is wrong for narrower models in larger arrays",
        "own order": "draws the rows of a trial in an order of its own",
        "mixed rows": "mixes the rows of a batch",
        "changed rows": "changes rows at random",
        "spent rows": "bounds what weights tell of a row",
        "second gradient": "takes a second gradient of a batch",
        "uneven steps": "skips steps by what rows say",
        "images": "changes images",
        "colours": "changes the three colours of a pixel",
        "joined pixels": "makes each feature of several pixels",
        "series": "changes the time of series",
        "table": "changes rows of a table",
        "texts": "changes texts as ids of tokens",
        "synonyms": "replaces words by those of a file",
        "homophones": "replaces words by those of a file",
        "numbers": "changes numbers",
        "classes": "needs one class for each row",
        "labels": "needs classes or labels",
    },
}


@dataclass(frozen=True)
class Entry:
    """One thing that a spec can name; a field stays empty where its kind does not use it."""

    spec: str = ""  # the class of what YAML may say about it
    function: str = ""
    size: str = ""  # of a model: its size for estimates, if it has more than dense layers
    files: str = ""  # of a reader or data set: the files in its folder; empty for a single file
    takes_file: bool = False  # of a reader with `files`: its path may be that of a single one
    nests: bool = False  # of a reader with `files`: they lie in folders whose names count
    head: str = ""  # of a reader: what `hpo check` sees of its files without reading them whole
    look: str = ""  # of a reader: what `hpo init` sees of a path, or None if it is for another
    takes_tokens: bool = False  # of a model: it embeds ids of tokens, [N, length] whole numbers
    takes_categories: bool = False  # of a model: it learns vectors of the categories of a table
    answers_each: bool = False  # of a model: it can give an answer for each position of an example
    needs: tuple[Need, ...] = ()  # of a model or an optimizer; see `NEEDS`
    paper: str = ""  # of an optimizer or a schedule: the address of its source
    is_table: bool = False  # of a reader or data set: examples are rows of numbers, never images
    package: str = ""  # of a sampler or reader: another package that it needs
    extra: str = ""  # of a sampler: the extra of hpo that installs it
    is_own: bool = False  # `add` brought it: a package of a user's own
    tasks: tuple[str, ...] = ()  # that a metric or a loss is for; of a data set: its own
    direction: str = ""  # of a metric: the better one, "maximize" or "minimize"
    reads: str = ""  # of a metric without a function: the leaf, or one of several, that it needs
    # Of a sampler:
    learns: bool | None = True  # it uses results; None if that depends on the study
    several_objectives: bool = False
    takes_given: bool = False  # it accepts given hparams, as cohorts need
    fits_one_budget: bool = False  # it can be fitted to the results of one budget, as bohb needs
    finite_only: bool = False  # it cannot search continuous or moving ranges
    draws_first: bool = False  # it draws at random until `startup_trials` have a result
    # Of a scheduler:
    epochs_vary: bool = False  # the number of epochs of a study depends on results
    fits_sampler: bool = False  # it fits the sampler to the results of one budget
    changes_hparams: bool = False  # it changes the hparams of running trials
    judges_values: bool = False  # its bounds are values of the metric, not losses

    @property
    def is_named(self) -> bool:
        """Whether a metric is reported only where a search or `train.metrics` names it."""
        return bool(self.function or self.reads)


Fact = Need | Literal[
    "folds", "changes", "populations", "shares", "sizes", "streaming", "streamed statistics",
    "kept statistics", "growing batches", "scheduled noise", "scheduled bits", "clipping optimizer",
    "growing sparsity",
]  # fmt: skip


@dataclass(frozen=True)
class Technique:
    """A technique: the path of its leaf, its paper, its needs, and what it does not go with.

    With a `value` it is one of the values of the leaf. `numbers` are its other leaves. `excludes`
    has a reason for each need or circumstance that it does not go with: a clause about it.
    """

    place: str
    value: str = ""
    paper: str = ""
    numbers: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    excludes: dict[Fact, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Circumstance:
    """What a technique may exclude beside needs: where it stands, what it does, and a cure.

    `title` names it in a sentence, where its place does not.
    """

    place: str
    does: str
    cure: str = ""
    title: str = ""


_BY_EPOCHS = "write budget: epochs"
CIRCUMSTANCES: dict[Fact, Circumstance] = {
    "folds": Circumstance("data.folds", "has several training splits"),
    "changes": Circumstance("train.changes", "changes numbers in training"),
    "populations": Circumstance(
        "search.scheduler.name",
        "copies weights between trials and changes their numbers",
        "use another scheduler",
        "this scheduler",
    ),
    "shares": Circumstance(
        "search.scheduler.budget", "compares trials on shares of the rows", _BY_EPOCHS
    ),
    "sizes": Circumstance(
        "search.scheduler.budget", "compares trials on images of several sizes", _BY_EPOCHS
    ),
    "streaming": Circumstance(
        "data.device_budget",
        "streams rows in one order for all trials",
        "raise data.device_budget",
    ),
    "streamed statistics": Circumstance(
        "data.device_budget", "streams rows in chunks", "raise data.device_budget"
    ),
    "kept statistics": Circumstance(
        "model", "keeps numbers of its batches", "use another model", "this model"
    ),
    "scheduled noise": Circumstance("train.schedules", "changes privacy.noise"),
    "scheduled bits": Circumstance("train.schedules", "changes bits, or a share of units"),
    "growing batches": Circumstance("train.schedules", "changes updates.accumulate"),
    "clipping optimizer": Circumstance("optimizer.clip_norm", "does so too"),
    "growing sparsity": Circumstance("compression.sparsity.name", "cuts weights step by step"),
}
