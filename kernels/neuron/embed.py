"""Puts kernels into modules: run it where AWS's NKI and neuronx-cc are, before the compiler. Never run against either.

    python embed.py MODULE.hlo.pb EMBEDDED.hlo.pb

A module that asks for a kernel holds a custom call `AwsNeuronCustomNativeKernel` whose `backend_config` is JSON of our own:
`{"kernel": NAME, "arguments": [[TYPE, SHAPE], ..], "numbers": [..]}`. The compiler wants there what NKI makes of the
kernel for these shapes. Everything else in the module stays as it is, byte for byte.
"""

import json
import sys

# Field numbers of OpenXLA's hlo.proto: a module's computations, their instructions, and of an instruction the target of a
# custom call and its configuration.
COMPUTATIONS, INSTRUCTIONS, TARGET, CONFIG = 3, 2, 28, 43
NATIVE = b"AwsNeuronCustomNativeKernel"


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def as_varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def fields(data):
    """Every field of a message: its number, its payload where it has a length, and all its bytes."""
    at = 0
    while at < len(data):
        start = at
        key, at = varint(data, at)
        kind, payload = key & 7, None
        if kind == 0:
            _, at = varint(data, at)
        elif kind == 2:
            length, at = varint(data, at)
            payload, at = data[at : at + length], at + length
        else:
            at += {1: 8, 5: 4}[kind]
        yield key >> 3, payload, data[start:at]


def field(number, payload):
    return as_varint(number << 3 | 2) + as_varint(len(payload)) + payload


def with_kernels(data, compiled, path=(COMPUTATIONS, INSTRUCTIONS)):
    """A message with the kernels below it put in."""
    if not path:
        return instruction(data, compiled)
    parts = []
    for number, payload, whole in fields(data):
        parts.append(field(number, with_kernels(payload, compiled, path[1:])) if number == path[0] else whole)
    return b"".join(parts)


def instruction(data, compiled):
    if not any(number == TARGET and payload == NATIVE for number, payload, _ in fields(data)):
        return data
    parts = []
    for number, payload, whole in fields(data):
        parts.append(field(CONFIG, compiled(json.loads(payload))) if number == CONFIG else whole)
    return b"".join(parts)


def by_nki(request):
    """What NKI makes of a kernel for these shapes, as the compiler takes it: AWS documents the names used here for ZML's
    way of embedding kernels (`compile_to_bir`, `backend_config_b64`), not for ours."""
    import importlib

    import ml_dtypes  # noqa: F401, so that numpy knows bfloat16
    import numpy as np
    from nki.compiler.driver import CompileOptions, compile_to_bir

    kernel = getattr(importlib.import_module(request["kernel"]), request["kernel"])
    arguments = [np.zeros(shape, dtype) for dtype, shape in request["arguments"]]
    compiled = compile_to_bir(kernel, *arguments, *request["numbers"], options=CompileOptions(mode="INTEGRATION"))
    return compiled.build_config().backend_config_b64.encode()


def main():
    with open(sys.argv[1], "rb") as file:
        module = file.read()
    cache = {}

    def compiled(request):
        key = json.dumps(request)
        if key not in cache:
            cache[key] = by_nki(request)
        return cache[key]

    with open(sys.argv[2], "wb") as file:
        file.write(with_kernels(module, compiled))


if __name__ == "__main__":
    main()
