"""Owns the descriptor sets of the corpus: those that `protoc` makes of the protos, and those that are bent after it."""

import pathlib
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2

from . import bent

HERE = pathlib.Path(__file__).resolve().parent.parent
PROTO = HERE / "policies" / "proto"
REPOSITORY = HERE.parent.parent / "proto"
ACCESS_PROTO = "identity/v1/access.proto"

# Sets that no policy may be made of, and why.
REFUSED = {
    "no_definition": "It does not define the option.",
    "no_imports": "It lacks the files that are imported, and so the definition of the option.",
    "options_without_definition": "It has options of the number, and does not define the option.",
    "other_definition": "It defines an option of the number, under another name.",
    "not_a_set": "It is no FileDescriptorSet.",
    "cut": "It is a part of a FileDescriptorSet.",
    "empty": "It has no files.",
}


def compiled(*files: str, include=(PROTO, REPOSITORY), imports: bool = True) -> bytes:
    """The descriptor set of `files` and, unless told otherwise, of all that they import."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "set"
        command = [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{path}" for path in include), f"--descriptor_set_out={out}"]
        subprocess.run([*command, *(["--include_imports"] if imports else []), *files], check=True)
        return out.read_bytes()


def _encoded(parsed: descriptor_pb2.FileDescriptorSet) -> bytes:
    return parsed.SerializeToString(deterministic=True)


def _with(encoded: bytes, *files: descriptor_pb2.FileDescriptorProto) -> bytes:
    """The set with `files` behind those that it has."""
    parsed = descriptor_pb2.FileDescriptorSet.FromString(encoded)
    parsed.file.extend(files)
    return _encoded(parsed)


def _stripped(encoded: bytes) -> bytes:
    """The set without the options of methods."""
    parsed = descriptor_pb2.FileDescriptorSet.FromString(encoded)
    for file in parsed.file:
        for service in file.service:
            for method in service.method:
                method.ClearField("options")
    return _encoded(parsed)


def _without_definition(encoded: bytes) -> bytes:
    """The set without the file that defines the option, which nothing imports then."""
    parsed = descriptor_pb2.FileDescriptorSet.FromString(encoded)
    kept = [file for file in parsed.file if file.name != ACCESS_PROTO]
    for file in kept:
        dependencies = [name for name in file.dependency if name != ACCESS_PROTO]
        del file.dependency[:]
        file.dependency.extend(dependencies)
    return _encoded(descriptor_pb2.FileDescriptorSet(file=kept))


def policies() -> dict[str, bytes]:
    """The bytes of each `policies/<name>.binpb`."""
    corpus, definition = compiled("corpus/v1/calls.proto", "plain.proto"), compiled(ACCESS_PROTO)
    understood = bent.file_of("bent.v1", {**bent.UNDERSTOOD, **{name: options for name, (_, options) in bent.NOT_UNDERSTOOD.items()}})
    older = compiled(ACCESS_PROTO, include=(PROTO / "older",))
    sets = {
        "corpus": corpus,
        "stripped": _stripped(corpus),
        "bent": _with(definition, understood),
        "newer": compiled("newer/v1/newer.proto", include=(PROTO / "newer",)),
        "older": _with(older, bent.file_of("older.v1", bent.OF_TODAY)),
        "moved": compiled("moved/v1/moved.proto", include=(PROTO / "moved",)),
        "no_definition": _stripped(_without_definition(corpus)),
        "no_imports": compiled("corpus/v1/calls.proto", imports=False),
        "options_without_definition": _without_definition(corpus),
        "other_definition": compiled("other/v1/other.proto", include=(PROTO / "other",)),
        "not_a_set": b'syntax = "proto3";\n',
        "cut": corpus[: len(corpus) // 2],
        "empty": b"",
    }
    broken = {
        f"broken_{name}": _with(definition, bent.file_of("broken.v1", {"Call": options})) for name, (_, options) in bent.BROKEN.items()
    }
    return {**sets, **broken}
