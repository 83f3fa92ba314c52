"""Words that a spec leaves out of texts: a known list, the spec's own, or those of a file."""

from __future__ import annotations

from pathlib import Path

from hpo.errors import DataError
from hpo.spec.sections.columns import Text
from hpo.spec.words import shown

_FIELD = "data.text.stop_words"


def with_stop_words(spec: Text, folder: Path) -> Text:
    """The spec with the stop words themselves for a name or a file.

    Raises:
        DataError: for a file that cannot be read or holds no word.
    """
    words: tuple[str, ...] = ()
    if (named := spec.files.get("stop_words")) is not None:
        words = _words_in(folder / Path(named).expanduser(), named)
    elif spec.stop_words == "english":
        # scikit-learn's list; its import takes most of a second.
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        words = tuple(sorted(ENGLISH_STOP_WORDS))
    elif not isinstance(spec.stop_words, str):
        words = spec.stop_words
    if spec.lower:
        words = tuple(word.lower() for word in words)
    return spec.model_copy(update={"stop_words": words})


def _words_in(path: Path, named: str) -> tuple[str, ...]:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{_FIELD}: {path}: is not UTF-8: save it as UTF-8.") from None
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise DataError(
            f"{_FIELD}: {shown(named)} cannot be read ({reason}): write english, a list of words, "
            "or a file with one word a line, from the folder of the spec."
        ) from None
    words = tuple(filter(None, map(str.strip, text.splitlines())))
    if not words:
        raise DataError(f"{_FIELD}: {path}: holds no word: write one word a line.")
    return words
