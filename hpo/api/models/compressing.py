"""`hpo.compress`: a trained model made smaller, in a process of its own, kept in a folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hpo.api.running import data_of_today, trained_from
from hpo.api.stream import Stream, wait_for
from hpo.api.surroundings import data_home
from hpo.errors import HpoError
from hpo.trained.remote import local_model, send_again, written_to

if TYPE_CHECKING:
    from hpo.spec.experiment import Experiment
    from hpo.trained.compress import Compressed, Wanted  # imports JAX


def compress(
    model: str | Path,
    folder: str | Path,
    *,
    sparsity: float = 0.7,
    unit: Literal["weight", "unit"] = "weight",
    bits: int = 4,
    rank: int | None = None,
    activation_bits: int | None = None,
    teacher: bool = False,
    epochs: int | None = None,
    learning_rate: float | None = None,
    device: str | None = None,
    force: bool = False,
    quiet: bool = False,
    trust_code: bool = False,
) -> Compressed:
    """Train the model in a folder to be smaller; keep it in `folder`. Both may be URLs.

    It trains on as its spec says, with its data, in a process of its own. `sparsity` is the share
    of the weights that become 0, one by one or by `unit`; 0 cuts none. The others get `bits` bits;
    32 leaves them. What layers read gets `activation_bits`. `rank` writes layers as products of two
    arrays, and with `teacher` the model learns the answers that it gave before, too. `epochs` and
    `learning_rate` are those of its first training if left out; with 0 epochs no weight learns, and
    `sparsity` must be 0. Ctrl-C stops the training; the same call goes on from there.

    The result has `bytes_before` and `bytes_after`, the metrics by split `before` and `after`, and
    the new `model`.

    Raises:
        SpecError: for numbers that no training can have.
        HpoError: for a folder without a model that can be made smaller, data that are not there,
            a training that diverges, and anything else that the user can fix.
    """
    there = local_model(model)
    request = {
        "command": "compress",
        "model": str(there),
        "wanted": [sparsity, unit, bits, teacher, epochs, learning_rate, rank, activation_bits],
        "folder": str(folder),
        "device": device,
        "force": force,
        "quiet": quiet,
        "trust_code": trust_code,
    }
    check_apart(there, str(folder))
    wait_for(Stream(request, str(model), None))
    from hpo.trained.compress import before_and_after  # imports JAX

    return before_and_after(there, local_model(folder), trusts_code=True)


def run_compression(
    model: Path,
    wanted: Wanted,
    out: str,
    train: Callable[[Experiment, Path], object],
    *,
    device: str | None = None,
    force: bool = False,
    trust_code: bool = False,
) -> Compressed | None:
    """Make a model smaller in this process; `train` trains an experiment into a folder.

    None where a URL gets what an earlier run has made and could not send.

    Raises:
        HpoError: for what the user can fix.
    """
    from hpo.trained.compress import before_and_after, compressing
    from hpo.trained.save import check_free

    check_apart(model, out)
    if "://" not in out:
        check_free(Path(out), force)
    experiment = compressing(model, wanted, data_home(), device, is_trusted=trust_code)
    about = trained_from(experiment, is_refit=False)
    data = partial(data_of_today, experiment, trust_code=trust_code)
    if send_again(out, about, data, is_replaced=force):
        return None
    with written_to(out, is_replaced=force, about=about) as folder:
        train(experiment, folder)
        return before_and_after(model, folder)


def check_apart(model: Path, out: str) -> None:
    """Refuse to write a model over the one that it is made from.

    Raises:
        HpoError: for such a folder or URL.
    """
    from hpo.data.remote import url_of

    for own in (str(model), url_of(model) or str(model)):
        if _place(out) == _place(own):
            raise HpoError(f"-o {out}: holds the model to compress: give another folder.")
        if _place(out).startswith(f"{_place(own)}/"):
            raise HpoError(f"-o {out}: is in the folder of the model to compress: give another.")


def _place(folder: str) -> str:
    """The same text for all names of a folder or URL."""
    path = folder.removeprefix("file://")
    return folder.rstrip("/") if "://" in path else str(Path(path).resolve())
