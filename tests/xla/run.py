"""Runs HLO modules on stock XLA, for Rust tests: a device that speaks over standard input and output.

    python tests/xla/run.py

Needs jaxlib and numpy alone. Each request is a line of JSON, then as many bytes as its `bytes` says; so is each
reply, whose `error` says what went wrong. Requests:

    load      a serialized HloModuleProto -> program
    verify    a serialized HloModuleProto: whether XLA takes it, without making it ready
    allocate  tensor, element, dims: zeros
    write     tensor, offset, and bytes
    read      tensor, offset, count -> bytes
    run       program, inputs, outputs: tensors in the module's order

Every request may tell of tensors `dropped` since the last. Programs stay until the end.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# A module says where something is rounded, and that is to be done.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false --xla_allow_excess_precision=false")

import ml_dtypes  # noqa: E402, brought along by jaxlib
import numpy as np  # noqa: E402
from jaxlib import _hlo, _jax, xla_client  # noqa: E402

ELEMENTS = {
    "pred": np.bool_,
    "s8": np.int8,
    "u8": np.uint8,
    "s32": np.int32,
    "u32": np.uint32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f32": np.float32,
    "f8e4m3": ml_dtypes.float8_e4m3,
    "f8e4m3fn": ml_dtypes.float8_e4m3fn,
    "f8e5m2": ml_dtypes.float8_e5m2,
}

CLIENT = xla_client.make_cpu_client()
DEVICE = CLIENT.local_devices()[0]
DEVICES = _jax.DeviceList((DEVICE,))


class OneDevice(_jax.SingleDeviceSharding):
    """Everything on the one device. What jax adds to this class in Python is more than we need, but for these."""

    memory_kind = None

    def _to_xla_hlo_sharding(self, _rank):
        return _hlo.HloSharding.replicate()

    @property
    def _device_assignment(self):
        return (DEVICE,)

    @property
    def _internal_device_list(self):
        return DEVICES


PLACE = OneDevice(DEVICE)


class Kind:
    """What an array is, as jaxlib wants to be told."""

    weak_type = False

    def __init__(self, array):
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim


def on_device(array):
    return xla_client.batched_device_put(
        Kind(array),
        PLACE,
        [array],
        [DEVICE],
        enable_x64=False,
        host_buffer_semantics=_jax.HostBufferSemantics.IMMUTABLE_ONLY_DURING_CALL,
    )


def on_host(tensor):
    """A tensor as an array that can be written to."""
    if isinstance(tensor, np.ndarray):
        return tensor
    array, _ = tensor._single_device_array_to_np_array_did_copy()
    return np.array(array, order="C")


def octets(array):
    return array.reshape(-1).view(np.uint8)


class Server:
    """Tensors are on the host until a program wants them, and come back when they are read."""

    def __init__(self):
        self.tensors = {}
        self.programs = []

    def load(self, request, payload):
        options = xla_client.CompileOptions()
        module = _jax.mlir.hlo_to_stablehlo(payload)
        self.programs.append(CLIENT.compile_and_load(module, DEVICES, options))
        return {"program": len(self.programs) - 1}, b""

    def verify(self, request, payload):
        _jax.mlir.hlo_to_stablehlo(payload)
        return {}, b""

    def allocate(self, request, payload):
        self.tensors[request["tensor"]] = np.zeros(request["dims"], ELEMENTS[request["element"]])
        return {}, b""

    def write(self, request, payload):
        array = self.tensors[request["tensor"]] = on_host(self.tensors[request["tensor"]])
        start = request["offset"]
        octets(array)[start : start + len(payload)] = np.frombuffer(payload, np.uint8)
        return {}, b""

    def read(self, request, payload):
        start = request["offset"]
        array = on_host(self.tensors[request["tensor"]])
        return {}, octets(array)[start : start + request["count"]].tobytes()

    def run(self, request, payload):
        for tensor in request["inputs"]:
            if isinstance(self.tensors[tensor], np.ndarray):
                self.tensors[tensor] = on_device(self.tensors[tensor])
        inputs = [self.tensors[tensor] for tensor in request["inputs"]]
        results = self.programs[request["program"]].execute_sharded(inputs)
        results = results.disassemble_into_single_device_arrays()
        for tensor, (result,) in zip(request["outputs"], results, strict=True):
            self.tensors[tensor] = result
        return {}, b""


def main():
    server = Server()
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    # What libraries print must not end up among replies.
    sys.stdout = sys.stderr
    while line := requests.readline():
        request = json.loads(line)
        payload = requests.read(request["bytes"])
        for tensor in request["dropped"]:
            server.tensors.pop(tensor, None)
        try:
            reply, answer = getattr(server, request["do"])(request, payload)
        except Exception as error:  # noqa: BLE001, the test is told whatever it was
            reply, answer = {"error": f"{type(error).__name__}: {error}"}, b""
        reply["bytes"] = len(answer)
        replies.write(json.dumps(reply).encode() + b"\n" + answer)
        replies.flush()


main()
