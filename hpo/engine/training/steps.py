"""The training steps of a lane: a batch, its gradient, and the update of the weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from hpo.engine.models.activations.sparse import penalised
from hpo.engine.models.dropout import Dropout, mask_key
from hpo.engine.oneof import OneOf, options_of
from hpo.engine.program import Program
from hpo.engine.training.augmentation.batch import changed as changed_batch
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.batches import Batch, DeviceData, fed
from hpo.engine.training.compression.distillation import taught
from hpo.engine.training.compression.hints import hinted, with_hints
from hpo.engine.training.compression.quantisation import in_training, unrounded
from hpo.engine.training.compression.similarity import similar, with_similarities
from hpo.engine.training.compression.sparsity import connections_of, only_kept, thinned
from hpo.engine.training.compression.teaching import answered, of_fold
from hpo.engine.training.forward import forward
from hpo.engine.training.lane import Lane
from hpo.engine.training.optimizers import Descent
from hpo.engine.training.own_functions import augment_key, augmented
from hpo.engine.training.schedules import schedule_factor
from hpo.engine.training.targets.sums import batch_loss, targets_of
from hpo.engine.training.techniques.attack import attacked
from hpo.engine.training.techniques.averages import followed
from hpo.engine.training.techniques.gradients import Moment
from hpo.engine.training.techniques.layers import Layers
from hpo.engine.training.techniques.norms import summed
from hpo.engine.training.techniques.precision import (
    kept_if_overflown,
    loss_and_gradients,
)
from hpo.engine.training.techniques.privacy import private_gradient
from hpo.engine.training.techniques.spectral import within_norm
from hpo.engine.training.weights import joined, parted
from hpo.spec.code.own_functions import OwnAugment
from hpo.spec.experiment import Training
from hpo.spec.sections.updates import Updates


def descent_of(program: Program, optimizer: Any, updates: Updates) -> Descent:
    """The updates of a program's lanes with this optimizer."""
    return Descent(optimizer, updates, layers_of(program))


def layers_of(program: Program) -> Layers:
    """How a program's vector of weights and the arrays of its layers become each other."""
    return Layers(partial(parted, program), joined)


def train_steps(
    program: Program, knobs: Array, lane: Lane, data: DeviceData, feed: Batch, count: Array
) -> Lane:
    """A lane after `count` more steps."""
    spec = program.fill(knobs)
    steps = epoch_steps(program, spec, feed)
    descent = descent_of(program, spec.optimizer, spec.updates)
    # Merged optimizers share the learning rate and its schedule.
    rule = options_of(spec.optimizer)[0]

    def step(_: int, lane: Lane) -> Lane:
        position = lane.step % steps

        found: list[Array] = []  # the first are those at the weights of the lane

        def gradient(params: Array) -> tuple[Array, Any, Array]:
            loss, variables, gradients = _gradient(
                program, spec, params, lane, data, feed, position
            )
            found.append(gradients)
            return loss, variables, gradients

        factor = _schedule(spec, rule, lane.step, spec.train.epochs * steps)
        rate = rule.learning_rate * factor
        moment = Moment(lane.key, lane.step)
        loss, variables, params, state = descent.step(
            only_kept(gradient, connections_of(lane)), lane.optimizer, lane.params, rate, moment
        )
        after = Lane(
            params=params,
            variables=variables,
            optimizer=state,
            key=lane.key,
            step=lane.step + 1,
            loss_sum=jnp.where(position == 0, 0.0, lane.loss_sum) + loss,
            copies=lane.copies,
            scaling=lane.scaling,
            norms=summed(lane, descent.layers, found[0], position),
        )
        after = within_norm(spec.updates, descent.layers, after)
        return kept_if_overflown(lane, thinned(followed(spec, after, steps), found[0]))

    return lax.fori_loop(0, count, step, lane)


def epoch_steps(program: Program, spec: Training, feed: Batch) -> Any:
    """The steps of an epoch: a number of the lane where folds may differ in size."""
    return feed["steps"] if "steps" in feed else program.steps(spec.data.batch_size)


def _schedule(spec: Training, rule: Any, step: Array, total: Any) -> Array:
    """The factor of the learning rate at a step; schedules count updates."""
    batches = spec.updates.accumulate
    if batches is None:
        return schedule_factor(rule.schedule, step, total)
    return schedule_factor(rule.schedule, step // jnp.asarray(batches, jnp.int32), total / batches)


def _gradient(
    program: Program,
    spec: Training,
    params: Float[Array, " P"],
    lane: Lane,
    data: DeviceData,
    feed: Batch,
    position: Array,
) -> tuple[Array, Any, Float[Array, " P"]]:
    """Loss, variables and gradients at `params` for the batch at a position of the epoch."""

    def part(weights: Any, number: Any) -> tuple[tuple[Array, Any], Any]:
        """Loss, variables and gradients of a micro-batch."""
        rows = feed["rows"][position * program.parts(spec.data.batch_size) + number]
        return of_rows(weights, rows, number * program.micro_batch)

    def of_rows(weights: Any, rows: Any, first_row: Any) -> tuple[tuple[Array, Any], Any]:
        """The same for these rows, which are from `first_row` on in their batch."""
        key = mask_key(lane.key, lane.step)
        dropout = Dropout(getattr(spec.model, "dropout", 0), key, first_row=first_row)
        batch = fed(data.train, rows, feed)
        draws = Draws(key, batch["y"].shape[0], first_row)
        codes = len(program.categories)
        batch = changed_batch(spec.augment, batch, draws, codes, feed, data.alternatives)
        if isinstance(spec.augment, OwnAugment):
            changed = augmented(spec.augment, batch["x"], augment_key(lane.key, lane.step))
            batch = {**batch, "x": changed}
        networks = of_fold(data.teacher, feed)
        batch = answered(program, networks, spec.compression.teacher, batch)
        batch = with_hints(program, networks, batch)
        batch = with_similarities(program, networks, spec.compression.teacher, batch)
        batch = attacked(program, spec, weights, lane.variables, batch, draws)

        def loss_at(weights: Any) -> tuple[Array, Any]:
            return _loss(program, spec, weights, lane.variables, batch, dropout)

        found, gradients = loss_and_gradients(loss_at, lane.scaling)(weights)
        return found, unrounded(spec.compression, own, gradients)

    steps = spec.train.epochs * epoch_steps(program, spec, feed)
    own = parted(program, params)
    tree = in_training(spec.compression, own, lane.step, steps)
    if spec.privacy.is_on:
        of_row = partial(of_rows, tree)
        loss, gradient = _private(program, spec, params, lane, feed["rows"][position], of_row)
        return loss, lane.variables, gradient
    if not isinstance(spec.data.batch_size, OneOf):
        (loss, variables), gradients = part(tree, 0)
        return loss, variables, joined(gradients)

    def add(number: Any, sums: tuple[Array, Any]) -> tuple[Array, Any]:
        (loss, _), gradients = part(tree, number)
        return jax.tree.map(jnp.add, sums, (loss, gradients))

    # All micro-batches have the same number of rows, so the mean of their means is the batch's.
    parts = program.parts(spec.data.batch_size)
    zeros = jax.tree.map(jnp.zeros_like, (lane.loss_sum, tree))
    loss, gradients = lax.fori_loop(0, parts, add, zeros)
    return loss / parts, lane.variables, joined(gradients) / parts


def _loss(
    program: Program, spec: Training, weights: Any, variables: Any, batch: Batch, dropout: Dropout
) -> tuple[Array, Any]:
    """The loss of a batch with what the spec adds to it, and the variables afterwards."""

    def run() -> tuple[Any, Any]:
        return forward(program, spec, weights, variables, batch, dropout)

    hard = targets_of(program.task, program.outputs).loss if spec.loss is None else spec.loss
    loss = taught(hard, spec.compression.teacher, program.task)
    teacher, l1 = spec.compression.teacher, spec.compression.activations.l1

    def penalised_run() -> tuple[tuple[Any, Any], Any]:
        return penalised(l1, run)

    (found, distance), batch = hinted(
        weights, batch, lambda: similar(teacher, batch, penalised_run)
    )
    (outputs, changed), penalty = found
    value = batch_loss(program.task, outputs, batch, loss)
    value = value if penalty is None else value + penalty
    return value if distance is None else value + distance, changed


def _private(
    program: Program,
    spec: Training,
    params: Float[Array, " P"],
    lane: Lane,
    rows: Int[Array, " B"],
    of_rows: Callable[[Any, Any], tuple[tuple[Array, Any], Any]],
) -> tuple[Array, Float[Array, " P"]]:
    """Loss and gradient of a batch, clipped row by row and with noise."""

    def of_row(row: Any, place: Any) -> tuple[Array, Array]:
        (loss, _), gradients = of_rows(row[None], place)
        return loss, joined(gradients)

    bounds, size = (spec.privacy.clip, spec.privacy.noise), spec.data.step_rows
    layers, moment = layers_of(program), Moment(lane.key, lane.step)
    return private_gradient(*bounds, of_row, rows, size, layers, params, moment)
