"""Chinese texts as words, by the dictionary of jieba."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from hpo.data.text.extras import imported


def chinese_words(text: str) -> list[str]:
    """The words of a text, as `jieba.lcut` finds them, without spaces.

    Raises:
        DataError: if jieba is not installed.
    """
    return [word for word in _lcut()(text) if not word.isspace()]


@cache
def _lcut() -> Callable[[str], list[str]]:
    library = imported("jieba", "tokens: jieba")
    tokenizer: Any = library.Tokenizer()
    # By itself jieba keeps its dictionary in the folder for temporary files, where any other user
    # may put another one.
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    found: Callable[[str], list[str]] = tokenizer.lcut
    return found
