"""Write tensors as bitnet.cpp's converter does, with the gguf package that lies in bitnet.cpp's llama.cpp.

Run as a program: PACKAGE METADATA.json ARRAYS.npz TYPE TARGET.  A process of its own, because that package
has the name of the one that is installed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np


def main(package: str, metadata_file: str, arrays_file: str, name: str, target: str) -> None:
    sys.path.insert(0, package)
    sys.modules.setdefault("sentencepiece", SimpleNamespace(SentencePieceProcessor=None))  # type: ignore[arg-type]
    import gguf

    assert gguf.__file__.startswith(package), gguf.__file__
    metadata, arrays = json.loads(Path(metadata_file).read_text()), np.load(arrays_file)
    writer = gguf.GGUFWriter(target, metadata.pop("general.architecture"))
    for key, value in metadata.items():
        _add_value(writer, key, value)
    types = gguf.GGMLQuantizationType
    for key in json.loads(str(arrays["order"])):
        if key + " packed" in arrays:
            shape, scale = arrays[key + " shape"].tolist(), arrays[key + " scale"].astype(np.float32)
            writer.add_tensor(key, arrays[key + " packed"], raw_shape=shape, raw_dtype=types[name])
            writer.add_tensor(key + "_scale", scale, raw_dtype=types.F32)
        else:
            writer.add_tensor(key, arrays[key])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_value(writer: Any, key: str, value: Any) -> None:
    adds = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    adds.get(type(value), writer.add_array)(key, value)


if __name__ == "__main__":
    main(*sys.argv[1:])
