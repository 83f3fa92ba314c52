"""Optimizers that scale the step of each weight by its own gradients, beside Adam.

Each is a function from its spec, whose numbers may be traced, to the parts of a chain of Optax. All
start from zeros, and weights and gradients that are 0 stay 0, as merged programs need it.
"""

from __future__ import annotations

import optax
from optax import contrib

from hpo.engine.training.optimizers import weight_decay
from hpo.spec.sections.optimizers import adaptive as specs

Parts = list[optax.GradientTransformation]


def adadelta(spec: specs.Adadelta) -> Parts:
    return [*weight_decay(spec), optax.scale_by_adadelta(spec.decay, spec.epsilon)]


def adamax(spec: specs.Adamax) -> Parts:
    return [*weight_decay(spec), optax.scale_by_adamax(spec.beta1, spec.beta2, spec.epsilon)]


def nadam(spec: specs.Nadam) -> Parts:
    scale = optax.scale_by_adam(spec.beta1, spec.beta2, spec.epsilon, nesterov=True)
    return [*weight_decay(spec), scale]


def radam(spec: specs.Radam) -> Parts:
    betas = spec.beta1, spec.beta2
    scale = optax.scale_by_radam(*betas, spec.epsilon, threshold=spec.threshold)
    return [*weight_decay(spec), scale]


def amsgrad(spec: specs.Amsgrad) -> Parts:
    return [*weight_decay(spec), optax.scale_by_amsgrad(spec.beta1, spec.beta2, spec.epsilon)]


def adabelief(spec: specs.AdaBelief) -> Parts:
    return [*weight_decay(spec), optax.scale_by_belief(spec.beta1, spec.beta2, spec.epsilon)]


def yogi(spec: specs.Yogi) -> Parts:
    # Optax lets the mean of gradients start at 1e-6, too, which would move the weights of padding.
    betas = spec.beta1, spec.beta2
    scale = optax.scale_by_yogi(*betas, spec.epsilon, initial_accumulator_value=0.0)
    return [*weight_decay(spec), scale]


def lion(spec: specs.Lion) -> Parts:
    return [optax.scale_by_lion(spec.beta1, spec.beta2), *weight_decay(spec)]


def adan(spec: specs.Adan) -> Parts:
    betas = spec.beta1, spec.beta2, spec.beta3
    return [optax.scale_by_adan(*betas, spec.epsilon), *weight_decay(spec)]


def ademamix(spec: specs.AdEmaMix) -> Parts:
    betas = spec.beta1, spec.beta2, spec.beta3
    scale = contrib.scale_by_ademamix(*betas, alpha=spec.alpha, eps=spec.epsilon)
    return [scale, *weight_decay(spec)]
