import json
import os

import numpy as np
import pytest

from hpo.study.storage.safetensors import decoded, encoded, write_whole

# Two values of each type of the safetensors format, and their bytes, which no code of ours wrote.
FORMAT = {
    "BOOL": ("bool", [False, True], "00 01"),
    "U8": ("uint8", [1, 255], "01 ff"),
    "I8": ("int8", [1, -2], "01 fe"),
    "U16": ("uint16", [1, 65_279], "01 00 ff fe"),
    "I16": ("int16", [1, -2], "01 00 fe ff"),
    "U32": ("uint32", [1, 4_294_967_294], "01 00 00 00 fe ff ff ff"),
    "I32": ("int32", [258, -2], "02 01 00 00 fe ff ff ff"),
    "U64": ("uint64", [1, 2**64 - 2], "01 00 00 00 00 00 00 00 fe ff ff ff ff ff ff ff"),
    "I64": ("int64", [258, -2], "02 01 00 00 00 00 00 00 fe ff ff ff ff ff ff ff"),
    "F16": ("float16", [1.5, -2.0], "00 3e 00 c0"),
    "BF16": ("bfloat16", [1.5, -2.0], "c0 3f 00 c0"),
    "F32": ("float32", [1.5, -2.0], "00 00 c0 3f 00 00 00 c0"),
    "F64": ("float64", [1.5, -2.0], "00 00 00 00 00 00 f8 3f 00 00 00 00 00 00 00 c0"),
    "F8_E4M3": ("float8_e4m3fn", [1.5, -2.0], "3c c0"),
    "F8_E5M2": ("float8_e5m2", [1.5, -2.0], "3e c0"),
}


@pytest.mark.parametrize("code", FORMAT)
def test_a_file_in_the_safetensors_format_is_read_as_numpy_values(code):
    dtype, values, written = FORMAT[code]
    data = bytes.fromhex(written)
    one = f'"dtype": "{code}", "shape": [2, 1], "data_offsets": [0, {len(data)}]'
    two = f'"dtype": "{code}", "shape": [2], "data_offsets": [{len(data)}, {2 * len(data)}]'
    header = f'{{"w": {{{one}}}, "b": {{{two}}}}}'.encode()
    content = len(header).to_bytes(8, "little") + header + 2 * data

    loaded = decoded(bytearray(content))

    assert {name: (leaf.dtype.name, leaf.tolist()) for name, leaf in loaded.items()} == {
        "w": (dtype, [[value] for value in values]),
        "b": (dtype, values),
    }


@pytest.mark.parametrize("code", FORMAT)
def test_a_file_is_written_in_the_safetensors_format(code):
    dtype, values, written = FORMAT[code]
    leaf = np.array(values, np.dtype(dtype))

    content = b"".join(encoded({"w": leaf.reshape(2, 1), "b": leaf}))

    data = bytes.fromhex(written)
    size = int.from_bytes(content[:8], "little")
    assert json.loads(content[8 : 8 + size]) == {
        "w": {"dtype": code, "shape": [2, 1], "data_offsets": [0, len(data)]},
        "b": {"dtype": code, "shape": [2], "data_offsets": [len(data), 2 * len(data)]},
    }
    assert content[8 + size :] == 2 * data


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    chunks = encoded({"w": np.arange(3)})
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        write_whole("new.tmp", "new", chunks, folder)
        (tmp_path / "taken").mkdir()
        with pytest.raises(OSError):
            write_whole("taken.tmp", "taken", chunks, folder)
    finally:
        os.close(folder)
    assert decoded(bytearray((tmp_path / "new").read_bytes()))["w"].tolist() == [0, 1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "taken"]
