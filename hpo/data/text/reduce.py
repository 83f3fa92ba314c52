"""Words as their stems or lemmas."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from hpo.data.text.extras import imported
from hpo.errors import DataError
from hpo.spec.sections.columns import Text

# The codes of simplemma, which is named for languages that Snowball has no stems of, too.
LEMMA_CODES = {
    "albanian": "sq",
    "ancient_greek": "grc",
    "arabic": "ar",
    "armenian": "hy",
    "asturian": "ast",
    "bulgarian": "bg",
    "catalan": "ca",
    "czech": "cs",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "esperanto": "eo",
    "estonian": "et",
    "finnish": "fi",
    "french": "fr",
    "gaelic": "gd",
    "galician": "gl",
    "georgian": "ka",
    "german": "de",
    "greek": "el",
    "hebrew": "he",
    "hindi": "hi",
    "hungarian": "hu",
    "icelandic": "is",
    "indonesian": "id",
    "irish": "ga",
    "italian": "it",
    "latin": "la",
    "latvian": "lv",
    "lithuanian": "lt",
    "luxembourgish": "lb",
    "macedonian": "mk",
    "malay": "ms",
    "malayalam": "ml",
    "manx": "gv",
    "middle_english": "enm",
    "northern_sami": "se",
    "norwegian": "nb",
    "nynorsk": "nn",
    "persian": "fa",
    "polish": "pl",
    "portuguese": "pt",
    "romanian": "ro",
    "russian": "ru",
    "serbo_croatian": "hbs",
    "slovak": "sk",
    "slovene": "sl",
    "spanish": "es",
    "swahili": "sw",
    "swedish": "sv",
    "tagalog": "tl",
    "turkish": "tr",
    "ukrainian": "uk",
    "welsh": "cy",
}
_WORDS_KEPT = 1 << 17


def language_of(spec: Text) -> str:
    """The language of stems or lemmas, by the name that their library has for it."""
    return LEMMA_CODES[spec.language] if spec.reduce == "lemma" else spec.language


def reducer(spec: Text) -> Callable[[str], str] | None:
    """The function from a word to its stem or lemma, or None if words stay as they are.

    Raises:
        DataError: if the library is not installed, or does not know the language.
    """
    if spec.reduce == "none":
        return None
    return _stems(spec.language) if spec.reduce == "stem" else _lemmas(spec.language)


def _stems(language: str) -> Callable[[str], str]:
    library = imported("snowballstemmer", "reduce: stem")
    if language not in library.algorithms():
        raise DataError(
            f"data.text.language: Snowball has no stems of {language}: write reduce: lemma."
        )
    stem: Callable[[str], str] = library.stemmer(language).stemWord
    return lru_cache(maxsize=_WORDS_KEPT)(stem)


def _lemmas(language: str) -> Callable[[str], str]:
    library = imported("simplemma", "reduce: lemma")

    def lemma(word: str) -> str:
        found: str = library.lemmatize(word, lang=LEMMA_CODES[language])
        return found

    try:
        lemma("a")
    except (KeyError, ValueError):
        raise DataError(
            f"data.text.language: simplemma has no lemmas of {language}: write reduce: stem."
        ) from None
    return lru_cache(maxsize=_WORDS_KEPT)(lemma)
