"""The features of examples as nodes of an ONNX graph: what `FittedTransform.apply` computes.

Numbers are float64 until they are scaled, as they are there. Texts are read by operators of
`ai.onnx.ml`: each becomes the number of its category.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpo.data.transforms.encoding import OWN, PARTS
from hpo.data.transforms.features import Features
from hpo.data.transforms.resizing import BITS, matrix_of
from hpo.data.transforms.texts import text_fits
from hpo.data.transforms.transform import FittedTransform
from hpo.trained.exported.graph import Graph
from hpo.trained.exported.quantiles import add_quantiles

# The code of a category that no training row has. Known ones are at least 0, an empty cell is -1.
_UNKNOWN = -2
PAST = "past"  # the input that has the values of the target in each window


class Inputs(NamedTuple):
    """The inputs of a graph: those of the columns of a table, or examples that are arrays.

    `numbers` are float64 `[rows, columns]` with NaN in empty cells, `texts` are strings that are
    empty there. None where there are no such columns. Of a series, a row of the batch is a window,
    and its rows follow each other here.
    """

    numbers: str | None = None
    texts: str | None = None
    arrays: str | None = None
    window: int | None = None


def add_inputs(
    graph: Graph, features: Features, *, has_categories: bool = True, window: int | None = None
) -> Inputs:
    """The inputs of a graph for such examples; without categories, columns of texts have none.

    A table with a `window` is a series.
    """
    if not features.is_table and window is None:
        return Inputs(arrays=graph.input("x", features.type, features.shape))
    numbers, texts = len(features.numbers), len(features.texts)
    if not has_categories:
        texts = 0  # tokens are inputs of their own
    return Inputs(
        _input_of_rows(graph, "numbers", np.float64, numbers, window) if numbers else None,
        _input_of_rows(graph, "texts", str, texts, window) if texts else None,
        window=window,
    )


def _input_of_rows(graph: Graph, name: str, kind: type, width: int, window: int | None) -> str:
    """The columns of rows; those of windows are an input `[batch, window, width]`."""
    if window is None:
        return graph.input(name, kind, [width])
    windows = graph.input(name, kind, [window, width])
    return graph.add("Reshape", windows, graph.constant([-1, width], np.int64))


def add_windows(
    graph: Graph, rows: str | None, fit: FittedTransform, width: int, window: int
) -> str:
    """Windows of the past, float32, of the features of their rows, float32 `[rows, width]`.

    The past values of the target are an input, in its own unit, and stand beside the features. They
    stand alone in a series that has no other column.
    """
    if PAST not in graph.inputs:
        graph.input(PAST, np.float64, [window])
    away = graph.add("Sub", PAST, graph.constant(fit.target_mean, np.float64))
    scaled = graph.add("Div", away, graph.constant(fit.target_std, np.float64))
    flat = graph.add("Reshape", scaled, graph.constant([-1, 1], np.int64))
    parts = [*([] if rows is None else [rows]), graph.add("Cast", flat, to=_FLOAT)]
    both = graph.add("Concat", *parts, axis=1)
    return graph.add("Reshape", both, graph.constant([-1, window, width + 1], np.int64))


def text_name(member: int, column: int) -> str:
    """The name of the input that a member has for a column of texts."""
    return f"text_{member}_{column}"


def add_features(
    graph: Graph,
    inputs: Inputs,
    features: Features,
    fit: FittedTransform,
    width: int,
    member: int = 0,
) -> str:
    """The features of examples, float32; a table has `width` of them. Or ids of tokens, int32.

    The tokens of texts, counted or as ids, are inputs of a member's own.
    """
    if fit.ids:
        (column,) = fit.free_texts
        return graph.input(text_name(member, column), np.int32, [width])
    if inputs.arrays is not None:
        # As in training, where pixels are scaled in float32.
        is_image = features.type == "uint8"
        pixels = _resized(graph, fit, inputs.arrays, features)
        x = graph.add("Cast", pixels, to=_FLOAT if is_image else _DOUBLE)
        scaled = _scaled(graph, fit, x, np.float32 if is_image else np.float64)
        return _projected(graph, fit, scaled, (*_size(fit, features), *features.shape[2:]))
    made = _Table(graph, inputs, features, fit)
    found = [made.numbers()]
    if "code_column" in fit.more:
        found.insert(0, made.codes_to_learn())
    found += [*made.flags(), *made.one_hot(), *made.hashes(), *made.texts(member)]
    parts = [one for one in found if one is not None]
    together = graph.add("Concat", *parts, axis=1)
    # A fold whose training rows lack a text has fewer columns: zeros fill the last ones.
    lacking = width - made.width
    return graph.add("Pad", together, graph.constant([0, 0, 0, lacking])) if lacking else together


_FLOAT, _DOUBLE, _INT64 = 1, 11, 7  # as `onnx.TensorProto` numbers them


def _size(fit: FittedTransform, features: Features) -> tuple[int, ...]:
    """The first two sizes of examples once images have the size of the fit."""
    return tuple(map(int, fit.more.get("image_size", features.shape[:2])))


def _resized(graph: Graph, fit: FittedTransform, x: str, features: Features) -> str:
    """Images in the size of the fit, as `resized` makes them: the width first, then the height."""
    sizes = _size(fit, features)
    for axis, equation in ((1, "nhwc,vw->nhvc"), (0, "nhwc,vh->nvwc")):
        old, new = features.shape[axis : axis + 1], sizes[axis : axis + 1]
        if old == new:
            continue
        matrix, is_whole = matrix_of(old[0], new[0]), features.type == "uint8"
        matrix = np.floor(0.5 + matrix * (1 << BITS)) if is_whole else matrix
        wide = graph.add("Cast", x, to=_DOUBLE)  # in which sums of whole numbers are exact
        x = graph.add("Einsum", wide, graph.constant(matrix, np.float64), equation=equation)
        if is_whole:
            half = graph.add("Add", x, graph.constant(float(1 << (BITS - 1))))
            x = graph.add("Floor", graph.add("Div", half, graph.constant(float(1 << BITS))))
    return x


def _scaled(graph: Graph, fit: FittedTransform, x: str, kind: type = np.float64) -> str:
    """Features without their offset, divided: as float32, and computed in `kind`."""
    away = graph.add("Sub", x, graph.constant(fit.offset, kind))
    return graph.add("Cast", graph.add("Div", away, graph.constant(fit.divisor, kind)), to=_FLOAT)


def _projected(graph: Graph, fit: FittedTransform, x: str, shape: tuple[int, ...]) -> str:
    """Scaled features under the map of a fit, if it has one."""
    if "map" not in fit.more:
        return x
    flat = graph.add("Cast", graph.add("Flatten", x, axis=1), to=_DOUBLE)
    centred = graph.add("Sub", flat, graph.constant(fit.more["map_mean"], np.float64))
    found = graph.add("MatMul", centred, graph.constant(fit.more["map"], np.float64))
    if "is_reduced" not in fit.more and len(shape) > 1:
        found = graph.add("Reshape", found, graph.constant([-1, *shape], np.int64))
    return graph.add("Cast", found, to=_FLOAT)


class _Table:
    """The features of the rows of a table; `width` counts them as they are added."""

    def __init__(
        self, graph: Graph, inputs: Inputs, features: Features, fit: FittedTransform
    ) -> None:
        self.graph, self.inputs, self.features, self.fit = graph, inputs, features, fit
        self.width = 0
        self._codes: dict[int, str] = {}

    def numbers(self) -> str | None:
        """The scaled columns: numbers, places in sorted order, mean targets."""
        graph, fit = self.graph, self.fit
        parts = [*self._filled(), *self._known()]
        if not parts:
            return None
        x = _scaled(graph, fit, graph.add("Concat", *parts, axis=1))
        if "clip" in fit.more:
            wide = graph.add("Cast", x, to=_DOUBLE)  # in which no square overflows
            share = graph.add("Div", wide, graph.constant(float(fit.more["clip"])))
            square = graph.add("Add", graph.add("Mul", share, share), graph.constant(1.0))
            x = graph.add("Cast", graph.add("Div", wide, graph.add("Sqrt", square)), to=_FLOAT)
        self.width += fit.numbers
        return _projected(graph, fit, x, ())

    def codes_to_learn(self) -> str:
        """The codes of categories whose vectors the model has learned; 0 for unknown and empty."""
        more, found = self.fit.more, []
        starts = more["code_start"]
        for place, column in enumerate(more["code_column"].tolist()):
            known = more["code_known"][starts[place] : starts[place + 1]]
            found.append(self._lookup(self._code(column), known, [*range(1, len(known) + 1)], 0))
        self.width += len(found)
        return self.graph.add("Cast", self._side_by_side(found), to=_FLOAT)

    def flags(self) -> list[str]:
        """1 where a cell is empty, for each column that has such a flag."""
        graph, more, found = self.graph, self.fit.more, []
        if "flag_column" in more:
            assert self.inputs.numbers is not None
            cells = self._columns(self.inputs.numbers, more["flag_column"])
            found.append(graph.add("Cast", graph.add("IsNaN", cells), to=_FLOAT))
            self.width += len(more["flag_column"])
        if "flag_text" in more:
            assert self.inputs.texts is not None
            cells = self._columns(self.inputs.texts, more["flag_text"])
            empty = graph.add("Equal", cells, graph.constant([""], object))
            found.append(graph.add("Cast", empty, to=_FLOAT))
            self.width += len(more["flag_text"])
        return found

    def one_hot(self) -> list[str]:
        """1 in the column of a category, 0 in the others."""
        graph, columns, values = self.graph, self.fit.text_column, self.fit.text_value
        if columns is None or values is None or not len(columns):
            return []
        codes = self._side_by_side([self._code(column, fill=True) for column in columns.tolist()])
        is_one = graph.add("Equal", codes, graph.constant(values, np.int64))
        self.width += len(columns)
        return [graph.add("Cast", is_one, to=_FLOAT)]

    def hashes(self) -> list[str]:
        """1 in the bucket of a text's hash, for each column that is hashed."""
        graph, more, found = self.graph, self.fit.more, []
        if "hash_column" not in more:
            return []
        for column, buckets in zip(more["hash_column"], more["hash_buckets"], strict=True):
            assert self.inputs.texts is not None
            cells, fill = self._columns(self.inputs.texts, [column]), self._fill(column)
            if fill != OWN:  # whose hash is that of the empty text
                filled = graph.constant([(self.features.texts[column].values or ())[fill]], object)
                empty = graph.add("Equal", cells, graph.constant([""], object))
                cells = graph.add("Where", empty, filled, cells)
            hashed = graph.add("com.microsoft:MurmurHash3", cells, positive=0)
            size = graph.add("Abs", graph.add("Cast", hashed, to=_INT64))
            bucket = graph.add("Mod", size, graph.constant([int(buckets)], np.int64))
            is_one = graph.add("Equal", bucket, graph.constant(np.arange(buckets), np.int64))
            found.append(graph.add("Cast", is_one, to=_FLOAT))
            self.width += int(buckets)
        return found

    def texts(self, member: int) -> list[str]:
        """The features of each column of texts, from its counts of tokens, which are an input."""
        graph, found = self.graph, []
        for column, fit in text_fits(self.fit.more).items():
            counts = _input_of_rows(
                graph,
                text_name(member, column),
                np.float32,
                len(fit.vocabulary),
                self.inputs.window,
            )
            wide, axis = graph.add("Cast", counts, to=_DOUBLE), graph.constant([1], np.int64)
            if fit.spec.vectors == "mean":
                assert fit.vectors is not None
                whole = graph.add("ReduceSum", wide, axis, keepdims=1)
                length = graph.add("Max", whole, graph.constant(1.0))
                wide = graph.add("MatMul", wide, graph.constant(fit.vectors, np.float64))
                self.width += fit.vectors.shape[1]
            else:
                self.width += len(fit.vocabulary)
                if fit.weights is None:
                    found.append(counts)
                    continue
                wide = graph.add("Mul", wide, graph.constant(fit.weights, np.float64))
                norm = graph.add("ReduceL2", wide, axis, keepdims=1)
                is_empty = graph.add("Equal", norm, graph.constant(0.0))
                length = graph.add("Where", is_empty, graph.constant(1.0), norm)
            found.append(graph.add("Cast", graph.add("Div", wide, length), to=_FLOAT))
        return found

    def _filled(self) -> list[str]:
        """The columns of numbers that are features, without empty cells, before they are scaled."""
        graph, fit = self.graph, self.fit
        assert fit.kept is not None
        if self.inputs.numbers is None or not fit.kept.any():
            return []
        x = self._columns(self.inputs.numbers, np.flatnonzero(fit.kept))
        fill = graph.constant(fit.fill, np.float64)
        x = graph.add("Where", graph.add("IsNaN", x), fill, x)
        if "log_column" in fit.more:
            is_log = np.isin(np.arange(int(fit.kept.sum())), fit.more["log_column"])
            size = graph.add("Add", graph.add("Abs", x), graph.constant(1.0))
            logs = graph.add("Mul", graph.add("Sign", x), graph.add("Log", size))
            x = graph.add("Where", graph.constant(is_log), logs, x)
        if "quantile_column" in fit.more:
            places = fit.more["quantile_column"]
            normal = add_quantiles(graph, self._columns(x, places), fit.more["quantiles"])
            count = int(fit.kept.sum())
            order = np.arange(count)
            order[places] = count + np.arange(len(places))
            x = self._columns(graph.add("Concat", x, normal, axis=1), order)
        return [x]

    def _known(self) -> list[str]:
        """The places in sorted order and the mean targets of categories."""
        graph, more, found = self.graph, self.fit.more, []
        if "known_column" not in more:
            return []
        starts = more["known_start"]
        is_target = more.get("known_is_target", np.zeros(len(starts) - 1, bool))
        for place, column in enumerate(more["known_column"].tolist()):
            known = more["known"][starts[place] : starts[place + 1]]
            # The last row of the means is that of an unknown category.
            other = len(known) if is_target[place] else -1
            index = self._lookup(self._code(column, fill=True), known, [*range(len(known))], other)
            if is_target[place]:
                means = more["target_means"][PARTS, starts[place] : starts[place + 1]]
                table = np.concatenate([means, more["target_prior"][PARTS][None]])
                found.append(graph.add("Gather", graph.constant(table, np.float64), index, axis=0))
            else:
                column_of = graph.add("Unsqueeze", index, graph.constant([1], np.int64))
                found.append(graph.add("Cast", column_of, to=_DOUBLE))
        return found

    def _fill(self, column: int) -> int:
        assert self.fit.text_fill is not None
        return int(self.fit.text_fill[column])

    def _code(self, column: int, *, fill: bool = False) -> str:
        """The code of each row's category, int64 `[batch]`; -1, or filled, for an empty cell."""
        graph = self.graph
        if column not in self._codes:
            assert self.inputs.texts is not None
            values = self.features.texts[column].values or ()
            self._codes[column] = graph.add(
                "ai.onnx.ml:LabelEncoder",
                graph.add("Gather", self.inputs.texts, graph.constant(column, np.int64), axis=1),
                keys_strings=[*values, ""],
                values_int64s=[*range(len(values)), -1],
                default_int64=_UNKNOWN,
            )
        code = self._codes[column]
        if not fill:
            return code
        empty = graph.add("Equal", code, graph.constant(-1, np.int64))
        return graph.add("Where", empty, graph.constant(self._fill(column), np.int64), code)

    def _lookup(self, code: str, keys: np.ndarray, values: list[int], default: int) -> str:
        """The value of each code's key."""
        if not len(keys):  # a list of an encoder may not be empty
            zero = self.graph.add("Mul", code, self.graph.constant(0, np.int64))
            return self.graph.add("Add", zero, self.graph.constant(default, np.int64))
        return self.graph.add(
            "ai.onnx.ml:LabelEncoder",
            code,
            keys_int64s=keys.tolist(),
            values_int64s=values,
            default_int64=default,
        )

    def _columns(self, table: str, places: np.ndarray | list[int]) -> str:
        return self.graph.add("Gather", table, self.graph.constant(places, np.int64), axis=1)

    def _side_by_side(self, codes: list[str]) -> str:
        axis = self.graph.constant([1], np.int64)
        columns = [self.graph.add("Unsqueeze", code, axis) for code in codes]
        return self.graph.add("Concat", *columns, axis=1)
