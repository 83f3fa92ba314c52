"""What a spec says about the columns of a table: all of them, some by name, and those of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, field_serializer, model_validator

from hpo.spec.marks import Count, Fixed, Host, NonNegative, ReadWhere, Spec, Static, fixed

Tokens = Literal["auto", "words", "characters", "bytes", "bpe", "jieba"]
Vectors = Literal["tfidf", "counts", "mean", "ids"]
# The languages of which there are stems (Snowball) or lemmas (simplemma).
# fmt: off
Language = Literal[
    "albanian", "ancient_greek", "arabic", "armenian", "asturian", "basque", "bulgarian",
    "catalan", "czech", "danish", "dutch", "english", "esperanto", "estonian", "finnish",
    "french", "gaelic", "galician", "georgian", "german", "greek", "hebrew", "hindi",
    "hungarian", "icelandic", "indonesian", "irish", "italian", "latin", "latvian",
    "lithuanian", "luxembourgish", "macedonian", "malay", "malayalam", "manx",
    "middle_english", "nepali", "northern_sami", "norwegian", "nynorsk", "persian", "polish",
    "portuguese", "romanian", "russian", "serbian", "serbo_croatian", "sesotho", "slovak",
    "slovene", "spanish", "swahili", "swedish", "tagalog", "tamil", "turkish", "ukrainian",
    "welsh", "yiddish",
]
# fmt: on
Impute = Literal["median", "mean", "most_frequent", "constant"]
Encode = Literal["one_hot", "ordinal", "target", "hashing", "embed"]
Transform = Literal["none", "log", "quantile"]
ColumnType = Literal["auto", "category", "boolean", "date", "text"]
Smoothing = Literal["auto"] | NonNegative
# A column with more different texts than this holds names, dates or sentences, not categories.
MOST_CATEGORIES = 1000
_WORDS = ReadWhere("tokens", ("auto", "words"))
_ANY_WORDS = ReadWhere("tokens", ("auto", "words", "jieba"))
_COUNTED = ReadWhere("vectors", ("tfidf", "counts"))
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class Column(Spec):
    """A column by its name; what is left out is as for all columns."""

    type: ColumnType = "auto"
    """What the cells are. `auto`: numbers, categories, or dates where there are very many. `date`:
    day, month, year, weekday and hour. `text`: sentences, which become what `data.text` says."""
    drop: bool = False
    """Whether the column is left out."""
    impute: Impute | None = None
    """What an empty cell becomes."""
    constant: _Finite | None = None
    """The number of `impute: constant`."""
    flag: bool | None = None
    """Whether a further feature says where cells are empty."""
    encode: Encode | None = None
    """How categories become numbers."""
    buckets: Count | None = None
    """Features of `encode: hashing`."""
    smoothing: Smoothing | None = None
    """Weight of the overall mean in `encode: target`."""
    transform: Transform | None = None
    """What changes the numbers before they are scaled."""
    features: Count | None = None
    """The most tokens of `type: text` that are features; by default, as `data.text` says."""


class Treatment(NamedTuple):
    """How one column becomes features: its own leaves, and those for all columns elsewhere."""

    type: ColumnType
    drop: bool
    impute: Impute
    constant: float
    flag: bool
    encode: Encode
    buckets: int
    smoothing: float | Literal["auto"]
    transform: Transform
    features: int | None

    @property
    def has_usual_fill(self) -> bool:
        """Whether empty cells get a median or the most frequent text."""
        return self.impute == "median" and self.type != "text"

    @property
    def may_be_sentences(self) -> bool:
        """Whether sentences are read as such where they are too many for categories."""
        return self.type == "auto" and self.encode == "one_hot"

    @property
    def is_one_hot(self) -> bool:
        """Whether categories of the column become a feature each."""
        return self.type != "text" and self.encode == "one_hot"


class Columns(Spec):
    """How the columns of a table become features, fitted on the training split alone."""

    impute: Host[Impute] = "median"
    """What an empty number becomes. An empty text becomes the most frequent one; with `constant`,
    a category of its own."""
    constant: Host[_Finite] = 0.0
    """The number of `impute: constant`."""
    flag: Static[bool] = False
    """Whether each column with empty training cells gets a further feature, 1 where a cell is
    empty."""
    encode: Static[Encode] = "one_hot"
    """How categories become numbers. `ordinal`: their place in sorted order. `target`: the mean
    target of their training rows; that of a training row is of other rows. `hashing`: one of a
    fixed number of features, for any text. `embed`: a vector that the model learns, of
    `model.embedding` numbers; empty cells share that of new categories, whatever `impute` says."""
    buckets: Static[Count] = 64
    """Features of each column with `encode: hashing`."""
    smoothing: Host[Smoothing] = "auto"
    """How many rows of the overall mean `encode: target` adds to each category; `auto`: by the
    variances."""
    transform: Host[Transform] = "none"
    """What changes numbers before they are scaled. `log`: log(1 + |x|) with the sign of x;
    `quantile`: to a normal distribution, by the training quantiles."""
    by_name: Annotated[Mapping[str, Column], AfterValidator(fixed)] = Fixed()
    """Columns that differ from the others, as in `{city: {encode: hashing}, id: {drop: true}}`."""

    @field_serializer("by_name")
    def _short(self, by_name: Mapping[str, Column]) -> dict[str, Any]:
        return {name: one.model_dump(exclude_defaults=True) for name, one in by_name.items()}

    def of_all(self, names: Sequence[str]) -> list[Treatment]:
        """How the columns of these names become features."""
        usual = self.of("")
        return [self.of(name) if name in self.by_name else usual for name in names]

    def of(self, name: str) -> Treatment:
        """How the column of this name becomes features."""
        own = self.by_name.get(name, Column())
        found: dict[str, Any] = {}
        for field in Treatment._fields:
            value = getattr(own, field)
            found[field] = getattr(self, field, None) if value is None else value
        return Treatment(**found)


def _rising(lengths: tuple[int, int]) -> tuple[int, int]:
    if lengths[0] > lengths[1]:
        raise ValueError("falls: write the shorter length first, such as [1, 2]")
    return lengths


Lengths = Annotated[tuple[Count, Count], Field(strict=False), AfterValidator(_rising)]
StopWords = str | Annotated[tuple[str, ...], Field(strict=False)]


class Text(Spec):
    """How the texts of a column become features, fitted on the training split alone."""

    tokens: Static[Tokens] = "auto"
    """The parts of a text. `words`: runs of letters and digits. `bpe`: frequent parts of words and
    whole words, found in the training rows. `jieba`: Chinese words. `auto`: words, or characters
    where most training letters are of a script without spaces, such as Chinese."""
    lower: Static[bool] = True
    """Whether texts are lowercased."""
    punctuation: Static[Literal["remove", "keep"]] = "remove"
    """Whether punctuation marks and symbols become spaces. Marks that are kept are words of their
    own."""
    shortest: Annotated[Static[Count], _WORDS] = 2
    """Fewest letters of a word; shorter ones are left out."""
    stop_words: Annotated[Static[StopWords], _ANY_WORDS] = "none"
    """Words to leave out: `english`, a list, or a file with one word a line."""
    reduce: Annotated[Static[Literal["none", "stem", "lemma"]], _WORDS] = "none"
    """What words are cut down to. `stem`: without endings, by the rules of Snowball. `lemma`: the
    form in a dictionary, by simplemma."""
    language: Annotated[Static[Language], ReadWhere("reduce", ("stem", "lemma"))] = "english"
    """The language of stems and lemmas."""
    vocabulary: Static[Count] = 8000
    """The most different tokens of `tokens: bpe`, and of `vectors: mean` or `ids`: the most
    frequent ones."""
    vectors: Static[Vectors] = "tfidf"
    """What a text becomes. `counts`: how often it has each token. `tfidf`: these, weighted by how
    rare a token is, with length 1. `mean`: the mean of the `embeddings` of its tokens. `ids`: the
    number of each token in order, for models of sequences."""
    ngrams: Annotated[Static[Lengths], _COUNTED] = (1, 1)
    """Fewest and most tokens in a row that are a feature together."""
    features: Annotated[Static[Count], _COUNTED] = 1000
    """The most tokens (or runs of them) that are features: the most frequent ones."""
    embeddings: Annotated[Static[str | None], ReadWhere("vectors", ("mean", "ids"))] = None
    """A file with a vector for each word: of GloVe, of word2vec in text, or `.npz` with the arrays
    `words` and `vectors`."""
    length: Annotated[Static[Count], ReadWhere("vectors", ("ids",))] = 64
    """The tokens of a text that become `ids`: the first ones. 0 fills the place of missing ones."""

    synonyms: Annotated[Static[str | None], ReadWhere("vectors", ("ids",))] = None
    """A file for `augment.synonyms`: in each line a word and what may stand in its place, divided
    by tabs."""
    homophones: Annotated[Static[str | None], ReadWhere("vectors", ("ids",))] = None
    """The same for `augment.homophones`: words that sound alike."""

    @model_validator(mode="after")
    def _with_files(self) -> Text:
        if self.vectors == "mean" and self.embeddings is None:
            raise ValueError(
                "vectors: mean needs embeddings: name a file with a vector of each word"
            )
        for name in ("synonyms", "homophones"):
            if getattr(self, name) is not None and self.tokens in ("bpe", "bytes"):
                raise ValueError(
                    f"{name} are whole words, and tokens: {self.tokens} are parts of them: write "
                    f"tokens: words, or remove {name}"
                )
        return self

    @property
    def files(self) -> dict[str, str]:
        """The leaves that name a file, and their files."""
        named = {name: getattr(self, name) for name in ("embeddings", "synonyms", "homophones")}
        found = {leaf: file for leaf, file in named.items() if file is not None}
        if isinstance(self.stop_words, str) and self.stop_words not in ("none", "english"):
            found["stop_words"] = self.stop_words
        return found


class Reduce(Spec):
    """Fewer features: the directions in which scaled features vary most, or the best of them."""

    name: Static[Literal["none", "pca", "select"]] = "none"
    """`pca`: principal components of the scaled numbers of a table, or of whole images. `select`:
    those that say most about the target, by their mutual information."""
    components: Annotated[
        Static[Count | Annotated[float, Field(gt=0, lt=1)]], ReadWhere("name", ("pca",))
    ] = 0.95
    """How many components, or the share of the variance that they keep at least."""
    # Not in the text of the others, so that fingerprints of data sets stay.
    features: Annotated[
        Static[Annotated[int, Field(ge=1, repr=False)]], ReadWhere("name", ("select",))
    ] = 20
    """How many features are selected."""
