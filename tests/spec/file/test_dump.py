"""Specs written as YAML."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

from hpo.spec.file.document import parse_yaml
from hpo.spec.file.dump import dump_spec

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(["", "yes", "null", "1e-3", "0x1", "10m", "a: b", "a #b", "---", "-", "sqlite:///a.db"]),
)  # fmt: skip
KEYS = st.one_of(st.from_regex(r"[a-z_.]+", fullmatch=True), st.text("ab\"': #\n{}é", max_size=5))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def same(one: object, other: object) -> bool:
    return repr(one) == repr(other)


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=5), st.text("ab# :\n\t", max_size=9))
def test_what_is_written_loads_back_to_equal_values(document, remark):
    comments = {str(key): remark for key in document}
    text = dump_spec(document, comments, header=remark)
    assert same(parse_yaml(text, "f").values, document)


def test_short_parts_go_on_one_line_and_commented_ones_in_blocks():
    document = {
        "name": "digits",
        "model": {"name": "mlp", "widths": [128, 128], "dropout": 0.1},
        "optimizer": {"name": "adamw", "learning_rate": 1e-3, "schedule": {"name": "cosine"}},
        "search": {"timeout": "10m", "objective": {"maximize": "accuracy"}},
        "study": {"storage": "sqlite:///hpo.db"},
    }
    text = dump_spec(document, {"optimizer.learning_rate": "importance 0.6"}, "Trial 17 of digits")
    assert text == (
        "# Trial 17 of digits\n"
        "name: digits\n"
        "model: {name: mlp, widths: [128, 128], dropout: 0.1}\n"
        "optimizer:\n"
        "  name: adamw\n"
        "  learning_rate: 1.0e-3  # importance 0.6\n"
        "  schedule: {name: cosine}\n"
        "search: {timeout: 10m, objective: {maximize: accuracy}}\n"
        "study: {storage: sqlite:///hpo.db}\n"
    )


def test_a_comment_with_control_characters_can_be_read_back():
    text = dump_spec({"a": 1}, {"a": "from \x1b[2J, \u202ex"}, "Trial of \x07 the study")

    assert text == "# Trial of \\x07 the study\na: 1  # from \\x1b[2J, \\u202ex\n"
    assert yaml.safe_load(text) == {"a": 1}
