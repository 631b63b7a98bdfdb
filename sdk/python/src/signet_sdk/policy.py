"""Owns who may call which method, as the descriptors of the services declare it. A method that declares nothing is denied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from google.protobuf import descriptor_pool

from identity.v1 import access_pb2

from ._wire import LENGTH, MalformedError, fields, message_of, text_of
from .access import NOT_UNDERSTOOD, PUBLIC, UNDECLARED, UNKNOWN, Access, read_access

_OPTION = "identity.v1.access"
_OPTION_EXTENDS = ".google.protobuf.MethodOptions"


def proto_path() -> Path:
    """The folder to name by `-I` to protoc, for protos that import `identity/v1/access.proto`."""
    return Path(access_pb2.__file__).parents[2]


class PolicyError(ValueError):
    """No policy can be made: the descriptors cannot be read, or do not define the option that declares access."""


class Policy:
    """Who may call which method, by the method's path `/package.Service/Method`.

    Make one of your generated code (:meth:`from_services`) or of a file of descriptors (:meth:`from_file`). Services that cannot be
    annotated, such as `grpc.health.v1.Health` and reflection, are made public by their names, in `public_services`; none is by itself.
    """

    def __init__(self, methods: Mapping[str, Access], public_services: Iterable[str] = ()) -> None:
        self._methods = dict(methods)
        self._public = frozenset(public_services)

    @classmethod
    def from_services(cls, *services: str, public_services: Iterable[str] = ()) -> Policy:
        """The rules of `services`, by their full names, such as `stock.v1.StockService`, whose generated code is imported.

        Raises:
            PolicyError: No such service is among the descriptors of the process, or its file does not import `identity/v1/access.proto`.
        """
        pool = descriptor_pool.Default()
        files: dict[str, bytes] = {}
        for service in services:
            try:
                file = pool.FindServiceByName(service).file
            except KeyError:
                raise PolicyError(f"{service} is not among the descriptors: import its generated code first") from None
            _with_imports(file, files)
        read = _read(files.values())
        wanted = tuple(f"/{service}/" for service in services)
        return cls({path: access for path, access in read.items() if path.startswith(wanted)}, public_services)

    @classmethod
    def from_descriptor_set(cls, encoded: bytes, *, public_services: Iterable[str] = ()) -> Policy:
        """The rules of all services of an encoded `google.protobuf.FileDescriptorSet`, as `buf build -o` and `protoc
        --include_imports --descriptor_set_out` write it.

        Raises:
            PolicyError: It cannot be read, or does not define the option `identity.v1.access`.
        """
        try:
            files = [message_of(kind, value) for number, kind, value in fields(encoded) if number == 1]
        except MalformedError as problem:
            raise PolicyError(f"the descriptor set cannot be read: {problem}") from None
        return cls(_read(files), public_services)

    @classmethod
    def from_file(cls, path: str | Path, *, public_services: Iterable[str] = ()) -> Policy:
        """The same, of the descriptor set in the file at `path`.

        Raises:
            OSError: The file cannot be read.
            PolicyError: As :meth:`from_descriptor_set`.
        """
        return cls.from_descriptor_set(Path(path).read_bytes(), public_services=public_services)

    def access(self, method: str) -> Access:
        """Who may call `method`, a path with its leading slash. `unknown`, if the policy does not know it."""
        found = self._methods.get(method)
        if self._public and method[1:].rpartition("/")[0] in self._public and method.startswith("/"):
            return PUBLIC
        return found or UNKNOWN

    def methods(self) -> dict[str, Access]:
        """Every method that the descriptors name, and who may call it."""
        return dict(self._methods)


def _with_imports(file: object, into: dict[str, bytes]) -> None:
    # A descriptor of protobuf's pool, of whichever of its implementations.
    name, encoded = getattr(file, "name", ""), getattr(file, "serialized_pb", b"")
    if name in into:
        return
    into[name] = encoded
    for imported in getattr(file, "dependencies", ()):
        _with_imports(imported, into)


def _read(files: Iterable[bytes]) -> dict[str, Access]:
    files = list(files)
    try:
        number = _option_number(files)
        if number is None:
            raise PolicyError(f"the descriptors do not define the method option `{_OPTION}`: is access.proto imported?")
        return {path: access for file in files for path, access in _methods_of(file, number)}
    except MalformedError as problem:
        raise PolicyError(f"the descriptors cannot be read: {problem}") from None


def _option_number(files: Iterable[bytes]) -> int | None:
    """The number that the descriptors give to the option, which is known by its name (`FileDescriptorProto.extension`)."""
    for file in files:
        package = _text(file, 2)
        for number, kind, value in fields(file):
            if number != 7:
                continue
            extension = message_of(kind, value)
            name = _text(extension, 1)
            if (f"{package}.{name}" if package else name) == _OPTION and _text(extension, 2) == _OPTION_EXTENDS:
                told = [value for field, _, value in fields(extension) if field == 3]
                return told[-1] if told and isinstance(told[-1], int) else None
    return None


def _methods_of(file: bytes, option: int) -> Iterable[tuple[str, Access]]:
    package = _text(file, 2)
    for number, kind, value in fields(file):
        if number != 6:
            continue
        service = message_of(kind, value)
        name = _text(service, 1)
        full_name = f"{package}.{name}" if package else name
        for field, field_kind, field_value in fields(service):
            if field == 2:
                method = message_of(field_kind, field_value)
                yield f"/{full_name}/{_text(method, 1)}", _declared(method, option)


def _declared(method: bytes, option: int) -> Access:
    """Who may call `method`, a `MethodDescriptorProto`."""
    told: list[bytes] = []
    for number, kind, value in fields(method):
        if number != 4:
            continue
        try:
            for field, field_kind, field_value in fields(message_of(kind, value)):
                if field == option:
                    if field_kind != LENGTH or not isinstance(field_value, bytes):
                        return NOT_UNDERSTOOD
                    told.append(field_value)
        except MalformedError:
            return NOT_UNDERSTOOD
    # What stands more than once is merged, as protobuf does: the same as its bytes one behind another.
    return read_access(b"".join(told)) if told else UNDECLARED


def _text(message: bytes, field: int) -> str:
    found = [text_of(kind, value) for number, kind, value in fields(message) if number == field]
    return found[-1] if found else ""
