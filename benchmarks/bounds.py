"""What bounds the speed of the jobs: their float32 operations, and the rates of one core at them.

    .venv/bin/python -m benchmarks.bounds           # operations of a trial, and their least seconds
    .venv/bin/python -m benchmarks.bounds --parts   # the convolutions of the residual network

Rates are those of CPU time, so that a busy machine changes them little.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from hpo.api.surroundings import data_home
from hpo.data.load import load_data
from hpo.engine.models.convolution import convolve
from hpo.engine.programs.footprint import known_costs
from hpo.spec.load import load_experiment

HERE = Path(__file__).resolve().parent
JOBS = ("series_lstm", "sst2_transformer", "realmlp_folds", "fashion_resnet", "fashion_cnn")
# Examples, and the height, channels, filters and stride of each 3x3 convolution of the network.
_BATCH = 128
_CONVOLUTIONS = (
    (28, 1, 16, 1),
    (28, 16, 16, 1),
    (28, 16, 32, 2),
    (14, 32, 32, 1),
    (14, 32, 64, 2),
    (7, 64, 64, 1),
)


def trial_operations(spec: str) -> float:
    """The floating-point operations of one trial: a backward pass costs two forward passes."""
    training = load_experiment(HERE / f"{spec}.yaml").training
    data = load_data(training.data, HERE, data_home())
    rows = 3 * (len(data.train) - len(data.train) % training.data.step_rows) + len(data.validation)
    forward = known_costs(training, data, "cpu", ("flops",))["flops"]
    return float(training.train.epochs * (len(data.folds) or 1) * rows * forward)


def core_seconds(step: Callable[[Any], Any], state: Any, count: int) -> float:
    """The CPU seconds of a step in a loop, as training steps run: the least of four tries."""
    loop = jax.jit(lambda state: jax.lax.fori_loop(0, count, lambda _, state: step(state), state))
    jax.block_until_ready(loop(state))
    times = []
    for _ in range(4):
        start = time.process_time()
        jax.block_until_ready(loop(state))
        times.append(time.process_time() - start)
    return min(times) / count


def peak_rate(size: int = 1024) -> float:
    """Operations per second of a core on a large product."""
    a = jnp.full((size, size), 1e-3)
    return 2 * size**3 / core_seconds(lambda x: a @ x, a, 3)


def parts(height: int, channels: int, filters: int, stride: int) -> tuple[float, list[float]]:
    """The operations of a convolution over a batch; seconds forward and of both gradients."""
    x, kernel = jnp.ones((_BATCH, height, height, channels)), jnp.ones((3, 3, channels, filters))
    places = -(-height // stride)
    dy = jnp.ones((_BATCH, places, places, filters))

    def forward(x: Any, kernel: Any) -> Any:
        return convolve(x, kernel, "cpu", stride, ((1, 1), (1, 1)))

    def of_x(dy: Any) -> Any:
        return dy + 1e-9 * jax.vjp(lambda x: forward(x, kernel), x)[1](dy)[0].mean()

    def of_kernel(dy: Any) -> Any:
        return dy + 1e-9 * jax.vjp(lambda kernel: forward(x, kernel), kernel)[1](dy)[0].mean()

    seconds = [core_seconds(lambda x: x + 1e-9 * forward(x, kernel).mean(), x, 3)]
    seconds += [core_seconds(step, dy, 3) for step in (of_x, of_kernel)]
    return 2.0 * dy.size * 9 * channels, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", action="store_true", help="time the convolutions one by one")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if arguments.parts:
        for shape in _CONVOLUTIONS:
            operations, seconds = parts(*shape)
            found = ", ".join(f"{1e3 * s:.1f} ms ({operations / s / 1e9:.0f})" for s in seconds)
            print(
                f"{shape}: {operations / 1e9:.2f} GFLOP; forward, inputs, kernel: {found} GFLOP/s"
            )
        return
    rate = peak_rate()
    print(f"{rate / 1e9:.0f} GFLOP/s a core")
    for spec in JOBS:
        operations = trial_operations(spec)
        print(f"{spec}: {operations / 1e9:.0f} GFLOP a trial, {operations / rate:.2f} s of a core")


if __name__ == "__main__":
    main()
