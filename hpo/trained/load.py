"""Reads the folder of a trained model."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.errors import HpoError
from hpo.trained.save import (
    ENSEMBLE_FILE,
    MEMBERS_FOLDER,
    METRICS_FILE,
    ONNX_FILE,
    SCRIPT_FILE,
    SPEC_FILE,
    WEIGHTS_FOLDER,
    SplitMetrics,
)

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame

    from hpo.trained.ensembles.ensemble import Answering  # imports JAX
    from hpo.trained.predict import NewData


@dataclass(frozen=True)
class TrainedModel:
    """A model that `hpo.train` has left in `folder`.

    `metrics` are those of the splits `validation` and `test` (None without a test split) with the
    weights that are kept; NaN where they are not finite. `epochs` is how many it trained. With
    several seeds or folds `metrics` are what judges them together, and `deviations` are their
    standard deviations; it is empty with one.
    With folds, those of `test` are of the mean prediction, or of the one model of `refit`.
    `seconds` is how long the training took. `trusts_code` lets it run the code of the user's own
    that its spec names.
    """

    folder: Path
    name: str
    metrics: SplitMetrics
    deviations: SplitMetrics
    epochs: int
    seconds: float
    trusts_code: bool = field(default=False, compare=False)

    @classmethod
    def read(cls, folder: str | Path) -> TrainedModel:
        """The model in a folder.

        Raises:
            HpoError: for a folder that `hpo train` has not written.
        """
        document = metrics_document(Path(folder))
        try:
            return cls(
                Path(folder),
                _a(str, document["name"]),
                _splits(document["metrics"]),
                _splits(document.get("deviations", {})),
                _a(int, document["epochs"]),
                _number(document["seconds"]),
            )
        except (KeyError, TypeError) as error:
            raise _unreadable(Path(folder)) from error

    def predict(self, data: str | Path | DataFrame, *, raw: bool = False) -> DataFrame:
        """The answers for the rows of a file or a DataFrame, a column each, as a DataFrame.

        A URL is fetched. A folder of Parquet files is a table, too.

        Categories that no training row has are answered without, with a warning. `raw` gives the
        chances of classes without the temperature that was fitted on validation.

        Raises:
            HpoError: for data that are unfit, or a folder that cannot predict.
        """
        import pandas as pd

        from hpo.trained.predict import answers  # imports JAX

        if self._loaded.description.task == "segmentation":
            raise HpoError(f"{self.folder}: answers with masks, which are no columns: call masks.")
        new = self._read(data, with_target=False)
        pieces = [pd.DataFrame(dict(one)) for one in answers(self._loaded, new, is_raw=raw)]
        return pd.concat(pieces, ignore_index=True)

    def masks(self, data: str | Path) -> np.ndarray:
        """The class of each pixel of the images of a file or a folder, `[N, height, width]`.

        Raises:
            HpoError: for data that are unfit, or a model of no masks.
        """
        import numpy as np

        from hpo.trained.answers import MASK
        from hpo.trained.predict import answers

        if self._loaded.description.task != "segmentation":
            raise HpoError(f"{self.folder}: has no masks: call predict.")
        pieces = answers(self._loaded, self._read(data, with_target=False))
        return np.concatenate([one[MASK] for one in pieces])

    def generate(
        self, prompt: str, *, length: int = 200, temperature: float = 1.0, seed: int = 0
    ) -> str:
        """The text that a language model writes after a prompt: `length` tokens.

        They are drawn by their chances; a `temperature` of 0 takes the likeliest ones.

        Raises:
            HpoError: for a prompt that it does not know, or a model of no language.
        """
        from hpo.trained.kinds.text import language_model, written

        model = language_model(self._loaded, self.folder)
        return written(model, prompt, length, temperature, seed)

    def score(self, data: str | Path | DataFrame) -> dict[str, float]:
        """The metrics of the answers for rows with targets, or for a text, by their names.

        Raises:
            HpoError: for data that are unfit or lack the target, or a folder that cannot predict.
        """
        if self._loaded.description.task == "language" and isinstance(data, str | Path):
            from hpo.trained.kinds.text import language_model, text_score
            from hpo.trained.remote import local_data

            return text_score(language_model(self._loaded, self.folder), local_data(data))
        return self._loaded.score(self._read(data, with_target=True).source)

    @cached_property
    def _loaded(self) -> Answering:
        from hpo.trained.ensembles.ensemble import load_answering  # imports JAX

        return load_answering(self.folder, is_trusted=self.trusts_code)

    def _read(self, data: str | Path | DataFrame, *, with_target: bool) -> NewData:
        from hpo.trained.predict import read_new
        from hpo.trained.remote import local_data

        source = local_data(data) if isinstance(data, str | Path) else data
        new = read_new(self._loaded, source, with_target=with_target)
        for note in new.notes:
            warnings.warn(note, stacklevel=3)
        return new

    def curve(self) -> DataFrame:
        """The validation metrics of each epoch as a pandas DataFrame, indexed by epoch.

        Raises:
            HpoError: if the folder's files have changed since, and hold no curve.
        """
        import pandas as pd

        try:
            rows = [_numbers(row) for row in _a(list, metrics_document(self.folder)["curve"])]
            return pd.DataFrame(rows).astype({"epoch": "int64"}).set_index("epoch")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _unreadable(self.folder) from error


def load(folder: str | Path, *, trust_code: bool = False) -> TrainedModel:
    """The model in a folder that `hpo train` wrote; its training data need not be there.

    The folder may be a URL, such as `s3://bucket/model`, which is copied to this machine.
    `trust_code` runs the code of your own that its spec names.

    Raises:
        HpoError: for another folder.
    """
    from hpo.trained.remote import local_model  # imports pydantic

    return replace(TrainedModel.read(local_model(folder)), trusts_code=trust_code)


def data_fingerprint(folder: Path) -> Any:
    """The fingerprint of the data that a model was trained on; None where its folder has none.

    Raises:
        HpoError: for a folder that `hpo train` has not written.
    """
    provenance = metrics_document(folder).get("provenance")
    return provenance.get("data_fingerprint") if isinstance(provenance, dict) else None


def weights_hash(folder: Path) -> str:
    """A hash of all weights in the folder of a model or an ensemble, by their bytes."""
    digest, place, shares = hashlib.sha256(), folder / WEIGHTS_FOLDER, folder / ENSEMBLE_FILE
    files = [path for path in place.rglob("*") if path.is_file()]
    if shares.is_file():
        place = folder / MEMBERS_FOLDER
        files = [path for path in place.glob(f"*/{WEIGHTS_FOLDER}/**/*") if path.is_file()]
        digest.update(shares.read_bytes())
    for file in sorted(files):
        digest.update(f"{file.relative_to(place)}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def metrics_document(folder: Path) -> dict[str, Any]:
    """What `metrics.json` of a folder says.

    Raises:
        HpoError: for a folder that `hpo train` has not written.
    """
    check_no_export(folder)
    try:
        text = (folder / METRICS_FILE).read_text(encoding="utf-8")
        document: dict[str, Any] = _a(dict, json.loads(text))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise _unreadable(folder) from error
    return document


def read_spec(folder: Path) -> dict[str, Any]:
    """The spec of a trained model as plain values.

    Raises:
        HpoError: for a folder without one, and for a file that is none.
    """
    from hpo.spec.file.document import parse_yaml
    from hpo.spec.file.include import read_text

    file = folder / SPEC_FILE
    if not file.is_file():
        raise HpoError(f"{folder}: has no {SPEC_FILE}: give a folder that hpo train wrote.")
    values = parse_yaml(read_text(file), str(file)).values
    if not isinstance(values, dict):
        raise HpoError(f"{file}: is no spec of a model: give a folder that hpo train wrote.")
    return values


def check_no_export(folder: Path) -> None:
    """Refuse what `hpo export-model` has written, which other programs run.

    Raises:
        HpoError: for such a folder.
    """
    if (folder / ONNX_FILE).is_file() and (folder / SCRIPT_FILE).is_file():
        raise HpoError(
            f"{folder}: is an export, which answers without hpo: run `python "
            f"{folder / SCRIPT_FILE} new.csv`, or give the folder that hpo train wrote."
        )


def _unreadable(folder: Path) -> HpoError:
    return HpoError(f"{folder / METRICS_FILE}: cannot be read: give a folder that hpo train wrote.")


def _splits(found: Any) -> SplitMetrics:
    return {split: None if row is None else _numbers(row) for split, row in _a(dict, found).items()}


def _numbers(row: Any) -> dict[str, float]:
    # JSON has no NaN: null stands for it.
    return {
        name: math.nan if value is None else _number(value) for name, value in _a(dict, row).items()
    }


def _number(value: Any) -> float:
    number: float = _a((int, float), value)
    return number


def _a(kind: Any, value: Any) -> Any:
    """The value of a file, if it is of that kind.

    Raises:
        TypeError: if it is not.
    """
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{value!r:.80} is no {kind}")
    return value
