"""Estimates how long a program takes to compile and to run, in seconds of a CPU core.

The constants were measured on a core of a server of 2020 and serve to compare mergings. `Costs`
scales them by the times that this machine needed for earlier programs.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from hpo.engine.models.sizes import Size
from hpo.own_files import own_folder, read_own, write_own

# Compiling: the seconds for a program without layers, and for each layer, convolution and merged
# leaf. Each bound adds this share of the sum.
_COMPILE, _COMPILE_LAYER, _COMPILE_CONVOLUTION, _COMPILE_MERGED = 1.9, 0.25, 1.2, 0.25
_COMPILE_BOUND = 0.5
# The number of cores that one compile uses.
COMPILING_CORES = 1.6
# Running: operations per second of a matrix product and of a convolution. Then seconds for a step,
# for a weight in an optimizer's update, and for a weight in a sum of gradients.
_DENSE_RATE, _CONVOLVED_RATE = 80e9, 40e9
_STEP, _UPDATE, _ADD = 6e-6, 1.3e-9, 0.5e-9
# The weight of a new measurement against all earlier ones.
_WEIGHT = 0.3
_MOST_MOVED = 4.0
# No machine is that much slower or faster: such a file is damaged.
_MOST_RATIO = 1e6


@dataclass(frozen=True)
class Costs:
    """This machine's times to compile and to run, as multiples of the constants above."""

    compiling: float = 1.0
    running: float = 1.0

    def compile_seconds(
        self, layers: int, convolutions: int, merged: int, bounds: int = 0
    ) -> float:
        """Seconds to compile a program with that many layers, merged leaves and bounds."""
        seconds = _COMPILE + _COMPILE_LAYER * layers + _COMPILE_CONVOLUTION * convolutions
        seconds += _COMPILE_MERGED * merged
        return self.compiling * seconds * (1 + _COMPILE_BOUND * bounds)

    def step_seconds(self, size: Size, rows: int, parts: int, gradients: int = 1) -> float:
        """Seconds of one step that processes a batch of `rows` in `parts` micro-batches.

        It does so once for each of its `gradients`.
        """
        # A backward pass costs two forward passes; each weight needs a multiplication and an
        # addition.
        operations = 6 * rows * (size.dense / _DENSE_RATE + size.convolved / _CONVOLVED_RATE)
        sums = _ADD * size.weights * parts if parts > 1 else 0.0
        once = _STEP * parts + operations + sums
        return self.running * (gradients * once + _UPDATE * size.weights)

    def seen(self, compiling: float | None, running: float | None) -> Costs:
        """These costs, updated by the measured times as multiples of the estimated ones."""
        return Costs(_moved(self.compiling, compiling), _moved(self.running, running))

    @property
    def rounded(self) -> Costs:
        """These costs, rounded to powers of two: noise does not change a study's merging."""
        return Costs(*(2.0 ** round(math.log2(ratio)) for ratio in (self.compiling, self.running)))


def _moved(known: float, ratio: float | None) -> float:
    if ratio is None or not math.isfinite(ratio) or ratio <= 0:
        return known
    # One measurement on a busy machine must not decide the merging of later studies.
    ratio = min(max(ratio, known / _MOST_MOVED), known * _MOST_MOVED)
    return math.exp((1 - _WEIGHT) * math.log(known) + _WEIGHT * math.log(ratio))


def read_costs(folder: Path | None) -> Costs:
    """The costs that earlier runs have measured on this machine."""
    own = folder and own_folder(folder)
    if content := own and read_own(own / _FILE):
        with suppress(ValueError, TypeError, RecursionError):
            costs = Costs(**json.loads(content))
            if all(1 / _MOST_RATIO <= ratio <= _MOST_RATIO for ratio in asdict(costs).values()):
                return costs
    return Costs()


def write_costs(folder: Path | None, costs: Costs) -> None:
    """Write costs for later runs, in a folder of the user's own (see `own_folder`)."""
    if own := folder and own_folder(folder):
        write_own(own / _FILE, json.dumps(asdict(costs)).encode())


_FILE = "costs.json"
