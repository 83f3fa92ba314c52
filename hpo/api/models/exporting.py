"""`hpo.export_model` and `hpo.bench`: a trained model for other programs, and how fast it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hpo.api.surroundings import data_home
from hpo.errors import HpoError
from hpo.trained.remote import local_data, local_model

if TYPE_CHECKING:
    from hpo.trained.exported.bench import Timing  # imports JAX
    from hpo.trained.exported.folder import Exported


def export_model(
    model: str | Path,
    out: str | Path,
    *,
    format: Literal["onnx", "stablehlo"] = "onnx",
    rows: str | Path | None = None,
    precision: Literal["float32", "float16", "int8"] = "float32",
    tolerance: float | None = None,
    device: str | None = None,
    force: bool = False,
    trust_code: bool = False,
) -> Exported:
    """Write a trained model as a folder that onnxruntime runs alone, or as a file of StableHLO.

    Answers are compared before anything is written: on the `rows` of a file, or else on those that
    validate. A difference above `tolerance` is refused; by default above 1e-5, and in float16 and
    int8 above 0.02 and 0.25.

    The result has the bytes of the model (`size`), the `rows` that were compared, the largest
    `difference`, and where those rows have judged no training the `metrics` of both. `units` are
    the hidden units of both where some are cut, and how many of those that `stay` are cut, too. Of
    int8 with the levels of the model, `kept` says what has them, and `rows_apart` counts rows that
    differ by more than rounding.

    Raises:
        HpoError: for a model that cannot be written so, or answers otherwise.
    """
    _check_export(format, precision, tolerance)
    from hpo.trained.ensembles.ensemble import load_answering  # imports JAX
    from hpo.trained.exported import folder
    from hpo.trained.exported.precision import TOLERANCES

    folder.check_extra(format)
    there = local_model(model)
    loaded = load_answering(there, device, is_trusted=trust_code)
    data, folders = None if rows is None else local_data(rows), (Path.cwd(), there.parent)
    source = folder.rows_to_compare(loaded, data, folders, data_home(), is_trusted=trust_code)
    export = folder.export_onnx if format == "onnx" else folder.export_stablehlo
    most = TOLERANCES[precision] if tolerance is None else tolerance
    # Every row of folds has trained a member.
    is_judged = rows is None and not loaded.training.data.folds
    return export(
        loaded, Path(out), source, most, precision, is_judged=is_judged, is_replaced=force
    )


def bench(
    model: str | Path, *, device: str | None = None, trust_code: bool = False
) -> list[Timing]:
    """The median times of the calls of a trained model, by engine and by rows at once.

    Each has the name of its `engine`, the `rows` of a call, its `milliseconds` and the
    `rows_a_second`. Engines that are not installed, or cannot run the model, are left out.

    Raises:
        HpoError: for a folder that cannot predict.
    """
    return run_bench(local_model(model), warnings.warn, device=device, trust_code=trust_code)


def run_bench(
    model: Path, say: Callable[[str], object], *, device: str | None, trust_code: bool
) -> list[Timing]:
    """The times of a model; `say` gets why an engine is left out."""
    from hpo.trained.ensembles.ensemble import load_answering  # imports JAX
    from hpo.trained.exported.bench import timings, without_engine

    loaded = load_answering(model, device, is_trusted=trust_code)
    if (reason := without_engine(loaded)) is not None:
        say(f"onnxruntime is left out: {reason}")
    return [*timings(loaded)]


def _check_export(form: Any, precision: Any, tolerance: float | None) -> None:
    """Refuse what the options of the command line refuse, too.

    Raises:
        HpoError: for a value that is not known.
    """
    for option, value, names in (
        ("--format", form, ("onnx", "stablehlo")),
        ("--precision", precision, ("float32", "float16", "int8")),
    ):
        if value not in names:
            raise HpoError(f"{option} {value}: is not known: give {' or '.join(names)}.")
    if tolerance is not None and not tolerance >= 0:
        raise HpoError(f"--tolerance {tolerance}: is below 0: give another.")
