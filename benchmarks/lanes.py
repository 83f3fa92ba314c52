"""Throughput of one core against the number of its lanes, and its share of the core's peak.

Prints JSON. The peak is the best rate of one device on a square matrix product. `products` is its
rate on the matrix products of this model alone, without the rest of a step.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hpo.data.load import load_data
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.spec.fill import fill
from hpo.spec.load import load_experiment

HERE = Path(__file__).resolve().parent
# One forward and two backward products; the first layer needs no gradient of its input.
FORWARD, BACKWARD = 1, 2


def seconds_of(run: Callable[[], Any], least: float) -> float:
    """The time of one run: the minimum of several that take `least` seconds together."""
    jax.block_until_ready(run())
    times, end = [], time.perf_counter() + least
    while time.perf_counter() < end:
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return min(times)


def peak_flops(device: Any, least: float, size: int = 1024) -> float:
    a = jax.device_put(np.random.default_rng(0).random((size, size), np.float32), device)
    product = jax.jit(lambda a: a @ a)
    return 2 * size**3 / seconds_of(lambda: product(a), least)


def product_flops(
    device: Any, batch: int, sizes: list[int], least: float, steps: int = 50
) -> float:
    """Flops per second of only the forward and backward products of a step."""
    rng = np.random.default_rng(0)
    layers = list(itertools.pairwise(sizes))
    weights = [jax.device_put(rng.random(shape, np.float32), device) for shape in layers]
    rows = [jax.device_put(rng.random((batch, size), np.float32), device) for size in sizes]

    def step(_: int, state: tuple[Any, Any]) -> tuple[Any, Any]:
        # Each step depends on the previous one, so that XLA moves nothing out of the loop.
        weights, rows = state
        outputs = [x @ w for x, w in zip(rows, weights, strict=False)]
        gradients = [x.T @ out for x, out in zip(rows, outputs, strict=False)]
        inputs = [out @ w.T for out, w in zip(outputs[1:], weights[1:], strict=False)]
        weights = [w + 1e-9 * g for w, g in zip(weights, gradients, strict=True)]
        changed = [x + 1e-9 * i for x, i in zip(rows[1:-1], inputs, strict=True)]
        return weights, [rows[0] + 1e-9 * outputs[0].sum(), *changed, rows[-1]]

    loop = jax.jit(lambda w, x: jax.lax.fori_loop(0, steps, step, (w, x)))
    seconds = seconds_of(lambda: loop(weights, rows), least)
    return steps * step_flops(batch, sizes) / seconds


def step_flops(batch: int, sizes: list[int]) -> float:
    layers = list(itertools.pairwise(sizes))
    every = sum(2 * batch * a * b for a, b in layers)
    first = 2 * batch * sizes[0] * sizes[1]
    return (FORWARD + BACKWARD) * every - first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure, at least")
    arguments = parser.parse_args()
    experiment = load_experiment(HERE / "fixed_mlp.yaml")
    data = load_data(experiment.training.data, HERE, None)
    device, rng = local_devices("cpu")[0], np.random.default_rng(0)
    training = experiment.training
    sizes = [data.train.x[0].size, *training.model.widths, data.outputs]
    batch = training.data.batch_size
    epoch_flops = (len(data.train) // batch) * step_flops(batch, sizes)
    epoch_flops += step_flops(len(data.validation), sizes) / (FORWARD + BACKWARD)

    peak = peak_flops(device, arguments.seconds)
    products = product_flops(device, batch, sizes, arguments.seconds)
    rows = []
    for form in ("map", "vmap"):
        for lanes in arguments.lanes:
            pool = Pool(device, Compiler())
            for lane in range(lanes):
                hparams = experiment.space.draw(rng)
                filled = fill(training, hparams, lane)
                program, knobs = split(filled, data, "cpu", experiment.space.varying)
                if lane == 0:
                    pool.load(program, Plans(Plan(form, lanes)), data)  # type: ignore[arg-type]
                pool.put(lane, lane, filled, knobs, None, 10**6)
            pool.round()
            before, start = pool.epochs_trained, time.perf_counter()
            while time.perf_counter() - start < arguments.seconds:
                pool.round()
            rate = (pool.epochs_trained - before) / (time.perf_counter() - start)
            flops = rate * epoch_flops
            rows.append({"form": form, "lanes": lanes, "epochs_a_second": rate, "flops": flops})
    print(json.dumps({"peak_flops": peak, "product_flops": products, "rows": rows}))


if __name__ == "__main__":
    main()
