"""Owns the descriptor sets of the corpus: those that `protoc` makes of the protos, and those that are bent after it."""

import pathlib
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2

HERE = pathlib.Path(__file__).resolve().parent.parent
PROTO = HERE / "policies" / "proto"
REPOSITORY = HERE.parent.parent / "proto"
# `identity.v1.access`, and field numbers of `Access` and `Access.Authenticated` (access.proto).
ACCESS, PUBLIC, AUTHENTICATED = 333_647_707, 1, 2


def compiled(*files: str, include=(PROTO, REPOSITORY), imports: bool = True) -> bytes:
    """The descriptor set of `files` and, unless told otherwise, of all that they import."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "set"
        command = [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{path}" for path in include), f"--descriptor_set_out={out}"]
        subprocess.run([*command, *(["--include_imports"] if imports else []), *files], check=True)
        return out.read_bytes()


# ===== bytes of protobuf, made by hand =====


def varint(number: int) -> bytes:
    """A varint; a negative one as 64 bits."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def number_field(field: int, value: int) -> bytes:
    """A field that is a varint."""
    return varint(field << 3) + varint(value)


def bytes_field(field: int, value: bytes) -> bytes:
    """A field with a length: a string or a message."""
    return varint(field << 3 | 2) + varint(len(value)) + value


def authenticated(inner: bytes) -> bytes:
    """An `Access` with the rule `authenticated`, whose bytes are `inner`."""
    return bytes_field(AUTHENTICATED, inner)


def access(rule: bytes) -> bytes:
    """Method options in which `identity.v1.access` has the bytes `rule`."""
    return bytes_field(ACCESS, rule)


def with_options(encoded: bytes, options: dict[str, bytes]) -> bytes:
    """The set with the bytes of the options of methods, by their names `Service.Method`; those that are not named keep theirs."""
    parsed, left = descriptor_pb2.FileDescriptorSet.FromString(encoded), set(options)
    for file in parsed.file:
        for service in file.service:
            for method in service.method:
                name = f"{service.name}.{method.name}"
                if name in options:
                    left.remove(name)
                    method.options.ParseFromString(options[name])
    if left:
        raise KeyError(f"no such methods: {left}")
    return parsed.SerializeToString(deterministic=True)


def policies() -> dict[str, bytes]:
    """The bytes of each `policies/<name>.binpb`."""
    corpus = compiled("corpus/v1/calls.proto", "plain.proto")
    stripped = descriptor_pb2.FileDescriptorSet.FromString(corpus)
    for file in stripped.file:
        for service in file.service:
            for method in service.method:
                method.ClearField("options")
    return {"corpus": corpus, "stripped": stripped.SerializeToString(deterministic=True)}
