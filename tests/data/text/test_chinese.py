"""Chinese words, beside jieba's own."""

from __future__ import annotations

import logging

import pytest

from hpo.data.text.chinese import chinese_words
from tests.data.text.samples import CHINESE, sentences

jieba = pytest.importorskip("jieba", reason="the extra text is not installed")


def test_words_are_those_of_jieba(tmp_path):
    jieba.setLogLevel(logging.CRITICAL)
    jieba.dt.tmp_dir = str(tmp_path)  # its own cache, which we neither read nor write
    for text in [*sentences(20, 0, CHINESE, ""), "我来到北京清华大学 and 2024年"]:
        assert chinese_words(text) == [word for word in jieba.lcut(text) if word != " "]
    assert chinese_words("我来到北京清华大学") == ["我", "来到", "北京", "清华大学"]
