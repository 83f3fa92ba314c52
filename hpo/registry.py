"""The registries: everything that a spec can name, by kind and by its name in YAML.

An entry names its spec class and its function as `'module:Name'`. They are imported when the name
is used, so that a long list costs nothing. A package of your own adds entries with `add`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from hpo.entries import NEEDS as NEEDS
from hpo.entries import Entry as Entry
from hpo.entries import Kind as Kind
from hpo.entries import Need as Need
from hpo.errors import HpoError

# The part of this module that users' packages may use.
__all__ = ["add"]

_MODEL, _NETWORK = "hpo.spec.sections.models", "hpo.engine.models.networks"
MODELS = {
    "mlp": Entry(
        f"{_MODEL}.tables:Mlp",
        f"{_NETWORK}.mlp:Mlp",
        size=f"{_NETWORK}.mlp:mlp_size",
        takes_categories=True,
    ),
    "cnn": Entry(
        f"{_MODEL}.images:Cnn",
        f"{_NETWORK}.cnn:Cnn",
        size=f"{_NETWORK}.cnn:cnn_size",
        needs=("images",),
    ),
    "fourier": Entry(
        f"{_MODEL}.tables:Fourier",
        f"{_NETWORK}.fourier:Fourier",
        needs=("whole batch",),
        takes_categories=True,
    ),
    "realmlp": Entry(
        f"{_MODEL}.tables:RealMlp",
        f"{_NETWORK}.realmlp:RealMlp",
        needs=("same depth", "numbers", "other products"),
        takes_categories=True,
    ),
    "tabm": Entry(
        f"{_MODEL}.tables:TabM",
        f"{_NETWORK}.tabm:TabM",
        size=f"{_NETWORK}.tabm:tabm_size",
        needs=("same depth", "numbers", "other products"),
        takes_categories=True,
    ),
    "rnn": Entry(
        f"{_MODEL}.sequences:Rnn",
        f"{_NETWORK}.rnn:Rnn",
        size=f"{_NETWORK}.rnn:rnn_size",
        needs=("other products",),
        takes_tokens=True,
        answers_each=True,
    ),
    "transformer": Entry(
        f"{_MODEL}.sequences:Transformer",
        f"{_NETWORK}.transformer:Transformer",
        size=f"{_NETWORK}.transformer:transformer_size",
        takes_tokens=True,
        answers_each=True,
    ),
    "unet": Entry(
        f"{_MODEL}.images:Unet",
        f"{_NETWORK}.unet:Unet",
        size=f"{_NETWORK}.unet:unet_size",
        needs=("images",),
        answers_each=True,
    ),
    "resnet": Entry(
        f"{_MODEL}.images:ResNet",
        f"{_NETWORK}.resnet:ResNet",
        size=f"{_NETWORK}.resnet:resnet_size",
        needs=("images",),
    ),
}

_OF_CLASSES = ("classification", "multilabel", "segmentation", "language")
_ALL_TASKS = ("classification", "regression", "counts", "multilabel", "segmentation", "language")

# The first loss of each task is the one that it has by default.
_LOSS, _ROWS = "hpo.spec.sections.loss", "hpo.engine.training.targets.losses"
LOSSES = {
    "cross_entropy": Entry(f"{_LOSS}:CrossEntropy", f"{_ROWS}:cross_entropy", tasks=_OF_CLASSES),
    "focal": Entry(f"{_LOSS}:Focal", f"{_ROWS}:focal", tasks=_OF_CLASSES),
    "mse": Entry(f"{_LOSS}:Mse", f"{_ROWS}:mse", tasks=("regression",)),
    "mae": Entry(f"{_LOSS}:Mae", f"{_ROWS}:mae", tasks=("regression",)),
    "huber": Entry(f"{_LOSS}:Huber", f"{_ROWS}:huber", tasks=("regression",)),
    "pinball": Entry(f"{_LOSS}:Pinball", f"{_ROWS}:pinball", tasks=("regression",)),
    "poisson": Entry(f"{_LOSS}:Poisson", f"{_ROWS}:poisson", tasks=("counts",)),
}

_ARXIV = "https://arxiv.org/abs"
_OPTIMIZER, _BASIC = "hpo.spec.sections.optimizer", "hpo.engine.training.optimizers"
_RULES = "hpo.engine.training.rules"
_SGD = "https://doi.org/10.1214/aoms/1177729586"
_RMSPROP = "https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf"
_ADAGRAD = "https://jmlr.org/papers/v12/duchi11a.html"
_NADAM = "https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ"
_YOGI = "https://papers.nips.cc/paper/2018/hash/90365351ccc7437a1309dc64e4db32a3-Abstract.html"
_MUON = "https://kellerjordan.github.io/posts/muon/"
_LBFGS = "https://doi.org/10.1007/978-0-387-40065-5"
_LSTSQ = "https://numpy.org/doc/stable/reference/generated/numpy.linalg.lstsq.html"
# The first one is what messages propose.
OPTIMIZERS = {
    "adamw": Entry(f"{_OPTIMIZER}:AdamW", f"{_BASIC}:adamw", paper=f"{_ARXIV}/1711.05101"),
    "sgd": Entry(f"{_OPTIMIZER}:Sgd", f"{_BASIC}:sgd", paper=_SGD),
    "adam": Entry(f"{_OPTIMIZER}:Adam", f"{_BASIC}:adam", paper=f"{_ARXIV}/1412.6980"),
    "rmsprop": Entry(f"{_OPTIMIZER}:RmsProp", f"{_BASIC}:rmsprop", paper=_RMSPROP),
    "adagrad": Entry(
        f"{_OPTIMIZER}:Adagrad", f"{_BASIC}:adagrad", needs=("start",), paper=_ADAGRAD
    ),
    "lamb": Entry(
        f"{_OPTIMIZER}:Lamb", f"{_BASIC}:lamb", needs=("layers",), paper=f"{_ARXIV}/1904.00962"
    ),
}
_FAMILIES: dict[str, tuple[tuple[str, str, tuple[Need, ...], str], ...]] = {
    "adaptive": (
        ("adadelta", "Adadelta", (), f"{_ARXIV}/1212.5701"),
        ("adamax", "Adamax", (), f"{_ARXIV}/1412.6980"),
        ("nadam", "Nadam", (), _NADAM),
        ("radam", "Radam", (), f"{_ARXIV}/1908.03265"),
        ("amsgrad", "Amsgrad", (), f"{_ARXIV}/1904.09237"),
        ("adabelief", "AdaBelief", (), f"{_ARXIV}/2010.07468"),
        ("yogi", "Yogi", (), _YOGI),
        ("lion", "Lion", (), f"{_ARXIV}/2302.06675"),
        ("adan", "Adan", (), f"{_ARXIV}/2208.06677"),
        ("ademamix", "AdEmaMix", (), f"{_ARXIV}/2409.03137"),
    ),
    "untuned": (
        ("prodigy", "Prodigy", ("start", "rate", "own rate"), f"{_ARXIV}/2306.06101"),
        ("dog", "Dog", ("start", "own rate"), f"{_ARXIV}/2302.12022"),
        ("mechanic", "Mechanic", ("start", "rate", "own rate"), f"{_ARXIV}/2306.00144"),
        ("momo", "Momo", ("gradient", "rate", "own rate"), f"{_ARXIV}/2305.07583"),
        ("schedule_free", "ScheduleFree", ("start", "rate", "own average"), f"{_ARXIV}/2405.15682"),
    ),
    "layered": (
        ("lars", "Lars", ("layers", "rate"), f"{_ARXIV}/1708.03888"),
        ("novograd", "NovoGrad", ("layers",), f"{_ARXIV}/1905.11286"),
        ("adafactor", "AdaFactor", ("layers", "own sizes"), f"{_ARXIV}/1804.04235"),
        ("muon", "Muon", ("layers", "start", "own sizes"), _MUON),
    ),
    "whole": (
        ("lbfgs", "LBfgs", ("gradient", "all rows", "whole batch", "start"), _LBFGS),
        ("exact", "Exact", ("gradient", "all rows", "whole batch"), _LSTSQ),
    ),
}
OPTIMIZERS |= {
    name: Entry(
        f"{_OPTIMIZER}s.{family}:{spec}", f"{_RULES}.{family}:{name}", needs=needs, paper=paper
    )
    for family, listed in _FAMILIES.items()
    for name, spec, needs, paper in listed
}

_FACTORS = "hpo.engine.training.schedules"
_SHAPES = {
    "constant": ("Constant", ""), "cosine": ("Cosine", f"{_ARXIV}/1608.03983"),
    "exponential": ("Exponential", "https://doi.org/10.1109/ICASSP.2013.6638963"),
    "step": ("Step", f"{_ARXIV}/1904.12838"), "coslog": ("CosLog", f"{_ARXIV}/2407.04491"),
    "linear": ("Linear", f"{_ARXIV}/1905.04753"),
    "polynomial": ("Polynomial", f"{_ARXIV}/1606.00915"),
    "cosine_restarts": ("CosineRestarts", f"{_ARXIV}/1608.03983"),
    "one_cycle": ("OneCycle", f"{_ARXIV}/1708.07120"),
    "piecewise": ("Piecewise", f"{_ARXIV}/1512.03385"),
}  # fmt: skip
SCHEDULES = {
    name: Entry(f"{_OPTIMIZER}:{spec}", f"{_FACTORS}:{name}", paper=paper)
    for name, (spec, paper) in _SHAPES.items()
}

# `auto` has no function: it picks among the others.
_SEARCH, _SAMPLERS = "hpo.spec.sections.search", "hpo.search.samplers"
_SURROGATE = Entry(
    f"{_SEARCH}:Surrogate",
    f"{_SAMPLERS}.skopt:make_surrogate",
    fits_one_budget=True,
    draws_first=True,
)
SAMPLERS = {
    "auto": Entry(
        f"{_SEARCH}:AutoSampler",
        learns=None,
        several_objectives=True,
        takes_given=True,
        fits_one_budget=True,
    ),
    "curve_gp": Entry(
        f"{_SEARCH}:CurveGp",
        f"{_SAMPLERS}.curve_gp:make_curve_gp",
        takes_given=True,
        draws_first=True,
    ),
    "random": Entry(
        f"{_SEARCH}:Random",
        f"{_SAMPLERS}.random:make_random",
        learns=False,
        several_objectives=True,
    ),
    "grid": Entry(
        f"{_SEARCH}:Grid",
        f"{_SAMPLERS}.grid:make_grid",
        learns=False,
        several_objectives=True,
        finite_only=True,
    ),
    "qmc": Entry(
        f"{_SEARCH}:Qmc", f"{_SAMPLERS}.qmc:make_qmc", learns=False, several_objectives=True
    ),
    "tpe": Entry(
        f"{_SEARCH}:Tpe",
        f"{_SAMPLERS}.tpe:make_tpe",
        several_objectives=True,
        takes_given=True,
        fits_one_budget=True,
        draws_first=True,
    ),
    "cmaes": Entry(f"{_SEARCH}:Cmaes", f"{_SAMPLERS}.cmaes:make_cmaes"),
    "nsga2": Entry(f"{_SEARCH}:Nsga", f"{_SAMPLERS}.nsga:make_nsga", several_objectives=True),
    "nsga3": Entry(f"{_SEARCH}:Nsga", f"{_SAMPLERS}.nsga:make_nsga", several_objectives=True),
    "optuna_gp": Entry(
        f"{_SEARCH}:OptunaGp",
        f"{_SAMPLERS}.optuna_gp:make_optuna_gp",
        several_objectives=True,
        draws_first=True,
        package="torch",
        extra="optuna_gp",
    ),
    "gp": _SURROGATE,
    "bayesian": _SURROGATE,
    "forest": _SURROGATE,
    "extra_trees": _SURROGATE,
    "boosted_trees": _SURROGATE,
}

_SCHEDULER, _SCHEDULERS = "hpo.spec.sections.scheduler", "hpo.search.schedulers"
SCHEDULERS = {
    "auto": Entry(f"{_SCHEDULER}:AutoScheduler"),
    "none": Entry(f"{_SCHEDULER}:NoScheduler", f"{_SCHEDULERS}.full:make_full"),
    "median": Entry(f"{_SCHEDULER}:Median", f"{_SCHEDULERS}.median:make_median", epochs_vary=True),
    "successive_halving": Entry(
        f"{_SCHEDULER}:SuccessiveHalving", f"{_SCHEDULERS}.halving:make_halving"
    ),
    "asha": Entry(f"{_SCHEDULER}:Asha", f"{_SCHEDULERS}.asha:make_asha", epochs_vary=True),
    "hyperband": Entry(f"{_SCHEDULER}:Hyperband", f"{_SCHEDULERS}.hyperband:make_hyperband"),
    "bohb": Entry(
        f"{_SCHEDULER}:Bohb", f"{_SCHEDULERS}.hyperband:make_hyperband", fits_sampler=True
    ),
    "patience": Entry(
        f"{_SCHEDULER}:Patience", f"{_SCHEDULERS}.patience:make_patience", epochs_vary=True
    ),
    "optuna": Entry(
        f"{_SCHEDULER}:OptunaPruner",
        f"{_SCHEDULERS}.optuna_pruners:make_optuna",
        epochs_vary=True,
        judges_values=True,
    ),
    "pbt": Entry(f"{_SCHEDULER}:Pbt", f"{_SCHEDULERS}.pbt:make_pbt", changes_hparams=True),
}

# Formats of a user's own data: the key below `data.dataset` that holds the path.
_DATA, _READERS = "hpo.spec.sections.data", "hpo.data.readers"
READERS = {
    "csv": Entry(
        f"{_DATA}:CsvFile",
        f"{_READERS}.tables.csv:read_csv",
        head=f"{_READERS}.tables.table_head:head",
        look="hpo.data.overview.formats.csv_file:look_at_csv",
        is_table=True,
    ),
    "parquet": Entry(
        f"{_DATA}:ParquetFile",
        f"{_READERS}.tables.typed.parquet:read_parquet",
        files=f"{_READERS}.tables.typed.parquet:files",
        takes_file=True,
        nests=True,
        head=f"{_READERS}.tables.typed.parquet:head",
        look="hpo.data.overview.formats.typed_files:look_at_parquet",
        is_table=True,
        package="pyarrow",
    ),
    "arrow": Entry(
        f"{_DATA}:ArrowData",
        f"{_READERS}.tables.typed.arrow_files:read_arrow",
        files=f"{_READERS}.tables.typed.arrow_files:files",
        takes_file=True,
        nests=True,
        head=f"{_READERS}.tables.typed.arrow_files:head",
        look="hpo.data.overview.formats.typed_files:look_at_arrow",
        is_table=True,
        package="pyarrow",
    ),
    "jsonl": Entry(
        f"{_DATA}:JsonLines",
        f"{_READERS}.tables.typed.jsonl:read_jsonl",
        head=f"{_READERS}.tables.typed.jsonl:head",
        look="hpo.data.overview.formats.typed_files:look_at_jsonl",
        is_table=True,
    ),
    "idx": Entry(
        f"{_DATA}:IdxFolder",
        f"{_READERS}.idx:read_idx",
        files=f"{_READERS}.idx:files",
        head=f"{_READERS}.idx:head",
        look="hpo.data.overview.formats.images:look_at_idx",
    ),
    "npz": Entry(
        f"{_DATA}:NpzFile",
        f"{_READERS}.npz:read_npz",
        head=f"{_READERS}.npz:head",
        look="hpo.data.overview.arrays:look_at_npz",
    ),
    "images": Entry(
        f"{_DATA}:ImageFolder",
        f"{_READERS}.images:read_images",
        files=f"{_READERS}.images:files",
        nests=True,
        head=f"{_READERS}.images:head",
        look="hpo.data.overview.formats.images:look_at_images",
        package="pillow",
    ),
    "text": Entry(f"{_DATA}:TextFile", f"{_READERS}.text:read_text", head=f"{_READERS}.text:head"),
    "python": Entry("hpo.spec.code.own_data:OwnData", f"{_READERS}.python:read_python"),
}

# Data sets with a name. Their task stands here so that `hpo check` need not load them. Those with
# `files` lie in folders below the data home, which `hpo data get` fills.
_BUNDLED, _IDX = f"{_READERS}.bundled", (f"{_READERS}.idx:read_folder", f"{_READERS}.idx:files")
DATASETS = {
    "breast_cancer": Entry(
        function=f"{_BUNDLED}:read_breast_cancer", tasks=("classification",), is_table=True
    ),
    "diabetes": Entry(function=f"{_BUNDLED}:read_diabetes", tasks=("regression",), is_table=True),
    "digits": Entry(function=f"{_BUNDLED}:read_digits", tasks=("classification",)),
    "fashion_mnist": Entry(function=_IDX[0], files=_IDX[1], tasks=("classification",)),
    "iris": Entry(function=f"{_BUNDLED}:read_iris", tasks=("classification",), is_table=True),
    "mnist": Entry(function=_IDX[0], files=_IDX[1], tasks=("classification",)),
    "wine": Entry(function=f"{_BUNDLED}:read_wine", tasks=("classification",), is_table=True),
}

# Every metric. Those with a function need the predictions for all rows, and are computed where a
# search or `train.metrics` names them; each task reports all the others.
_SCORES, _VALUES = "hpo.engine.training.metrics.classes", "hpo.engine.training.metrics.values"
_LABELS = ("classification", "multilabel")
METRICS = {
    "accuracy": Entry(tasks=_LABELS, direction="maximize"),
    "activation_sparsity": Entry(tasks=_ALL_TASKS, direction="maximize", reads="model"),
    "auroc": Entry(function=f"{_SCORES}:auroc", tasks=_LABELS, direction="maximize"),
    "average_precision": Entry(
        function=f"{_SCORES}:average_precision", tasks=_LABELS, direction="maximize"
    ),
    "bits_per_byte": Entry(tasks=("language",), direction="minimize"),
    "calibration_error": Entry(
        function=f"{_SCORES}:calibration_error", tasks=("classification",), direction="minimize"
    ),
    "corrupted_accuracy": Entry(
        tasks=_LABELS, direction="maximize", reads="data.corrupt.kinds or data.corrupt.from"
    ),
    "deviance": Entry(tasks=("counts",), direction="minimize"),
    "epsilon": Entry(tasks=_ALL_TASKS, direction="minimize", reads="privacy.noise"),
    "f1": Entry(function=f"{_SCORES}:f1", tasks=_LABELS, direction="maximize"),
    "gradient_norm": Entry(tasks=_ALL_TASKS, direction="minimize", reads="train.gradient_norms"),
    "iou": Entry(tasks=("segmentation",), direction="maximize"),
    "log_loss": Entry(
        function=f"{_SCORES}:log_loss", tasks=("classification",), direction="minimize"
    ),
    "loss": Entry(tasks=_ALL_TASKS, direction="minimize"),
    "macro_f1": Entry(function=f"{_SCORES}:macro_f1", tasks=_LABELS, direction="maximize"),
    "mae": Entry(tasks=("regression", "counts"), direction="minimize"),
    "mape": Entry(function=f"{_VALUES}:mape", tasks=("regression",), direction="minimize"),
    "mse": Entry(function=f"{_VALUES}:mse", tasks=("regression", "counts"), direction="minimize"),
    "nonzero": Entry(tasks=_ALL_TASKS, direction="minimize", reads="compression.sparsity.name"),
    "perplexity": Entry(tasks=("language",), direction="minimize"),
    "pinball10": Entry(
        function=f"{_VALUES}:pinball10", tasks=("regression",), direction="minimize"
    ),
    "pinball50": Entry(
        function=f"{_VALUES}:pinball50", tasks=("regression",), direction="minimize"
    ),
    "pinball90": Entry(
        function=f"{_VALUES}:pinball90", tasks=("regression",), direction="minimize"
    ),
    "pixel_accuracy": Entry(tasks=("segmentation",), direction="maximize"),
    "r2": Entry(tasks=("regression",), direction="maximize"),
    "robust_accuracy": Entry(tasks=_LABELS, direction="maximize", reads="attack.judge_epsilon"),
    "rmse": Entry(tasks=("regression", "counts"), direction="minimize"),
    "sparsity": Entry(tasks=_ALL_TASKS, direction="maximize", reads="compression.sparsity.name"),
    "top3_accuracy": Entry(
        function=f"{_SCORES}:top3_accuracy", tasks=("classification",), direction="maximize"
    ),
    "top5_accuracy": Entry(
        function=f"{_SCORES}:top5_accuracy", tasks=("classification",), direction="maximize"
    ),
    "train_loss": Entry(tasks=_ALL_TASKS, direction="minimize"),
}

REGISTRIES: dict[Kind, dict[str, Entry]] = {
    "model": MODELS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "sampler": SAMPLERS,
    "scheduler": SCHEDULERS,
    "reader": READERS,
    "dataset": DATASETS,
    "metric": METRICS,
}

# Whether a spec class has been read: from then on the registries can no longer change.
_is_read = False
# The arguments of all calls of `add`, so that another process can repeat them.
_added: list[dict[str, Any]] = []


def add(kind: Kind, name: str, spec: str = "", function: str = "", **knows: Any) -> None:
    """Add an entry of your own before the first spec is read; `knows` are fields of `Entry`.

    `add("model", "wide", "my_package.wide:WideSpec", "my_package.wide:make_wide")`

    Raises:
        HpoError: for an unknown kind, field or need, a taken name, a missing spec or function, or a
            call after the first spec. A data set and a metric have no spec.
    """
    where = f"registry.add({kind!r}, {name!r})"
    if kind not in REGISTRIES:
        raise HpoError(f"{where}: unknown kind: use one of {', '.join(REGISTRIES)}.")
    if name in REGISTRIES[kind]:
        raise HpoError(f"{where}: the name is taken: choose another one.")
    if _is_read:
        raise HpoError(f"{where}: a spec has been read already: add entries before that.")
    for reference in (spec, function):
        if reference and not all(reference.partition(":")):
            raise HpoError(f"{where}: '{reference}' names no object: write 'module:Name'.")
    fields = ", ".join(field for field in Entry.__dataclass_fields__ if field != "is_own")
    for field in knows.keys() - {*fields.split(", ")}:
        raise HpoError(f"{where}: unknown field {field}: use {fields}.")
    known = NEEDS.get(kind, {})
    for need in set(knows.get("needs", ())) - known.keys():
        use = f"use {', '.join(known)}" if known else f"leave needs out of a {kind}"
        raise HpoError(f"{where}: unknown need '{need}': {use}.")
    if not spec and kind not in ("dataset", "metric"):
        raise HpoError(f"{where}: spec is missing: write spec='module:SpecClass'.")
    if not function:
        raise HpoError(f"{where}: function is missing: write function='module:function'.")
    REGISTRIES[kind][name] = Entry(spec, function, **knows, is_own=True)
    _added.append({"kind": kind, "name": name, "spec": spec, "function": function, **knows})


def added() -> list[dict[str, Any]]:
    """The arguments of every `add` so far, in order."""
    return list(_added)


def spec_classes(kind: Kind) -> dict[str, Any]:
    """The spec class of each entry of a kind, by name; from now on `add` raises.

    Raises:
        HpoError: for an entry whose spec class does not exist.
    """
    global _is_read
    _is_read = True
    return {name: load(entry.spec) for name, entry in REGISTRIES[kind].items()}


def function(kind: Kind, name: str) -> Any:
    """The function of an entry, imported now.

    Raises:
        HpoError: if it does not exist.
    """
    return load(REGISTRIES[kind][name].function)


@cache
def load(reference: str) -> Any:
    """The object that `'module:Name'` names.

    Raises:
        HpoError: if there is no such module, or no such object in it.
    """
    module, _, name = reference.partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if not (error.name and f"{module}.".startswith(f"{error.name}.")):
            raise
        raise HpoError(f"registry: '{reference}': there is no module {error.name}.") from None
    except AttributeError:
        if hasattr(import_module(module), name):
            raise
        raise HpoError(f"registry: '{reference}': {module} has no {name}.") from None
