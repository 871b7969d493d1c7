"""Runs HLO modules on stock XLA, for Rust tests: a device that speaks over standard input and output.

    python tests/xla/run.py RANKS

Needs jaxlib and numpy alone. Every program runs on all ranks together, each a device of XLA's CPU client, which then
exchange what their modules say; a tensor is one of its kind on each. Each request is a line of JSON, then as many bytes as its `bytes` says; so is each
reply, whose `error` says what went wrong. Requests:

    load      a serialized HloModuleProto -> program
    verify    a serialized HloModuleProto: whether XLA takes it, without making it ready
    allocate  tensor, element, dims: zeros
    write     tensor, rank or null for all, offset, and bytes
    read      tensor, rank, offset, count -> bytes
    run       program, inputs, outputs: tensors in the module's order

Every request may tell of tensors `dropped` since the last. Programs stay until the end.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
RANKS = int(sys.argv[1])
# A module says where something is rounded, and that is to be done.
EXACT = "--xla_allow_excess_precision=false"
FLAGS = f"--xla_cpu_multi_thread_eigen=false {EXACT} --xla_force_host_platform_device_count={RANKS}"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}"

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
DEVICES = CLIENT.local_devices()


def placed(sharding):
    """What jax adds to shardings in Python is more than we need, but for these; none of them takes a second base."""
    sharding.memory_kind = None
    sharding._to_xla_hlo_sharding = lambda self, _rank: _hlo.HloSharding.replicate()
    sharding._device_assignment = property(lambda self: self.devices)
    sharding._internal_device_list = property(lambda self: _jax.DeviceList(self.devices))
    return sharding


@placed
class OneDevice(_jax.SingleDeviceSharding):
    """Everything on one device."""

    def __init__(self, device):
        super().__init__(device)
        self.devices = (device,)


@placed
class AllDevices(_jax.GSPMDSharding):
    """An array of its own on every device."""

    def __init__(self, devices):
        super().__init__(_jax.DeviceList(devices), _hlo.HloSharding.replicate())
        self.devices = devices


PLACES = [OneDevice(device) for device in DEVICES]
EVERYWHERE = AllDevices(tuple(DEVICES))


class Kind:
    """What an array is, as jaxlib wants to be told."""

    weak_type = False

    def __init__(self, array):
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim


def on_device(array, place):
    if not isinstance(array, np.ndarray):
        return array
    return xla_client.batched_device_put(
        Kind(array),
        place,
        [array],
        list(place.devices),
        enable_x64=False,
        host_buffer_semantics=_jax.HostBufferSemantics.IMMUTABLE_ONLY_DURING_CALL,
    )


def together(kind, arrays):
    """What lies on each device as one argument."""
    if RANKS == 1:
        return arrays[0]
    return _jax.ArrayImpl(kind, EVERYWHERE, arrays, committed=True, _skip_checks=True)


def on_host(array):
    """A rank's tensor as an array that can be written to."""
    if isinstance(array, np.ndarray):
        return array
    array, _ = array._single_device_array_to_np_array_did_copy()
    return np.array(array, order="C")


def octets(array):
    return array.reshape(-1).view(np.uint8)


class Server:
    """Tensors are lists of a rank's each, on the host until a program wants them; they come back when they are read."""

    def __init__(self):
        self.tensors = {}
        self.kinds = {}
        self.programs = []

    def load(self, request, payload):
        options = xla_client.CompileOptions()
        options.num_replicas = options.executable_build_options.num_replicas = RANKS
        places = np.arange(RANKS).reshape(RANKS, 1)
        options.device_assignment = xla_client.DeviceAssignment.create(places)
        module = _jax.mlir.hlo_to_stablehlo(payload)
        devices = _jax.DeviceList(tuple(DEVICES))
        self.programs.append(CLIENT.compile_and_load(module, devices, options))
        return {"program": len(self.programs) - 1}, b""

    def verify(self, request, payload):
        _jax.mlir.hlo_to_stablehlo(payload)
        return {}, b""

    def allocate(self, request, payload):
        dims, element = request["dims"], ELEMENTS[request["element"]]
        arrays = self.tensors[request["tensor"]] = [np.zeros(dims, element) for _ in DEVICES]
        self.kinds[request["tensor"]] = Kind(arrays[0])
        return {}, b""

    def write(self, request, payload):
        arrays, start = self.tensors[request["tensor"]], request["offset"]
        for rank in range(RANKS) if request["rank"] is None else [request["rank"]]:
            arrays[rank] = on_host(arrays[rank])
            octets(arrays[rank])[start : start + len(payload)] = np.frombuffer(payload, np.uint8)
        return {}, b""

    def read(self, request, payload):
        start = request["offset"]
        array = on_host(self.tensors[request["tensor"]][request["rank"]])
        return {}, octets(array)[start : start + request["count"]].tobytes()

    def run(self, request, payload):
        for tensor in request["inputs"]:
            arrays = self.tensors[tensor]
            arrays[:] = [on_device(array, place) for array, place in zip(arrays, PLACES, strict=True)]
        inputs = [together(self.kinds[tensor], self.tensors[tensor]) for tensor in request["inputs"]]
        results = self.programs[request["program"]].execute_sharded(inputs)
        results = results.disassemble_into_single_device_arrays()
        for tensor, ranks in zip(request["outputs"], results, strict=True):
            self.tensors[tensor] = list(ranks)
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
            server.kinds.pop(tensor, None)
        try:
            reply, answer = getattr(server, request["do"])(request, payload)
        except Exception as error:  # noqa: BLE001, the test is told whatever it was
            reply, answer = {"error": f"{type(error).__name__}: {error}"}, b""
        reply["bytes"] = len(answer)
        replies.write(json.dumps(reply).encode() + b"\n" + answer)
        replies.flush()


main()
