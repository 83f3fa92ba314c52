"""Goes on with a text by an exported model. It needs NumPy and onnxruntime alone.

From a shell: python predict.py --prompt "The little" --length 200
From Python: `Model(folder).generate("The little", length=200)`
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np


class TextError(ValueError):
    """A text that the model cannot go on with."""


class Model:
    """An exported model: the files `model.onnx` and `schema.json` of a folder.

    Its tokens are characters, bytes or parts of words. Those of `schema.json` are written with a
    letter for each of their bytes in UTF-8, the letter of that number.
    """

    def __init__(self, folder: str | Path) -> None:
        import onnxruntime

        place = Path(folder)
        self.schema = json.loads((place / "schema.json").read_text(encoding="utf-8"))
        self._engine = onnxruntime.InferenceSession(
            str(place / "model.onnx"), engine_options(), providers=["CPUExecutionProvider"]
        )
        tokens: list[str] = self.schema["tokens"]
        self._places = {token: place for place, token in enumerate(tokens) if token}
        self._bytes = [token.encode("latin-1") for token in tokens]
        self._cut: Callable[[str], Sequence[str]] = _characters
        if self.schema["cut"] == "bytes":
            self._cut = _bytes
        elif self.schema["cut"] == "bpe":
            self._cut = runpy.run_path(str(place / "texts.py"))["bpe_parts"](self.schema["merges"])

    def encode(self, text: str) -> list[int]:
        """The tokens of a text.

        Raises:
            TextError: for an empty one, or a character that no text of the training had.
        """
        found = [self._places.get(token, -1) for token in self._cut(text)]
        if not found:
            raise TextError("the prompt is empty: give --prompt a text, or a file with one")
        if -1 in found:
            token = self._cut(text)[found.index(-1)].encode("latin-1").decode("utf-8", "replace")
            raise TextError(f"the model does not know {token!r}, which its training text lacks")
        return found

    def read(self, file: Path) -> str:
        """The text of a file, in the encoding of the training's."""
        if self.schema["cut"] == "bytes":
            return file.read_bytes().decode("utf-8", "surrogateescape")
        return file.read_bytes().decode(self.schema["encoding"]).removeprefix("\ufeff")

    def chances(self, tokens: np.ndarray) -> np.ndarray:
        """The chance of each token to come next at each place, `[rows, length, tokens]`.

        `tokens` are int32 `[rows, length]`. What follows a place changes nothing there.
        """
        found: np.ndarray = self._engine.run(None, {"tokens": tokens})[0]
        return found

    def generate(
        self, prompt: str, length: int = 200, temperature: float = 1.0, seed: int = 0
    ) -> str:
        """`length` tokens that the model writes after a prompt, as a text without the prompt.

        A token is drawn by its chance, the `temperature`-th root of it, or is the likeliest for 0.

        Raises:
            TextError: for a prompt that the model cannot go on with.
        """
        size, numbers = self.schema["length"], self.encode(prompt)
        rng, start = np.random.default_rng(seed), len(numbers)
        can_be_written = np.array([bool(token) for token in self._bytes])
        for _ in range(length):
            seen = numbers[-size:]
            row = np.zeros((1, size), np.int32)
            row[0, : len(seen)] = seen
            chances = self.chances(row)[0, len(seen) - 1] * can_be_written
            numbers.append(_drawn(chances, temperature, rng))
        found = b"".join(self._bytes[number] for number in numbers[start:])
        return found.decode("utf-8", "replace")


def engine_options() -> Any:
    """Options of onnxruntime by which products of int8 are exact on every processor.

    Without VNNI, processors of x86 add two of them in 16 bits, which may cut the sum off. There
    onnxruntime can take slower instructions.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; a warning would not be the user's
    try:
        is_exact = "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        is_exact = False
    if not is_exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def _characters(text: str) -> list[str]:
    return [letter.encode("utf-8", "surrogatepass").decode("latin-1") for letter in text]


def _bytes(text: str) -> list[str]:
    # A surrogate stands for a byte that is no UTF-8.
    return list(text.encode("utf-8", "surrogateescape").decode("latin-1"))


def _drawn(chances: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    if temperature == 0:
        return int(chances.argmax())
    with np.errstate(divide="ignore"):
        logits = np.log(chances) / temperature
    weights = np.exp(logits - logits.max())
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def main() -> None:
    """Go on with the text of a file, or with a prompt."""
    parser = argparse.ArgumentParser(description="Goes on with a text by an exported model.")
    parser.add_argument("text", type=Path, nargs="?", help="a file with the text")
    parser.add_argument("--prompt", help="the text itself, instead of a file")
    parser.add_argument("--length", type=int, default=200, help="tokens to write")
    parser.add_argument("--temperature", type=float, default=1.0, help="0 writes the likeliest")
    parser.add_argument("--seed", type=int, default=0, help="of drawn tokens")
    parser.add_argument("-o", dest="out", default="-", help="file to write; else stdout")
    parser.add_argument("--force", action="store_true", help="replace the file of -o")
    asked = parser.parse_args()
    if (asked.text is None) == (asked.prompt is None):
        parser.error("goes on with a text: give a file, or --prompt TEXT")
    if asked.length < 1 or asked.seed < 0 or not 0 <= asked.temperature <= 100:
        parser.error("--length is at least 1, --seed at least 0, --temperature from 0 to 100")
    place = Path(asked.out)
    if asked.out != "-" and (place.is_dir() or not place.absolute().parent.is_dir()):
        _refuse(f"-o {place}: cannot be written there: give a file in a folder that exists")
    if asked.out != "-" and place.exists() and not asked.force:
        _refuse(f"-o {asked.out}: exists: give another name, or --force to replace it")
    try:
        model = Model(Path(__file__).parent)
        prompt = asked.prompt if asked.text is None else model.read(asked.text)
        found = model.generate(prompt, asked.length, asked.temperature, asked.seed)
        if asked.out == "-":
            sys.stdout.write(f"{found}\n")
            sys.stdout.flush()
        else:
            Path(asked.out).write_text(found, encoding="utf-8", newline="")
    except BrokenPipeError:  # who reads has seen enough; Python would tell of what is left at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ImportError as error:
        _refuse(f"{error}: pip install -r requirements.txt")
    except (OSError, ValueError) as error:
        _refuse(str(error))


def _visible(text: str) -> str:
    """A text that does not steer the terminal, whatever the cells of a table hold."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _refuse(why: str) -> NoReturn:
    """End with a sentence, and the code of a mistake."""
    print(_visible(f"predict.py: {why}"), file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
