# ruff: noqa: E501 - a message is one line, as users see it
"""Broken specs: each mistake is one line that says where, what and how to put it right."""

import re
from pathlib import Path

import pytest
import yaml

from hpo.errors import SpecError
from hpo.registry import DATASETS, METRICS, MODELS, OPTIMIZERS, READERS, SAMPLERS, spec_classes
from hpo.spec.load import experiment_from_document, load_experiment
from hpo.spec.sections.goal import COSTS
from tests.checkout import ROOT

LINES = {
    "name": "name: digits",
    "data": "data: {dataset: digits}",
    "model": "model: {name: mlp}",
    "optimizer": "optimizer: {name: sgd, momentum: 0.9}",
    "train": "train: {epochs: 9}",
    "search": "search: {objective: {maximize: accuracy}, trials: 10}",
    "space": "space: {}",
}


def listed(names) -> str:
    return ", ".join(sorted(names))


def goals(task: str) -> str:
    known = {name: entry for name, entry in METRICS.items() if task in entry.tasks}
    return ", ".join(f"{{{entry.direction}: {name}}}" for name, entry in known.items())


def _format(spec):
    """A format of data: the keys that it needs, and the first words that say what it is."""
    needed = [name for name, field in spec.model_fields.items() if field.is_required()]
    words = re.split(r"[,;:.]", " ".join(spec.__doc__.split()))[0]
    keys = ", ".join(f"{name}: ..." for name in needed)
    return f"{{{keys}}} for {words[0].lower()}{words[1:]}"


# The lists in the messages below to which a new entry of a registry adds its name.
LISTS = {
    "<models>": listed(MODELS),
    "<optimizers>": listed(OPTIMIZERS),
    "<data sets>": listed(DATASETS),
    "<formats>": ", ".join(map(_format, spec_classes("reader").values())),
    "<keys>": " or ".join(f"{{{key}: ...}}" for key in READERS),
    "<metrics>": listed({*METRICS, *COSTS}),
    "<metrics of all rows>": listed(name for name in METRICS if METRICS[name].is_named),
    "<metrics of classification>": ", ".join(
        name for name, entry in METRICS.items() if "classification" in entry.tasks
    ),
    "<goals of classification>": goals("classification"),
    "<goals of regression>": goals("regression"),
    "<samplers for several objectives>": listed(
        name for name, entry in SAMPLERS.items() if entry.several_objectives
    ),
    "<search spaces>": listed(path.stem for path in (ROOT / "search_spaces").glob("*.yaml")),
}


def with_lists(message: str) -> str:
    """A message with each list in its place."""
    for mark, names in LISTS.items():
        message = message.replace(mark, names)
    return message


ROWS = [
    (
        "-model",
        "spec.yaml:1: model: is missing: write {name: mlp} or another (known names: <models>)",
    ),
    (
        "-optimizer",
        "spec.yaml:1: optimizer: is missing: write {name: adamw} or another (known names: <optimizers>)",
    ),
    ("-name", "spec.yaml:1: name: is missing: write text"),
    (
        "name: my digits",
        "spec.yaml:1: name: 'my digits' is not a name: write letters, digits, - _ . only, at most 100 of them",
    ),
    (
        "name: ../up",
        "spec.yaml:1: name: '../up' is not a name: write letters, digits, - _ . only, at most 100 of them",
    ),
    (
        "dat: 3",
        "spec.yaml:8: dat: unknown key 'dat'. Did you mean 'data'? Known keys: attack, augment, compression, data, loss, model, name, optimizer, privacy, sampling, search, space, study, train, updates.",
    ),
    ("model: mlp", "spec.yaml:3: model: is a mapping, not 'mlp': write {name: mlp}"),
    (
        "model: mpl",
        "spec.yaml:3: model: unknown name 'mpl'. Did you mean 'mlp'? Known names: <models>. Write {name: ...}.",
    ),
    (
        "model: {name: mpl}",
        "spec.yaml:3: model.name: unknown name 'mpl'. Did you mean 'mlp'? Known names: <models>.",
    ),
    ("model: {name: 3}", "spec.yaml:3: model.name: cannot be 3: write one of <models>"),
    (
        "model: {widths: [3]}",
        "spec.yaml:3: model.name: is missing: write a name (known names: <models>)",
    ),
    ("model:", "spec.yaml:3: model: cannot be null: write {name: mlp}"),
    (
        "model: {name: mlp, widths: [0]}",
        "spec.yaml:3: model.widths: cannot be [0]: write a list of whole numbers of at least 1",
    ),
    (
        "model: {name: mlp, widths: 64}",
        "spec.yaml:3: model.widths: cannot be 64: write a list of whole numbers of at least 1",
    ),
    (
        "model: {name: mlp, widths: [64, 1.5]}",
        "spec.yaml:3: model.widths: cannot be [64, 1.5]: write a list of whole numbers of at least 1",
    ),
    (
        "model: {name: mlp, dropout: 1}",
        "spec.yaml:3: model.dropout: cannot be 1: write a number from 0 to below 1",
    ),
    (
        "model: {name: mlp, dropout: true}",
        "spec.yaml:3: model.dropout: cannot be true: write a number from 0 to below 1",
    ),
    (
        "model: {name: mlp, dropout: .nan}",
        "spec.yaml:3: model.dropout: cannot be nan: write a number from 0 to below 1",
    ),
    (
        "model: {name: mlp, activation: rellu}",
        "spec.yaml:3: model.activation: unknown name 'rellu'. Did you mean 'relu'? Known names: elu, gelu, leaky_relu, mish, relu, selu, sigmoid, silu, softplus, tanh.",
    ),
    (
        "model: {name: mlp, activation: 3}",
        "spec.yaml:3: model.activation: cannot be 3: write relu, gelu, silu, tanh, elu, leaky_relu, sigmoid, softplus, selu or mish",
    ),
    (
        "model: {name: mlp, dropuot: 0.1}",
        "spec.yaml:3: model.dropuot: unknown key 'dropuot'. Did you mean 'dropout'? Known keys: activation, bias, depth, dropout, embedding, from, init, init_gain, init_scale, name, norm, norm_momentum, output, rank, slope, width, widths.",
    ),
    (
        "model: {name: cnn, widths: [3]}",
        "spec.yaml:3: model.widths: unknown key 'widths'. Known keys: activation, bias, dense, dropout, filters, from, groups, init, init_gain, init_scale, kernel, name, norm, norm_momentum, padding, pooling, rank, slope, stride.",
    ),
    (
        "model: {name: cnn, kernel: 13}",
        "spec.yaml:3: model.kernel: cannot be 13: write a whole number from 1 to 11 or a list of whole numbers from 1 to 11",
    ),
    (
        "optimizer: {name: sgd, learning_rate: '1e-3'}",
        "spec.yaml:4: optimizer.learning_rate: cannot be the text '1e-3': write a number above 0, without quotes",
    ),
    (
        "optimizer: {name: sgd, learning_rate: .inf}",
        "spec.yaml:4: optimizer.learning_rate: cannot be inf: write a number above 0",
    ),
    (
        "optimizer: {name: sgd, learning_rate: 0}",
        "spec.yaml:4: optimizer.learning_rate: cannot be 0: write a number above 0",
    ),
    (
        "optimizer: {name: sgd, nesterov: yes}",
        "spec.yaml:4: optimizer.nesterov: cannot be 'yes': write true or false",
    ),
    (
        "optimizer: {name: sgd, clip_norm: 0}",
        "spec.yaml:4: optimizer.clip_norm: cannot be 0: write a number above 0 or null",
    ),
    (
        "data: {dataset: wine}\nmodel: {name: cnn}",
        "spec.yaml:3: model.name: cnn needs images, and wine is a table: use mlp",
    ),
    (
        "data: {dataset: {csv: a.csv, target: y}}\nspace: {model.name: {choice: [mlp, cnn]}}",
        "spec.yaml:7: space.model.name: with 'cnn', model.name cnn needs images, and csv is a table: use mlp",
    ),
    (
        "updates: {clip_norm: 2.0}\noptimizer: {name: sgd, clip_norm: 1.0}",
        "spec.yaml:8: updates.clip_norm: clips the whole gradient, and optimizer.clip_norm does so too: remove one of them",
    ),
    (
        "optimizer: {name: sgd, schedule: cosine}",
        "spec.yaml:4: optimizer.schedule: is a mapping, not 'cosine': write {name: cosine}",
    ),
    (
        "optimizer: {name: sgd, schedule: {name: cosin}}",
        "spec.yaml:4: optimizer.schedule.name: unknown name 'cosin'. Did you mean 'cosine'? Known names: constant, cosine, cosine_restarts, coslog, exponential, linear, one_cycle, piecewise, polynomial, step.",
    ),
    (
        "optimizer: {name: sgd, schedule: {name: step, drops: 1.5}}",
        "spec.yaml:4: optimizer.schedule.drops: cannot be 1.5: write a whole number of at least 1",
    ),
    (
        "optimizer: {name: sgd, schedule: 3}",
        "spec.yaml:4: optimizer.schedule: cannot be 3: write {name: constant}",
    ),
    ("train: {}", "spec.yaml:5: train.epochs: is missing: write a whole number of at least 1"),
    (
        "train: {epochs: 1e3}",
        "spec.yaml:5: train.epochs: cannot be 1000.0: write a whole number of at least 1",
    ),
    (
        "train: {epochs: ten}",
        "spec.yaml:5: train.epochs: cannot be 'ten': write a whole number of at least 1",
    ),
    (
        "train: {epochs: 9, lanes: atuo}",
        "spec.yaml:5: train.lanes: cannot be 'atuo'. Did you mean 'auto'? Write auto or a whole number of at least 1",
    ),
    (
        "train: {epochs: 9, seed: -1}",
        "spec.yaml:5: train.seed: cannot be -1: write a whole number from 0 to below 4294967296",
    ),
    (
        "data: {dataset: digit}",
        "spec.yaml:2: data.dataset: unknown name 'digit'. Did you mean 'digits'? Known names: <data sets>. Or write {csv: ..., target: ...}.",
    ),
    (
        "data: {dataset: 5}",
        "spec.yaml:2: data.dataset: cannot be 5: write text or <keys>",
    ),
    (
        "data: {dataset: {csv: a.csv}}",
        "spec.yaml:2: data.dataset.target: is missing: write text or a list of text",
    ),
    (
        "data: {dataset: {cvs: a.csv}}",
        "spec.yaml:2: data.dataset: unknown kind 'cvs'. Did you mean 'csv'? Write <formats>, or a name: <data sets>",
    ),
    (
        "data: {dataset: {xlsx: a}}",
        "spec.yaml:2: data.dataset: unknown kind 'xlsx'. Write <formats>, or a name: <data sets>",
    ),
    (
        "data: {dataset: {}}",
        "spec.yaml:2: data.dataset: is empty: write <formats>, or a name: <data sets>",
    ),
    (
        "data: {dataset: {csv: a.csv, target: y, separator: ab}}",
        "spec.yaml:2: data.dataset.separator: 'ab' is not one ASCII character: write one such as ';', or '\\t' for a tab",
    ),
    (
        "data: {dataset: {csv: a.csv, target: y, separator: \u00e9}}",
        "spec.yaml:2: data.dataset.separator: '\u00e9' is not one ASCII character: write one such as ';', or '\\t' for a tab",
    ),
    (
        'data: {dataset: {csv: a.csv, target: y, separator: "\\n"}}',
        "spec.yaml:2: data.dataset.separator: '\\n' is not one ASCII character: write one such as ';', or '\\t' for a tab",
    ),
    (
        "data: {dataset: {csv: a.csv, target: y, separator: '1'}}",
        "spec.yaml:2: data.dataset.separator: '1' belongs to cells: write a character between them, such as ';'",
    ),
    (
        "data: {dataset: {csv: a.csv, target: y, thousands: '.'}}",
        "spec.yaml:2: data.dataset: thousands and decimal are both '.': write another one for one of them",
    ),
    (
        "data: {dataset: {csv: a.csv, target: y, units: ['5']}}",
        "spec.yaml:2: data.dataset.units: ['5'] is no sign beside a number: write one such as '$', '%' or 'EUR'",
    ),
    (
        "data: {dataset: {csv: a.csv, target: y, missing: '?'}}",
        "spec.yaml:2: data.dataset.missing: cannot be '?': write a list of text",
    ),
    (
        "data: {dataset: {csv: a.csv, target: y, skip: -1}}",
        "spec.yaml:2: data.dataset.skip: cannot be -1: write a whole number of at least 0",
    ),
    (
        "data: {dataset: {csv: a.csv, target: y, encoding: gbkk}}",
        "spec.yaml:2: data.dataset.encoding: 'gbkk' is no encoding that Python knows: write one such as gbk, latin-1 or utf-16",
    ),
    (
        "data: {dataset: {csv: a.csv, target: y, encoding: idna}}",
        "spec.yaml:2: data.dataset.encoding: 'idna' is no encoding that Python knows: write one such as gbk, latin-1 or utf-16",
    ),
    (
        "data: {dataset: {csv: a.csv, target: y, drop_rows: {target: true}}}",
        "spec.yaml:2: data.dataset.drop_rows.target: unknown key 'target'. Did you mean 'missing_target'? Known keys: duplicates, missing_target, rare_classes.",
    ),
    (
        "data: {dataset: {csv: a.csv, target: y, task: clasification}}",
        "spec.yaml:2: data.dataset.task: unknown name 'clasification'. Did you mean 'classification'? Known names: auto, classification, counts, multilabel, regression.",
    ),
    (
        "data: {dataset: digits, validation: 1.5}",
        "spec.yaml:2: data.validation: cannot be 1.5: write a number from 0 to below 1 or a whole number of at least 1",
    ),
    (
        "data: {dataset: digits, validation: half}",
        "spec.yaml:2: data.validation: cannot be 'half': write a number from 0 to below 1 or a whole number of at least 1",
    ),
    (
        "data: {dataset: digits, test: '0.2'}",
        "spec.yaml:2: data.test: cannot be the text '0.2': write auto or a number from 0 to below 1 or a whole number of at least 1, without quotes",
    ),
    (
        "data: {dataset: digits, batch_size: 0}",
        "spec.yaml:2: data.batch_size: cannot be 0: write all or a whole number of at least 1",
    ),
    (
        "train: {epochs: 3, metrics: [rmse]}",
        "spec.yaml:5: train.metrics: ['rmse'] names rmse, which is always reported: take it out",
    ),
    (
        "train: {epochs: 3, metrics: [auc]}",
        "spec.yaml:5: train.metrics: ['auc'] names the unknown metric 'auc'. Did you mean 'auroc'? Known metrics: <metrics of all rows>.",
    ),
    (
        "data: {dataset: diabetes}",
        "spec.yaml:6: search.objective: accuracy is not a metric of regression: write one of <goals of regression>",
    ),
    (
        "search: {objective: {maximize: acuracy}, trials: 1}",
        "spec.yaml:6: search.objective: unknown metric 'acuracy'. Did you mean 'accuracy'? Known metrics: <metrics>.",
    ),
    (
        "search: {objective: {minimize: parameters}, trials: 1}",
        "spec.yaml:6: search.objective: parameters is not known after every epoch, and schedulers follow the first objective: write a list of objectives with a metric first, such as accuracy, or bound it under search.constraints",
    ),
    (
        "search: {objective: [{maximize: accuracy}, {minimize: accuracy}], trials: 1}",
        "spec.yaml:6: search.objective[1]: accuracy is listed twice: keep one of them",
    ),
    (
        "search: {objective: [{maximize: accuracy}, {minimize: flop}], trials: 1}",
        "spec.yaml:6: search.objective[1]: unknown metric 'flop'. Did you mean 'flops'? Known metrics: <metrics>.",
    ),
    (
        "search: {objective: [{maximize: accuracy}, {minimize: rmse}], trials: 1}",
        "spec.yaml:6: search.objective[1]: rmse is not a metric of classification: write one of <goals of classification>",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, constraints: [{metric: parameters, at_moost: 5}]}",
        "spec.yaml:6: search.constraints[0].at_moost: unknown key 'at_moost'. Did you mean 'at_most'? Known keys: at_least, at_most, metric.",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, constraints: [{metric: parameters}]}",
        "spec.yaml:6: search.constraints[0]: needs at_most or at_least: write {metric: parameters, at_most: 1}",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, constraints: {metric: flops, at_most: 1}}",
        "spec.yaml:6: search.constraints: cannot be {metric: 'flops', at_most: 1}: write a list of {metric: ...}",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, constraints: [{metric: mae, at_most: 1}]}",
        "spec.yaml:6: search.constraints[0].metric: mae is not a metric of classification: write one of <metrics of classification>, parameters, flops, macs, model_bytes, train_seconds, energy_joules, latency_ms",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, stop: {no_improvement: 0}}",
        "spec.yaml:6: search.stop.no_improvement: cannot be 0: write a whole number of at least 1 or null",
    ),
    (
        "search: {objective: {}, trials: 1}",
        "spec.yaml:6: search.objective: needs one of maximize and minimize: write {maximize: accuracy}",
    ),
    (
        "search: {objective: accuracy, trials: 1}",
        "spec.yaml:6: search.objective: cannot be 'accuracy': write {maximize: ...} or a list of {maximize: ...}",
    ),
    ("search: {trials: 10}", "spec.yaml:6: search.objective: is missing: write {maximize: ...}"),
    (
        "search: {objective: {maximize: accuracy}, trials: 0}",
        "spec.yaml:6: search.trials: cannot be 0: write a whole number from 1 to 1000000",
    ),
    (
        "search:",
        "spec.yaml:6: search: cannot be null: write a mapping such as {objective: ..., trials: ...}",
    ),
    (
        "data: {dataset: digits, device_budget: 2 gigs}",
        "spec.yaml:2: data.device_budget: '2 gigs' is not a size: write 500MB, 2GiB, a number of bytes or auto",
    ),
    (
        "data: {dataset: digits, split: {group: patient}}",
        "spec.yaml:2: data: split names a column, and this data set has none: remove it",
    ),
    (
        "data: {dataset: {csv: t.csv, target: y}, split: {time: day, gap: 7 days}}",
        "spec.yaml:2: data.split.gap: '7 days' is not a gap: write a number of rows, or 12h or 7d for dates",
    ),
    (
        "data: {dataset: {csv: t.csv, target: y}, split: {column: part, feature: true}}",
        "spec.yaml:2: data.split.feature: unknown key 'feature'. Known keys: column.",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, timeout: 10 minutes}",
        "spec.yaml:6: search.timeout: '10 minutes' is not a duration: write 90s, 10m, 1h30m or a number of seconds",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, timeout: -5}",
        "spec.yaml:6: search.timeout: cannot be -5: write a number above 0 or null",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, sampler: {name: tep}}",
        f"spec.yaml:6: search.sampler.name: unknown name 'tep'. Did you mean 'tpe'? Known names: {', '.join(sorted(SAMPLERS))}.",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, scheduler: hyperband}",
        "spec.yaml:6: search.scheduler: is a mapping, not 'hyperband': write {name: hyperband}",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, scheduler: {name: patience, epochs: 9}}",
        "spec.yaml:6: search.scheduler.epochs: 9 is not less than train.epochs (9), so it stops no trial: lower it or train longer",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, scheduler: {name: optuna, pruner: {name: hyperband, min_resource: 10}}}",
        "spec.yaml:6: search.scheduler.pruner.min_resource: 10 is more than train.epochs (9): lower it or train longer",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, scheduler: {name: optuna, pruner: {name: hyperband, min_resource: 4, max_resource: 3}}}",
        "spec.yaml:6: search.scheduler.pruner: max_resource (3) is less than min_resource (4): raise it",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, scheduler: {name: optuna, pruner: {name: threshold}}}",
        "spec.yaml:6: search.scheduler.pruner: needs a bound: write lower, upper or both",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, scheduler: {name: optuna, pruner: {name: threshold, lower: 2.0, upper: 1.0}}}",
        "spec.yaml:6: search.scheduler.pruner: lower (2.0) is above upper (1.0): exchange them",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, scheduler: {name: optuna, pruner: {name: percentile}}}",
        "spec.yaml:6: search.scheduler.pruner.percentile: is missing: write a number from 0 to 100",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, scheduler: {name: optuna, pruner: median}}",
        "spec.yaml:6: search.scheduler.pruner: is a mapping, not 'median': write {name: median}",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 8, cohort: 4, sampler: {name: random}}",
        "spec.yaml:6: search.cohort: cannot be 4: the sampler random proposes without regard to the shapes of other trials. Leave it at 1, or use one of auto, curve_gp, tpe",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 8, cohort: 4, scheduler: {name: pbt}}",
        "spec.yaml:6: search.cohort: cannot be 4: pbt begins with random draws without regard to the shapes of other trials. Leave it at 1, or use another scheduler",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, sampler: {name: random}, scheduler: {name: bohb}}",
        "spec.yaml:6: search.sampler.name: random cannot be fitted to one budget, which is what bohb does: use one of auto, bayesian, boosted_trees, extra_trees, forest, gp, tpe",
    ),
    (
        "search: {objective: [{maximize: accuracy}, {minimize: loss}], trials: 1, sampler: {name: gp}}",
        "spec.yaml:6: search.sampler.name: gp searches for one objective, and there are 2: use one of <samplers for several objectives>",
    ),
    (
        "search: {objective: [{maximize: accuracy}, {minimize: parameters}], trials: 1, scheduler: {name: bohb}}",
        "spec.yaml:6: search.scheduler.name: bohb fits its model to one objective, and there are 2: use hyperband, or keep one objective",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, sampler: {name: tpe, startup_trials: 4}, scheduler: {name: bohb}}",
        "spec.yaml:6: search.sampler.startup_trials: bohb decides how many results it needs: leave it out, or set its min_points",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, scheduler: {name: asha, min_epochs: 10}}",
        "spec.yaml:6: search.scheduler.min_epochs: 10 is more than train.epochs (9): lower it or train longer",
    ),
    (
        "search: {objective: {maximize: accuracy}, trials: 1, sampler: {name: grid}}\nspace: {model.dropout: {float: [0.0, 0.5]}}",
        "spec.yaml:7: space.model.dropout: is continuous, which grid cannot search: add a step or write choice",
    ),
    (
        "train: {epochs: 9, schedules: {model.dropout: {name: cosine}}}",
        "spec.yaml:5: train.schedules.model.dropout.to: is missing: write a number",
    ),
    (
        "optimizer: {name: lbfgs}",
        "spec.yaml:2: data.batch_size: cannot be 64: lbfgs takes all training rows in one step: write all",
    ),
    ("space: [model.dropout]", "spec.yaml:7: space: cannot be ['model.dropout']: write a mapping"),
    (
        "space: {model.dropuot: {float: [0.0, 0.5]}}",
        "spec.yaml:7: space.model.dropuot: there is no leaf 'model.dropuot'. Did you mean 'model.dropout'?",
    ),
    (
        "space: {dropout: {float: [0.0, 0.5]}}",
        "spec.yaml:7: space.dropout: there is no leaf 'dropout'. Did you mean 'model.dropout'? Write a path such as model.dropout.",
    ),
    (
        "space: {train.seed: {int: [0, 5]}}",
        "spec.yaml:7: space.train.seed: cannot vary: it is the same for all trials. Set train.seed in the spec",
    ),
    (
        "space: {train: {choice: [{epochs: 3}]}}",
        "spec.yaml:7: space.train: is a whole section: name the leaves that vary",
    ),
    (
        "space: {model.bias: [true, false]}",
        "spec.yaml:7: space.model.bias: is one value, not [true, false]: write {choice: [true, false]}",
    ),
    (
        "space: {model.name: [mlp, fourier]}",
        "spec.yaml:7: space.model.name: is one value, not ['mlp', 'fourier']: write {choice: ['mlp', 'fourier']}",
    ),
    (
        "space: {model.bias: [true, maybe]}",
        "spec.yaml:7: space.model.bias: cannot be [true, 'maybe']: write true or false",
    ),
    (
        "data: {dataset: digits, normalize: minmax, range: [1, -1]}",
        "spec.yaml:2: data.range: [1, -1] does not rise: write the lower end first, such as [-1, 1]",
    ),
    (
        "data: {dataset: digits, normalize: minmax, range: [1]}",
        "spec.yaml:2: data.range: cannot be [1]: write a list of 2 numbers",
    ),
    (
        "space: {data.dataset: {choice: [digits, wine]}}",
        "spec.yaml:7: space.data.dataset: cannot vary: it is the same for all trials. Set data.dataset in the spec",
    ),
    (
        "space: {model.dropout: {float: [0.5, 0.1]}}",
        "spec.yaml:7: space.model.dropout: low (0.5) must be below high (0.1): swap them, [0.1, 0.5]",
    ),
    (
        "space: {model.dropout: {float: [0.0, 1.0]}}",
        "spec.yaml:7: space.model.dropout: high cannot be 1.0: write a number from 0 to below 1",
    ),
    (
        "space: {model.dropout: {float: 0.5}}",
        "spec.yaml:7: space.model.dropout.float: cannot be 0.5: write [low, high]",
    ),
    (
        "space: {model.dropout: {float: [0, high]}}",
        "spec.yaml:7: space.model.dropout.float: 'high' is not a finite number: write [low, high]",
    ),
    (
        "space: {model.dropout: {float: [0.0, 0.5], log: true}}",
        "spec.yaml:7: space.model.dropout: low (0.0) must be above 0 for log: raise it or remove log",
    ),
    (
        "space: {model.dropout: {float: [0.1, 0.5], log: 1}}",
        "spec.yaml:7: space.model.dropout.log: cannot be 1: write true or false",
    ),
    (
        "space: {model.dropout: {float: [0.1, 0.5], log: true, step: 0.1}}",
        "spec.yaml:7: space.model.dropout: log and step exclude each other: remove one",
    ),
    (
        "space: {model.dropout: {float: [0.1, 0.5], step: 0.6}}",
        "spec.yaml:7: space.model.dropout.step: 0.6 is larger than the range from 0.1 to 0.5: write a smaller one",
    ),
    (
        "space: {model.dropout: {float: [0.1, 0.5], step: 0}}",
        "spec.yaml:7: space.model.dropout.step: cannot be 0: write a number above 0",
    ),
    (
        "space: {model.dropout: {float: [0.1, 0.5], choice: [0.1]}}",
        "spec.yaml:7: space.model.dropout: has both float and choice: write one of {float: [low, high]}, {int: [low, high]}, {choice: [...]}",
    ),
    (
        "space: {model.dropout: {log: true}}",
        "spec.yaml:7: space.model.dropout: has no distribution: write one of {float: [low, high]}, {int: [low, high]}, {choice: [...]}",
    ),
    (
        "space: {model.dropout: {flaot: [0.1, 0.5]}}",
        "spec.yaml:7: space.model.dropout.flaot: unknown key 'flaot'. Did you mean 'float'? Known keys: adapt, choice, derived, float, int, log, prior, step, value, when.",
    ),
    (
        "space: {model.dropout: {choice: [0.1, 0.2], log: true}}",
        "spec.yaml:7: space.model.dropout.log: does not go with choice: remove it, or write float or int",
    ),
    (
        "space: {model.dropout: {choice: []}}",
        "spec.yaml:7: space.model.dropout.choice: is empty: write at least one value",
    ),
    (
        "space: {model.dropout: {choice: 0.1}}",
        "spec.yaml:7: space.model.dropout.choice: cannot be 0.1: write a list of values",
    ),
    (
        "space: {model.dropout: {choice: [0.1, 0.2, 0.1]}}",
        "spec.yaml:7: space.model.dropout.choice[2]: 0.1 is listed twice: remove one",
    ),
    (
        "space: {model.dropout: 1.5}",
        "spec.yaml:7: space.model.dropout: cannot be 1.5: write a number from 0 to below 1",
    ),
    (
        "space: {model.dropout: {value: 1.5}}",
        "spec.yaml:7: space.model.dropout.value: cannot be 1.5: write a number from 0 to below 1",
    ),
    (
        "space: {data.batch_size: {int: [0, 64]}}",
        "spec.yaml:7: space.data.batch_size: low cannot be 0: write all or a whole number of at least 1",
    ),
    (
        "space: {data.batch_size: {int: [16, 64.5]}}",
        "spec.yaml:7: space.data.batch_size.int: 64.5 is not whole: write whole bounds, or float for int",
    ),
    (
        "space: {data.batch_size: {int: [16, 64], step: 1.5}}",
        "spec.yaml:7: space.data.batch_size.step: 1.5 is not whole: write a whole step, or float for int",
    ),
    (
        "space: {data.batch_size: {float: [16, 64]}}",
        "spec.yaml:7: space.data.batch_size: low cannot be 16.0: write all or a whole number of at least 1",
    ),
    (
        "space: {model.widths: {choice: [[64], [0]]}}",
        "spec.yaml:7: space.model.widths.choice[1]: cannot be [0]: write a list of whole numbers of at least 1",
    ),
    (
        "space: {model.norm: {choice: [none, bach]}}",
        "spec.yaml:7: space.model.norm.choice[1]: unknown name 'bach'. Did you mean 'batch'? Known names: batch, layer, none.",
    ),
    (
        "space: {model.name: {choice: [mlp, cmm]}}",
        "spec.yaml:7: space.model.name.choice[1]: unknown name 'cmm'. Known names: <models>.",
    ),
    (
        "space: {model: {float: [0, 1]}}",
        "spec.yaml:7: space.model: is not a number: write {choice: [...]}",
    ),
    (
        "space: {model: {choice: [{name: mlp}, {name: cnn, kernel: 0}]}}",
        "spec.yaml:7: space.model.choice[1].kernel: cannot be 0: write a whole number from 1 to 11 or a list of whole numbers from 1 to 11",
    ),
    (
        "space: {model: {choice: [mlp, {name: cnn}]}}",
        "spec.yaml:7: space.model.choice[0]: is a mapping, not 'mlp': write {name: mlp}",
    ),
    (
        "space: {model.kernel: {choice: [3, 5]}}",
        "spec.yaml:7: space.model.kernel: exists only where model.name is cnn or unet: add when: "
        "{model.name: [cnn, unet]}",
    ),
    (
        "space: {optimizer.beta1: {float: [0.8, 0.9]}}",
        "spec.yaml:7: space.optimizer.beta1: exists only where optimizer.name is adabelief or adam or adamax or adamw or adan or ademamix or amsgrad or lamb or lion or mechanic or muon or nadam or novograd or prodigy or radam or schedule_free or yogi: add when: {optimizer.name: [adabelief, adam, adamax, adamw, adan, ademamix, amsgrad, lamb, lion, mechanic, muon, nadam, novograd, prodigy, radam, schedule_free, yogi]}",
    ),
    (
        "space: {optimizer.name: {choice: [sgd, adam]}, optimizer.momentum: {float: [0.8, 0.9]}}",
        "spec.yaml:7: space.optimizer.momentum: exists only where optimizer.name is lars or momo or muon or rmsprop or sgd: add when: {optimizer.name: [lars, momo, muon, rmsprop, sgd]}",
    ),
    (
        "space: {optimizer.name: {choice: [sgd, adam]}, optimizer.momentum: {float: [0.8, 0.9], when: {optimizer.name: [sgd, adam]}}}",
        "spec.yaml:7: space.optimizer.momentum: exists only where optimizer.name is lars or momo or muon or rmsprop or sgd: add when: {optimizer.name: [lars, momo, muon, rmsprop, sgd]}",
    ),
    (
        "space: {optimizer.name: {choice: [sgd, adam]}, optimizer.momentum: {float: [0.8, 0.9], when: {optimizer.name: rmsprop}}}",
        "spec.yaml:7: space.optimizer.momentum.when.optimizer.name: is never 'rmsprop': write 'sgd' or 'adam'",
    ),
    (
        "space: {optimizer.name: {choice: [sgd, adam]}, optimizer.momentum: {float: [0.8, 0.9], when: {optimizer.name: sgdd}}}",
        "spec.yaml:7: space.optimizer.momentum.when.optimizer.name: unknown name 'sgdd'. Did you mean 'sgd'? Known names: <optimizers>.",
    ),
    (
        "space: {optimizer.momentum: {float: [0.8, 0.9], when: {optimizer.nam: sgd}}}",
        "spec.yaml:7: space.optimizer.momentum.when.optimizer.nam: unknown leaf 'optimizer.nam'. Did you mean 'optimizer.name'? Write a path such as optimizer.name",
    ),
    (
        "space: {optimizer.momentum: {float: [0.8, 0.9], when: sgd}}",
        "spec.yaml:7: space.optimizer.momentum.when: cannot be 'sgd': write one path, {optimizer.name: [sgd, rmsprop]}",
    ),
    (
        "space: {optimizer.momentum: {float: [0.8, 0.9], when: {}}}",
        "spec.yaml:7: space.optimizer.momentum.when: cannot be {}: write one path, {optimizer.name: [sgd, rmsprop]}",
    ),
    (
        "space: {optimizer.momentum: {float: [0.8, 0.9], when: {optimizer.name: []}}}",
        "spec.yaml:7: space.optimizer.momentum.when.optimizer.name: is empty: write at least one value",
    ),
    (
        "space: {optimizer.momentum: {float: [0.8, 0.9], when: {optimizer.momentum: 0.8}}}",
        "spec.yaml:7: space.optimizer.momentum.when.optimizer.momentum: cannot look at the entry's own leaf: name another",
    ),
    (
        "space: {optimizer.momentum: {float: [0.8, 0.9], when: {model.dropout: 0.1}}, model.dropout: {float: [0.0, 0.5]}}",
        "spec.yaml:7: space.optimizer.momentum.when.model.dropout: model.dropout is continuous: look at one with int or choice",
    ),
    (
        "space: {model.norm: {choice: [none, layer], when: {model.activation: relu}}, model.activation: {choice: [relu, tanh], when: {model.norm: none}}}",
        "spec.yaml:7: space.model.norm.when: conditions form a circle: model.activation, model.norm. Remove one",
    ),
    (
        "space: {optimizer.nesterov: {choice: [true, false], when: {optimizer.momentum: 2}}}",
        "spec.yaml:7: space.optimizer.nesterov.when.optimizer.momentum: cannot be 2: write a number from 0 to below 1",
    ),
    (
        "space: {optimizer.schedule.name: {choice: [cosine, exponential]}, optimizer.schedule.final: {float: [0.0, 0.1], when: {optimizer.schedule.name: [cosine, exponential]}}}",
        "spec.yaml:7: space.optimizer.schedule.final: low cannot be 0.0: write a number above 0 and at most 1",
    ),
    (
        "optimizer: {name: sgd, schedule: {name: cosine, final: 0.0}}\nspace: {optimizer.schedule.name: {choice: [cosine, exponential]}}",
        "spec.yaml:7: space.optimizer.schedule.name: with 'exponential', optimizer.schedule.final cannot be 0.0: write a number above 0 and at most 1",
    ),
    (
        "space: {include: optimizr}",
        "spec.yaml:7: space.include: there is no space 'optimizr'. Did you mean 'optimizer'? Known spaces: <search spaces>.",
    ),
    (
        "space: {include: [../x]}",
        "spec.yaml:7: space.include: cannot be '../x': write a name or [names]",
    ),
    (
        "space: {include: [adamw, regularization]}",
        "spec.yaml:7: space.include: optimizer.weight_decay differs between included spaces: give it in this spec's space",
    ),
    (
        "study: {storage: hpo.db}",
        "spec.yaml:8: study.storage: 'hpo.db' is not a database URL: write sqlite:///hpo.db",
    ),
    (
        "study: {storage: /tmp/my.db}",
        "spec.yaml:8: study.storage: '/tmp/my.db' is not a database URL: write sqlite:////tmp/my.db",
    ),
    (
        "study: {storage: 'sqlite:/hpo.db'}",
        "spec.yaml:8: study.storage: 'sqlite:/hpo.db' is not a database URL: write one such as sqlite:///hpo.db",
    ),
    (
        "study: {storage: 'sqlite:///:memory:'}",
        "spec.yaml:8: study.storage: 'sqlite:///:memory:' names no file: write one such as sqlite:///hpo.db",
    ),
    (
        "study: {storage: 'sqlite://hpo.db'}",
        "spec.yaml:8: study.storage: 'sqlite://hpo.db' names no file: write one such as sqlite:///hpo.db",
    ),
    (
        "study: {storag: x}",
        "spec.yaml:8: study.storag: unknown key 'storag'. Did you mean 'storage'? Known keys: checkpoint_seconds, storage.",
    ),
    (
        "model.dropout: 0.3",
        "spec.yaml:8: model.dropout: dotted keys are for the space: write model: {dropout: ...}",
    ),
    (
        "name: other\n  x: [",
        "spec.yaml:8: is not YAML (expected <block end>, but found '<block mapping start>'): check the indentation and the brackets above",
    ),
    (
        "space: {model.norm: layer, model.norm: batch}",
        "spec.yaml:7: space.model.norm: is given twice, on line 7: remove one",
    ),
    (
        "space: {model.norm: layer, true: batch}",
        "spec.yaml:7: the key true is not a name: write a name or quote it",
    ),
]


def spec_text(changed: str) -> str:
    """A valid spec with the sections in `changed` put in place of its own (`-model`: left out)."""
    lines = dict(LINES)
    for line in changed.split("\n"):
        key = line.partition(":")[0]
        if key.startswith("-"):
            del lines[key[1:]]
        else:
            lines[key] = line
    return "\n".join(lines.values()) + "\n"


def mistakes(text: str, folder: Path, *overrides: str) -> list[str]:
    """The lines that loading a spec answers with, its folder left out."""
    path = folder / "spec.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_experiment(path, overrides)
    return [line.replace(f"{folder}/", "") for line in caught.value.mistakes]


@pytest.mark.parametrize(("changed", "message"), ROWS)
def test_a_mistake_is_one_line_that_names_the_place_and_the_cure(tmp_path, changed, message):
    assert mistakes(spec_text(changed), tmp_path) == [with_lists(message)]


def test_every_wrong_value_of_a_choice_is_a_mistake_of_its_own(tmp_path):
    text = spec_text(
        "space: {model.widths: {choice: [[8], [0], 3]}, model.norm: {choice: [none, none, none]}}"
    )
    assert [line.split(": ")[:3] for line in mistakes(text, tmp_path)] == [
        ["spec.yaml:7", "space.model.norm.choice[1]", "'none' is listed twice"],
        ["spec.yaml:7", "space.model.norm.choice[2]", "'none' is listed twice"],
        ["spec.yaml:7", "space.model.widths.choice[1]", "cannot be [0]"],
        ["spec.yaml:7", "space.model.widths.choice[2]", "cannot be 3"],
    ]


def test_all_mistakes_of_a_file_come_at_once_in_its_order(tmp_path):
    text = spec_text(
        "data: {dataset: digits, validation: 2.5}\nmodel: {name: mlp, dropout: 2}\n"
        "search: {objective: {maximize: accuracy}, trials: 0}\n"
        "space: {include: [none_such], optimizer.momentum: {float: [0.9, 0.8]}, model.norm: bach}"
    )
    lines = mistakes(text, tmp_path, "train.epochs=0", "modle.name=mlp")
    assert [line.split(": ")[:2] for line in lines] == [
        ["spec.yaml:2", "data.validation"],
        ["spec.yaml:3", "model.dropout"],
        ["spec.yaml:6", "search.trials"],
        ["spec.yaml:7", "space.include"],
        ["spec.yaml:7", "space.optimizer.momentum"],
        ["--set modle.name=mlp", "modle"],
        ["--set train.epochs=0", "cannot be 0"],
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.dropout=2", "cannot be 2: write a number from 0 to below 1"),
        ("model.dropout", "is not an override: write path=value, model.dropout=0.3"),
        ("=3", "is not an override: write path=value, model.dropout=0.3"),
        ("model.name=mpl", "unknown name 'mpl'. Did you mean 'mlp'? Known names: <models>."),
        ("model={name: mlp, widths: 3}", "model.widths: cannot be 3: write a list of whole numbers of at least 1"),
        ("model.widths=[3", "is not YAML (expected ',' or ']', but got '<stream end>'): check the indentation, brackets and quotes there"),
        ("train.epochs=", "cannot be null: write a whole number of at least 1"),
        ("model.norm=batch", "changes nothing, because model.norm varies: write --set space.model.norm=batch"),
        ("space.model.norm=bach", "unknown name 'bach'. Did you mean 'batch'? Known names: batch, layer, none."),
        ("space.model.dropout.float=[0.5, 0.1]", "space.model.dropout: low (0.5) must be below high (0.1): swap them, [0.1, 0.5]"),
        ("search.trials=-1", "cannot be -1: write a whole number from 1 to 1000000"),
        ("search.trials=100000000", "cannot be 100000000: write a whole number from 1 to 1000000"),
        ("study.storage=hpo.db", "'hpo.db' is not a database URL: write sqlite:///hpo.db"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_override_names_the_override(tmp_path, override, message):
    text = spec_text("space: {model.norm: {choice: [none, layer]}}")
    assert mistakes(text, tmp_path, override) == [f"--set {override}: {with_lists(message)}"]


def test_a_mistake_in_an_included_space_names_its_file_and_line(tmp_path):
    (tmp_path / "mine.yaml").write_text("# mine\nmodel.dropout: {float: [0.0, 1.0]}\n")
    assert mistakes(spec_text("space: {include: mine}"), tmp_path) == [
        "mine.yaml:2: model.dropout: high cannot be 1.0: write a number from 0 to below 1"
    ]


def test_an_included_file_that_is_not_yaml_names_its_line(tmp_path):
    (tmp_path / "mine.yaml").write_text("model.dropout: [\n")
    (line,) = mistakes(spec_text("space: {include: mine}"), tmp_path)
    assert line.startswith("mine.yaml:2: is not YAML")


@pytest.mark.parametrize("name", ["none.yaml", ""])
def test_a_file_that_cannot_be_read_is_the_users_to_fix(tmp_path, name):
    with pytest.raises(SpecError, match=r"no such file|is a folder"):
        load_experiment(tmp_path / name)


def test_a_stored_document_with_a_mistake_names_where_it_is_kept(tmp_path):
    document = yaml.safe_load(spec_text("train: {epochs: 0}"))
    with pytest.raises(SpecError) as caught:
        experiment_from_document(document, tmp_path, "study 'digits'")
    assert caught.value.mistakes == [
        "study 'digits': train.epochs: cannot be 0: write a whole number of at least 1"
    ]


def test_a_package_that_is_missing_is_said_of_a_file_and_not_of_a_stored_study(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("hpo.spec.sections.search.find_spec", lambda name: None)
    search = "search: {objective: {maximize: accuracy}, trials: 1, sampler: {name: optuna_gp}}"
    assert mistakes(spec_text(search), tmp_path) == [
        "spec.yaml:6: search.sampler.name: optuna_gp needs the package torch, which is not installed: pip install 'hpo-lanes[optuna_gp]', or use another sampler"
    ]
    assert experiment_from_document(yaml.safe_load(spec_text(search)), tmp_path).search


@pytest.mark.parametrize("scheduler", ["bohb", "pbt"])
def test_a_scheduler_that_asks_for_certain_samplers_takes_the_default_one(tmp_path, scheduler):
    text = spec_text(
        f"search: {{objective: {{maximize: accuracy}}, trials: 9, scheduler: {{name: {scheduler}}}}}"
    )
    (tmp_path / "spec.yaml").write_text(text.replace("space: {}", SPACE_OF_ONE))
    experiment = load_experiment(tmp_path / "spec.yaml")
    assert experiment.search.sampler.name == "auto"


SPACE_OF_ONE = "space: {optimizer.learning_rate: {float: [0.001, 0.1], log: true}}"
