"""Running texts for a language model: how well it foresees one, and texts that it writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from hpo.data.dataset import DataSet
from hpo.data.readers.text import read_text
from hpo.data.sequences.language import numbers_of
from hpo.data.source import Source
from hpo.data.text.bpe import bpe_vocabulary
from hpo.errors import DataError, HpoError
from hpo.spec.sections.data import TextFile
from hpo.trained.kinds.tokens import known_tokens
from hpo.trained.model import Model


def language_model(model: object, folder: Path) -> Model:
    """The model itself, if it is one of a language.

    Raises:
        HpoError: if it is not.
    """
    if not isinstance(model, Model) or model.description.task != "language":
        raise HpoError(f"{folder}: is no single model of a language: give it rows to answer.")
    return model


def text_score(model: Model, path: Path) -> dict[str, float]:
    """The metrics of a model for a text, such as `bits_per_byte`.

    Raises:
        HpoError: for a model of several seeds, or a text that is unfit or too short.
    """
    if len(model.members) > 1:
        raise HpoError(f"{model.folder}: --score is for one model: train with one seed.")
    (member,) = model.members
    return model.metrics_on(member, model.split(member, text_in(model, path)))


def text_in(model: Model, path: Path) -> Source:
    """The text of a file, read as that of the training.

    Raises:
        DataError: for a file that cannot be read.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such text: correct the path.")
    return read_text(path, model.training.data)


def prompt_in(model: Model, path: Path) -> str:
    """The text of a file.

    Raises:
        DataError: for a file that cannot be read.
    """
    codes = text_in(model, path).y
    if codes.dtype == np.uint8:
        return codes.tobytes().decode("utf-8", "surrogateescape")
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def written(
    model: Model,
    prompt: str,
    count: int,
    temperature: float,
    seed: int,
    watch: Callable[[int], None] = lambda _: None,
) -> str:
    """`count` tokens that the model writes after a prompt, as a text without the prompt.

    Each token is drawn by its chance, the `temperature`-th root of it, or is the likeliest one
    for 0. The same seed draws the same ones. The model sees as many tokens as a row has.

    Raises:
        HpoError: for a prompt without a token.
    """
    spec = model.training.data.dataset
    assert isinstance(spec, TextFile)
    numbers = [*_prompt(model, spec, prompt)]
    rng, names, start = np.random.default_rng(seed), token_bytes(model, spec), len(numbers)
    step = _chances(model)
    for done in range(count):
        seen = numbers[-spec.length :]
        row = np.zeros((1, spec.length), np.int32)
        row[0, : len(seen)] = seen
        chances = step(row, len(seen) - 1)
        # A character that no training text has cannot be written.
        chances = chances * np.array([bool(name) for name in names])
        numbers.append(_drawn(chances, temperature, rng))
        watch(done + 1)
    return b"".join(names[number] for number in numbers[start:]).decode("utf-8", "replace")


def _drawn(chances: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    if temperature == 0:
        return int(chances.argmax())
    with np.errstate(divide="ignore"):
        logits = np.log(chances) / temperature
    weights = np.exp(logits - logits.max())
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def _chances(model: Model) -> Callable[[np.ndarray, int], np.ndarray]:
    """The function from a row of tokens and a place in it to the chances of the next token."""

    def of_all(row: np.ndarray, place: int) -> np.ndarray:
        found = [
            model.next_chances(member.weights, row, np.int32(place)) for member in model.members
        ]
        mean: np.ndarray = np.mean(np.array(jax.device_get(found), np.float64), axis=0)
        return mean

    return of_all


def _prompt(model: Model, spec: TextFile, prompt: str) -> np.ndarray:
    codes = np.frombuffer(prompt.encode("utf-32-le", "surrogatepass"), "<u4")
    if spec.tokens == "bytes":
        codes = np.frombuffer(_utf8(prompt), np.uint8)
    numbers = numbers_of(codes, spec, model.members[0].data.transform)
    if not len(numbers):
        raise HpoError("the prompt is empty: give --prompt a text, or a file that is not empty.")
    return known_tokens(numbers, model.description.outputs, "the prompt")


def _utf8(text: str) -> bytes:
    """The bytes of a text, in which a surrogate stands for a byte that is no UTF-8."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a character, which no file holds
        return text.encode("utf-8", "surrogatepass")


def token_bytes(model: Model, spec: TextFile) -> list[bytes]:
    """The bytes of each token; none for characters that the training text lacks."""
    data: DataSet = model.members[0].data
    if spec.tokens == "bytes":
        return [bytes([number]) for number in range(256)]
    if spec.tokens == "bpe":
        return [token.encode("latin-1") for token in bpe_vocabulary(data.transform.more["merges"])]
    known = [chr(code).encode("utf-8", "replace") for code in data.transform.more["token_code"]]
    return known + [b""] * (model.description.outputs - len(known))
