"""The toy as an engine of bitparity, in Python: a program that reads and writes JSON lines and float32.

bitparity compare model.gguf --candidate 'exec:python3 engine.py ./libtoy.so'
"""

import ctypes
import json
import sys
from array import array

toy = ctypes.CDLL(sys.argv[1])
toy.toy_open.restype = ctypes.c_void_p
toy.toy_n_vocab.argtypes = [ctypes.c_void_p]
toy.toy_step.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p]


class Engine:
    def __init__(self, model: str, context: int) -> None:
        why = ctypes.create_string_buffer(256)
        self.handle = toy.toy_open(model.encode(), context, why, len(why))
        if not self.handle:
            raise RuntimeError(why.value.decode())
        self.n_vocab = toy.toy_n_vocab(self.handle)

    def forward(self, ids: list[int], position: int) -> bytes:
        """The logits of every id, which stand from this position on."""
        rows = (ctypes.c_float * (len(ids) * self.n_vocab))()
        for i, token in enumerate(ids):
            row = ctypes.byref(rows, 4 * i * self.n_vocab)
            toy.toy_step(self.handle, token, position + i, row)
        return array("f", rows).tobytes()


def main() -> None:
    engine = None
    for line in sys.stdin:
        request, values = json.loads(line), b""
        try:
            if engine is None:
                engine = Engine(request["open"], request["context"])
                answer = {"n_vocab": engine.n_vocab, "about": {"version": "1", "kv_type": "f32"}}
            else:
                values = engine.forward(request["forward"], request["position"])
                answer = {"rows": len(request["forward"])}
        except RuntimeError as error:
            answer = {"error": str(error)}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + values)
        sys.stdout.buffer.flush()


main()
