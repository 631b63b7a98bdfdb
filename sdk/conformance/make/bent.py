"""Owns method options that no `protoc` of today writes: of a later release, of another one's numbers, and broken ones."""

from google.protobuf import descriptor_pb2

# `identity.v1.access`, and field numbers of `Access` and `Access.Authenticated` (access.proto).
ACCESS = 333_647_707
PUBLIC, AUTHENTICATED = 1, 2
REQUIRED_SCOPES, ANY_SCOPES, ANY_ROLES, CALLERS, AUDIENCE = 1, 2, 3, 4, 5
_GROUP, _END_GROUP, _FIXED32, _FIXED64 = 3, 4, 5, 1


def varint(number: int) -> bytes:
    """A varint; a negative one as 64 bits."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def key(field: int, wire_type: int) -> bytes:
    """What a field begins with."""
    return varint(field << 3 | wire_type)


def number(field: int, value: int) -> bytes:
    """A field that is a varint."""
    return key(field, 0) + varint(value)


def text(field: int, value: bytes) -> bytes:
    """A field with a length: a string or a message."""
    return key(field, 2) + varint(len(value)) + value


def public(inner: bytes = b"") -> bytes:
    """The rule `public`."""
    return text(PUBLIC, inner)


def authenticated(*inner: bytes) -> bytes:
    """The rule `authenticated`."""
    return text(AUTHENTICATED, b"".join(inner))


def access(*rule: bytes) -> bytes:
    """Method options in which `identity.v1.access` has the bytes of `rule`."""
    return text(ACCESS, b"".join(rule))


# Options by the names of their methods: what is understood.
UNDERSTOOD = {
    "Good": access(authenticated()),
    "GoodPublic": access(public()),
    "GoodOtherOption": number(33, 1) + text(50_000, b"x") + access(authenticated()),
    "AccessTwice": access(authenticated(text(REQUIRED_SCOPES, b"a"))) + access(authenticated(text(REQUIRED_SCOPES, b"b"))),
    "RuleTwice": access(authenticated(text(REQUIRED_SCOPES, b"a")), authenticated(text(REQUIRED_SCOPES, b"b"))),
    "PublicThenAuthenticated": access(public(), authenticated(text(REQUIRED_SCOPES, b"a"))),
    "PublicThenAuthenticatedApart": access(public()) + access(authenticated(text(REQUIRED_SCOPES, b"a"))),
    "CallersTwice": access(authenticated(number(CALLERS, 2), number(CALLERS, 1))),
    "AudienceTwice": access(authenticated(text(AUDIENCE, b"stock"), text(AUDIENCE, b"orders"))),
    "CallersBeforeScopes": access(authenticated(number(CALLERS, 1), text(REQUIRED_SCOPES, b"a"))),
    "CallersLongVarint": access(authenticated(key(CALLERS, 0) + b"\x81\x00")),
}

# What is not, and why.
NOT_UNDERSTOOD = {
    "RuleOfNumber": ("another kind of rule", access(number(15, 1))),
    "RuleOfMessage": ("another kind of rule", access(text(3, b""))),
    "RuleOfZero": ("a field that says zero is a field", access(public(), number(15, 0))),
    "PublicAndMore": ("a field beside the rule", access(public(), number(15, 1))),
    "AuthenticatedAndMore": ("a field beside the rule", access(authenticated(), text(3, b"x"))),
    "MoreAndAuthenticated": ("a field before the rule", access(number(15, 1), authenticated())),
    "MoreApart": ("a field beside the rule, in another piece", access(authenticated()) + access(number(15, 1))),
    "MoreInPublic": ("a field in `public`", access(public(number(1, 1)))),
    "MoreTextInPublic": ("a field in `public`", access(public(text(5, b"stock")))),
    "MoreNumber": ("a field in `authenticated`", access(authenticated(number(15, 1)))),
    "MoreText": ("a field in `authenticated`", access(authenticated(text(6, b"x")))),
    "MoreFixed32": ("a field in `authenticated`", access(authenticated(key(7, _FIXED32) + bytes(4)))),
    "MoreFixed64": ("a field in `authenticated`", access(authenticated(key(8, _FIXED64) + bytes(8)))),
    "MoreGroup": ("a field in `authenticated`", access(authenticated(key(9, _GROUP) + key(9, _END_GROUP)))),
    "MoreOfLargestNumber": ("a field in `authenticated`", access(authenticated(number((1 << 29) - 1, 1)))),
    "MoreBesideScopes": ("a field in `authenticated`", access(authenticated(text(REQUIRED_SCOPES, b"a"), number(6, 1)))),
    "MoreBeforeScopes": ("a field in `authenticated`", access(authenticated(number(6, 1), text(REQUIRED_SCOPES, b"a")))),
    "CallersThree": ("a value of `callers` to come", access(authenticated(number(CALLERS, 3)))),
    "CallersNegative": ("a value of `callers` to come", access(authenticated(number(CALLERS, -1)))),
    "CallersLargest": ("a value of `callers` to come", access(authenticated(number(CALLERS, (1 << 31) - 1)))),
    "ScopeOfNumber": ("a scope that is a number", access(authenticated(number(REQUIRED_SCOPES, 1)))),
    "AnyScopeOfNumber": ("a scope that is a number", access(authenticated(number(ANY_SCOPES, 1)))),
    "RoleOfNumber": ("a role that is a number", access(authenticated(number(ANY_ROLES, 1)))),
    "RoleOfFixed": ("a role that is a number", access(authenticated(key(ANY_ROLES, _FIXED32) + bytes(4)))),
    "CallersOfText": ("callers that are a text", access(authenticated(text(CALLERS, b"\x01")))),
    "CallersOfFixed": ("callers of another wire type", access(authenticated(key(CALLERS, _FIXED32) + b"\x01\0\0\0"))),
    "AudienceOfNumber": ("an audience that is a number", access(authenticated(number(AUDIENCE, 1)))),
    "AuthenticatedOfNumber": ("a rule that is a number", access(number(AUTHENTICATED, 1))),
    "PublicOfNumber": ("a rule that is a number", access(number(PUBLIC, 1))),
    "PublicOfFixed": ("a rule that is a number", access(key(PUBLIC, _FIXED64) + bytes(8))),
    "PublicOfGroup": ("a rule that is a group", access(key(PUBLIC, _GROUP) + key(PUBLIC, _END_GROUP))),
}

# Each in a set of its own, since some readers of descriptors take such a set for broken as a whole.
BROKEN = {
    "no_message": ("no message at all", access(b"\xff")),
    "cut": ("a text that is cut", access(authenticated(key(REQUIRED_SCOPES, 2) + b"\x05a"))),
    "cut_rule": ("a rule that is cut", access(key(AUTHENTICATED, 2) + b"\x05\x0a")),
    "long_varint": ("a varint of 11 bytes", access(authenticated(key(CALLERS, 0) + b"\x81" + b"\x80" * 9 + b"\x00"))),
    "field_zero": ("a field of the number 0", access(public(), b"\x00\x01")),
    "wire_type_7": ("a wire type that there is not", access(public(), key(3, 7))),
    "end_of_group": ("a group that ends and did not begin", access(public(), key(3, _END_GROUP))),
    "open_group": ("a group that does not end", access(public(), key(3, _GROUP))),
    "not_utf8_scope": ("a scope that is not UTF-8", access(authenticated(text(REQUIRED_SCOPES, b"a\xff")))),
    "not_utf8_audience": ("an audience that is not UTF-8", access(authenticated(text(AUDIENCE, b"\xc0\x80")))),
    "of_number": ("an option that is a number", number(ACCESS, 1)),
    "of_fixed": ("an option that is a number", key(ACCESS, _FIXED64) + bytes(8)),
    "of_number_and_message": ("an option that is a number, and a rule", number(ACCESS, 1) + access(public())),
}

# Rules that use what an older definition lacks.
OF_TODAY = {
    "Users": access(authenticated(number(CALLERS, 1))),
    "Role": access(authenticated(text(ANY_ROLES, b"picker"))),
    "Orders": access(authenticated(text(AUDIENCE, b"orders"))),
    "Any": access(authenticated()),
}


def file_of(package: str, options: dict[str, bytes]) -> descriptor_pb2.FileDescriptorProto:
    """A file with a service `Bent`, whose methods have these options."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package.replace('.', '/')}/bent.proto", package=package, syntax="proto3", dependency=["identity/v1/access.proto"]
    )
    file.message_type.add(name="Empty")
    service = file.service.add(name="Bent")
    for name, encoded in options.items():
        method = service.method.add(name=name, input_type=f".{package}.Empty", output_type=f".{package}.Empty")
        method.options.ParseFromString(encoded)
        if method.options.SerializeToString() != encoded and name not in ("GoodOtherOption",):
            raise ValueError(f"{name} was not kept as it is")
    return file
