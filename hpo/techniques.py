"""The table of techniques: where each stands in a spec, what it needs, and what it excludes.

A technique is on where its leaf differs from the default, or has the `value` of its line. The spec,
plans, merging and streaming read here what goes together, by `hpo/spec/techniques/`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from hpo.entries import CIRCUMSTANCES as CIRCUMSTANCES
from hpo.entries import Fact as Fact
from hpo.entries import Need
from hpo.entries import Technique as Technique

_Reasons: TypeAlias = dict[Fact, str]

_ARXIV, _NEURIPS = "https://arxiv.org/abs", "https://papers.nips.cc/paper"
_DROPOUT = "https://jmlr.org/papers/v15/srivastava14a.html"
_PCA = "https://doi.org/10.1080/14786440109462720"
_MIRRORED = f"{_NEURIPS}/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html"
_AFFINE = "https://doi.org/10.1109/5.726791"
_ROTATED = "https://doi.org/10.1109/ICDAR.2003.1227801"
_COLOURED = f"{_ARXIV}/1312.5402"
_SALTED = "https://jmlr.org/papers/v11/vincent10a.html"
_NOISY = "https://doi.org/10.1162/neco.1995.7.1.108"
_CLIPPED = "https://www.deeplearningbook.org/contents/rnn.html"
_STOPPED = "https://doi.org/10.1007/3-540-49430-8_3"
_ORDER: _Reasons = {"streaming": "draws the rows of a trial in an order of its own"}
_EQUAL: _Reasons = {"growing batches": "counts updates of equal batches"}
_LOSSES: _Reasons = {"folds": "keeps the losses of one training split"}
_PIXELS: _Reasons = {"joined pixels": "changes single pixels as read"}
_RATE: _Reasons = {"own rate": "needs the learning rate of a step"}
_BEFORE: _Reasons = {"own average": "changes weights that are not judged"}
_STATISTICS = "needs all training rows for the statistics of averaged weights"
_AVERAGED: _Reasons = {
    "own average": "averages weights itself",
    "streamed statistics": _STATISTICS,
}
# What an optimizer with a need excludes.
OPTIMIZERS_EXCLUDE: dict[Need, _Reasons] = {"own average": {"streamed statistics": _STATISTICS}}
_ROUNDS = "rounds to the same bits throughout"
_BITS: _Reasons = {"changes": _ROUNDS, "scheduled bits": _ROUNDS, "populations": _ROUNDS}
_LAST: _Reasons = {
    "populations": "may leave the last weights of a trial",
    "shares": "may judge a trial by an earlier epoch",
    "sizes": "may judge a trial by an earlier epoch",
    "growing sparsity": "may end with an epoch that has fewer zeros",
}

_MODEL = {
    "stochastic_depth": Technique("model.stochastic_depth", paper=f"{_ARXIV}/1603.09382"),
    "norm_momentum": Technique("model.norm_momentum", paper=f"{_ARXIV}/1502.03167"),
    "remat": Technique("model.remat", paper=f"{_ARXIV}/1604.06174"),
}

_SAMPLING = {
    "stratified": Technique(
        "sampling.name",
        "stratified",
        f"{_ARXIV}/1405.3080",
        needs=("own order", "classes"),
        excludes=_ORDER,
    ),
    "balanced": Technique(
        "sampling.name",
        "balanced",
        f"{_ARXIV}/1910.09217",
        needs=("own order", "classes"),
        excludes=_ORDER,
    ),
    "importance": Technique(
        "sampling.name",
        "importance",
        f"{_ARXIV}/1803.00942",
        numbers=("sampling.temperature",),
        needs=("own order",),
        excludes=_ORDER | _LOSSES,
    ),
    "curriculum": Technique(
        "sampling.name",
        "curriculum",
        f"{_ARXIV}/1904.03626",
        numbers=("sampling.start", "sampling.until"),
        needs=("own order",),
        excludes=_ORDER | _LOSSES,
    ),
    "share": Technique(
        "sampling.share",
        paper=f"{_ARXIV}/1605.07079",
        needs=("own order",),
        excludes=_ORDER | {"shares": "is one share for all rungs"},
    ),
    "extra": Technique(
        "sampling.extra_share", paper=f"{_ARXIV}/2110.09468", needs=("own order",), excludes=_ORDER
    ),
}

_DATA = {
    "whiten": Technique(
        "data.normalize",
        "whiten",
        "https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf",
        numbers=("data.epsilon",),
        needs=("joined pixels",),
    ),
    "pca": Technique("data.reduce.name", "pca", _PCA, numbers=("data.reduce.components",)),
    "select": Technique(
        "data.reduce.name",
        "select",
        "https://doi.org/10.1371/journal.pone.0087357",
        numbers=("data.reduce.features",),
    ),
    "store_uint8": Technique("data.store", "uint8"),
    "store_float16": Technique("data.store", "float16"),
    "image_size": Technique(
        "data.image_size", needs=("images",), excludes={"sizes": "is one size for all rungs"}
    ),
    "corrupt": Technique(
        "data.corrupt.kinds",
        paper=f"{_ARXIV}/1903.12261",
        numbers=("data.corrupt.severity",),
        needs=("numbers",),
        excludes={"folds": "changes one validation split"},
    ),
    "corrupt_from": Technique(
        "data.corrupt.from",
        paper=f"{_ARXIV}/1903.12261",
        excludes={"folds": "judges beside one validation split"},
    ),
}

_AUGMENT = {
    "flip": Technique("augment.flip", paper=_MIRRORED, needs=("images",)),
    "shift": Technique("augment.shift", paper=_AFFINE, needs=("images",)),
    "rotate": Technique("augment.rotate", paper=_ROTATED, needs=("images",)),
    "scale": Technique("augment.scale", paper=_AFFINE, needs=("images",)),
    "shear": Technique("augment.shear", paper=_AFFINE, needs=("images",)),
    "crop": Technique("augment.crop", paper=f"{_ARXIV}/1409.4842", needs=("images",)),
    "brightness": Technique(
        "augment.brightness", paper=_COLOURED, needs=("images",), excludes=_PIXELS
    ),
    "contrast": Technique("augment.contrast", paper=_COLOURED, needs=("images",), excludes=_PIXELS),
    "saturation": Technique(
        "augment.saturation", paper=_COLOURED, needs=("images", "colours"), excludes=_PIXELS
    ),
    "hue": Technique(
        "augment.hue", paper=f"{_ARXIV}/2002.05709", needs=("images", "colours"), excludes=_PIXELS
    ),
    "shot_noise": Technique(
        "augment.shot_noise", paper=f"{_ARXIV}/1903.12261", needs=("images",), excludes=_PIXELS
    ),
    "salt_pepper": Technique(
        "augment.salt_pepper", paper=_SALTED, needs=("images",), excludes=_PIXELS
    ),
    "cutout": Technique("augment.cutout", paper=f"{_ARXIV}/1708.04552", needs=("images",)),
    "rand_augment": Technique(
        "augment.rand_augment",
        paper=f"{_ARXIV}/1909.13719",
        numbers=("augment.rand_strength",),
        needs=("images",),
        excludes=_PIXELS,
    ),
    "trivial_augment": Technique(
        "augment.trivial_augment",
        paper=f"{_ARXIV}/2103.10158",
        needs=("images",),
        excludes=_PIXELS,
    ),
    "gaussian_noise": Technique("augment.gaussian_noise", paper=_NOISY, needs=("numbers",)),
    "column_dropout": Technique("augment.column_dropout", paper=_DROPOUT, needs=("table",)),
    "swap_noise": Technique(
        "augment.swap_noise",
        paper="https://www.kaggle.com/competitions/porto-seguro-safe-driver-prediction/discussion/44629",
        needs=("table", "whole batch", "mixed rows"),
    ),
    "same_class": Technique(
        "augment.same_class",
        paper=f"{_ARXIV}/1710.09412",
        needs=("numbers", "classes", "whole batch", "mixed rows"),
    ),
    "magnitude": Technique("augment.magnitude", paper=f"{_ARXIV}/1706.00527", needs=("numbers",)),
    "time_warp": Technique("augment.time_warp", paper=f"{_ARXIV}/1706.00527", needs=("series",)),
    "window_warp": Technique(
        "augment.window_warp", paper="https://shs.hal.science/halshs-01357973", needs=("series",)
    ),
    "mixup": Technique(
        "augment.mixup",
        paper=f"{_ARXIV}/1710.09412",
        needs=("numbers", "labels", "whole batch", "mixed rows"),
    ),
    "cutmix": Technique(
        "augment.cutmix",
        paper=f"{_ARXIV}/1905.04899",
        needs=("images", "labels", "whole batch", "mixed rows"),
    ),
    "synonyms": Technique(
        "augment.synonyms",
        paper=f"{_ARXIV}/1509.01626",
        needs=("texts", "synonyms"),
        excludes={"folds": "replaces words of one vocabulary"},
    ),
    "homophones": Technique(
        "augment.homophones",
        paper=f"{_ARXIV}/1509.01626",
        needs=("texts", "homophones"),
        excludes={"folds": "replaces words of one vocabulary"},
    ),
    "word_dropout": Technique(
        "augment.word_dropout", paper=f"{_ARXIV}/1511.06349", needs=("texts",)
    ),
}
_AUGMENT = {
    name: replace(one, needs=(*one.needs, "changed rows")) for name, one in _AUGMENT.items()
}

_ATTACK = {
    "fgsm": Technique(
        "attack.epsilon",
        paper=f"{_ARXIV}/1412.6572",
        numbers=("attack.name", "attack.share"),
        needs=("numbers",),
    ),
    "pgd": Technique(
        "attack.name", "pgd", f"{_ARXIV}/1706.06083", numbers=("attack.steps",), needs=("numbers",)
    ),
    "judged_attack": Technique(
        "attack.judge_epsilon",
        paper=f"{_ARXIV}/1706.06083",
        numbers=("attack.judge_steps",),
        needs=("numbers",),
    ),
}

_PRIVACY = {
    "privacy": Technique(
        "privacy.noise",
        paper=f"{_ARXIV}/1607.00133",
        numbers=("privacy.clip", "privacy.delta"),
        needs=("whole batch", "own sizes", "spent rows"),
        excludes=_ORDER
        | {
            "mixed rows": "takes the gradient of each row apart",
            "statistics": "takes the gradient of each row apart",
            "kept statistics": "takes the gradient of each row apart",
            "scheduled noise": "counts one noise",
            "gradient": "adds noise to one gradient a step",
            "second gradient": "adds noise to one gradient a step",
            "own order": "draws each row by itself",
            "uneven steps": "counts every step",
            "folds": "counts one training",
            "changes": "counts one noise",
            "populations": "counts one training",
            "shares": "counts one training",
            "sizes": "counts one training",
        },
    ),
}

_UPDATES = {
    "clip_value": Technique("updates.clip_value", paper=_CLIPPED),
    "clip_layer_norm": Technique("updates.clip_layer_norm", paper=f"{_ARXIV}/1710.06963"),
    "clip_norm": Technique(
        "updates.clip_norm",
        paper=f"{_ARXIV}/1211.5063",
        excludes={"clipping optimizer": "clips the whole gradient"},
    ),
    "clip_adaptive": Technique("updates.clip_adaptive", paper=f"{_ARXIV}/2102.06171"),
    "centralize": Technique(
        "updates.centralize", paper=f"{_ARXIV}/2004.01461", needs=("own sizes",)
    ),
    "gradient_noise": Technique(
        "updates.noise", paper=f"{_ARXIV}/1511.06807", needs=("own sizes",)
    ),
    "weight_noise": Technique(
        "updates.weight_noise",
        paper=f"{_NEURIPS}/2011/hash/7eb3c8be3d411e8ebfab08eba5f49632-Abstract.html",
        needs=("own sizes",),
    ),
    "accumulate": Technique(
        "updates.accumulate",
        paper=f"{_ARXIV}/1806.00187",
        excludes={"gradient": "averages the gradients of several batches"},
    ),
    "sam": Technique(
        "updates.sam_radius", paper=f"{_ARXIV}/2010.01412", needs=("second gradient",)
    ),
    "asam": Technique("updates.sam_adaptive", paper=f"{_ARXIV}/2102.11600"),
    "lookahead": Technique(
        "updates.lookahead",
        paper=f"{_ARXIV}/1907.08610",
        numbers=("updates.lookahead_share",),
        excludes=_EQUAL | _BEFORE,
    ),
    "update_share": Technique(
        "updates.update_share", paper="https://epubs.siam.org/doi/10.1137/100802001"
    ),
    "decay_on": Technique("updates.decay_on", paper=f"{_ARXIV}/1812.01187", excludes=_RATE),
    "l1": Technique(
        "updates.l1",
        paper="https://web.stanford.edu/~boyd/papers/prox_algs.html",
        excludes=_RATE | _EQUAL | _BEFORE,
    ),
    "max_norm": Technique("updates.max_norm", paper=_DROPOUT, excludes=_BEFORE),
    "spectral_norm": Technique(
        "updates.spectral_norm",
        paper=f"{_ARXIV}/1804.04368",
        needs=("own sizes",),
        excludes=_BEFORE,
    ),
    "freeze": Technique("updates.freeze", paper=f"{_ARXIV}/1411.1792"),
    "rates": Technique("updates.rates", paper=f"{_ARXIV}/1801.06146"),
}

_MOVING = (
    "compression.sparsity.share",
    "compression.sparsity.end",
    "compression.sparsity.drop",
)
_WHOLE_NUMBERS = (
    "compression.weights.bits",
    "compression.weights.layers.first",
    "compression.weights.layers.middle",
    "compression.weights.layers.last",
    "compression.weights.scales",
)
_COMPRESSION = {
    "magnitude_pruning": Technique(
        "compression.sparsity.name",
        "magnitude",
        f"{_ARXIV}/1710.01878",
        numbers=(
            "compression.sparsity.share",
            "compression.sparsity.begin",
            "compression.sparsity.end",
            "compression.sparsity.scope",
        ),
    ),
    "rewinding": Technique(
        "compression.sparsity.rewind", paper=f"{_ARXIV}/1912.05671", excludes=_BEFORE
    ),
    "unit_pruning": Technique("compression.sparsity.unit", "unit", f"{_ARXIV}/1608.08710"),
    "fixed_zeros": Technique(
        "compression.sparsity.name",
        "fixed",
        "https://doi.org/10.1038/s41467-018-04316-3",
        numbers=("compression.sparsity.share",),
    ),
    "set": Technique(
        "compression.sparsity.name",
        "set",
        "https://doi.org/10.1038/s41467-018-04316-3",
        numbers=_MOVING,
    ),
    "rigl": Technique("compression.sparsity.name", "rigl", f"{_ARXIV}/1911.11134", numbers=_MOVING),
    "n_of_m": Technique(
        "compression.sparsity.name",
        "n_of_m",
        f"{_ARXIV}/2104.08378",
        numbers=(
            "compression.sparsity.n",
            "compression.sparsity.m",
            "compression.sparsity.begin",
        ),
    ),
    "integer_weights": Technique(
        "compression.weights.name",
        "integer",
        f"{_ARXIV}/1712.05877",
        numbers=(*_WHOLE_NUMBERS, "compression.weights.begin"),
        excludes=_BITS,
    ),
    "learned_weights": Technique(
        "compression.weights.name",
        "learned",
        f"{_ARXIV}/1902.08153",
        numbers=_WHOLE_NUMBERS,
        excludes=_BITS,
    ),
    "ternary_weights": Technique(
        "compression.weights.name",
        "ternary",
        f"{_ARXIV}/1605.04711",
        numbers=("compression.weights.scales", "compression.weights.begin"),
    ),
    "binary_bases": Technique(
        "compression.weights.name",
        "bases",
        f"{_ARXIV}/1711.11294",
        numbers=(
            "compression.weights.bases",
            "compression.weights.scales",
            "compression.weights.begin",
        ),
        needs=("own sizes",),
        excludes=_BITS,
    ),
    "rounded_activations": Technique(
        "compression.activations.bits",
        paper=f"{_ARXIV}/1712.05877",
        needs=("whole batch", "same depth", "statistics"),
        excludes=_BITS | {"other products": "rounds what dense layers and convolutions read"},
    ),
    "learned_activations": Technique(
        "compression.activations.name",
        "learned",
        f"{_ARXIV}/1902.08153",
        numbers=("compression.activations.bits",),
        needs=("whole batch", "same depth", "statistics"),
        excludes=_BITS | {"other products": "rounds what dense layers and convolutions read"},
    ),
    "top_activations": Technique(
        "compression.activations.top",
        paper=f"{_ARXIV}/1905.10510",
        excludes=dict.fromkeys(_BITS, "keeps the same share of units throughout"),
    ),
    "activation_penalty": Technique(
        "compression.activations.l1",
        paper="https://proceedings.mlr.press/v15/glorot11a.html",
        needs=("same depth",),
    ),
    "teacher": Technique(
        "compression.teacher.from",
        paper=f"{_ARXIV}/1503.02531",
        numbers=("compression.teacher.weight", "compression.teacher.temperature"),
        excludes={
            "spent rows": "tells more of each row",
            "sizes": "answers for images of one size",
        },
    ),
    "teacher_features": Technique(
        "compression.teacher.match", paper=f"{_ARXIV}/1412.6550", needs=("same depth",)
    ),
    "similarity": Technique(
        "compression.teacher.similarity",
        paper=f"{_ARXIV}/1907.09682",
        needs=("whole batch", "same depth"),
    ),
}

_TRAIN = {
    "ema": Technique(
        "train.average.name",
        "ema",
        f"{_ARXIV}/1703.01780",
        numbers=("train.average.decay",),
        excludes=_AVERAGED | _EQUAL,
    ),
    "polyak": Technique(
        "train.average.name",
        "polyak",
        "https://doi.org/10.1137/0330046",
        numbers=("train.average.start",),
        excludes=_AVERAGED | _EQUAL,
    ),
    "swa": Technique(
        "train.average.name",
        "swa",
        f"{_ARXIV}/1803.05407",
        numbers=("train.average.start",),
        excludes=_AVERAGED | _EQUAL,
    ),
    "early_stop": Technique("train.early_stop", paper=_STOPPED, excludes=_LAST),
    "keep_best": Technique("train.keep", "best", _STOPPED, excludes=_LAST),
    "schedules": Technique("train.schedules", excludes={"populations": "changes numbers itself"}),
    "bfloat16": Technique("train.precision", "bfloat16", f"{_ARXIV}/1905.12322"),
    # Parts of a batch would overflow at other scales than the whole.
    "float16": Technique(
        "train.precision",
        "float16",
        f"{_ARXIV}/1710.03740",
        needs=("uneven steps", "whole batch"),
    ),
    "auto_precision": Technique("train.precision", "auto"),
    "gradient_norms": Technique("train.gradient_norms"),
    "threshold": Technique(
        "train.threshold",
        paper=f"{_ARXIV}/1402.1892",
        needs=("labels",),
        excludes={"folds": "is chosen on one validation split"},
    ),
}

TECHNIQUES: dict[str, Technique] = {
    **_MODEL,
    **_DATA,
    **_SAMPLING,
    **_AUGMENT,
    **_ATTACK,
    **_PRIVACY,
    **_UPDATES,
    **_COMPRESSION,
    **_TRAIN,
}
