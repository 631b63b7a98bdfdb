"""Owns the cases of `any_roles`: the claim, none, and one that had no room."""

from ..tokens import client, invalid, passes, refused, user
from ..told import snapshot
from ..world import ALICE, NOW, SESSION

CALLS = "/corpus.v1.Calls/"
ROLE, NINE, SCOPED, ORDERS = CALLS + "Role", CALLS + "AnyOfNineRoles", CALLS + "ScopeAndRole", CALLS + "OrdersRole"
LACKS = {"metadata": {"required_role": "picker packer"}}
EIGHT = {"metadata": {"required_role": " ".join(f"r{number}" for number in range(1, 9))}}


def _claim() -> list[dict]:
    has, lacks = "The claim has one of them.", "The claim has none of them."
    return [
        passes("roles: the first", has, user(roles=["picker"]), method=ROLE),
        passes("roles: the second", has, user(roles=["packer"]), method=ROLE),
        passes("roles: among others", has, user(roles=["boss", "packer", "x"]), method=ROLE),
        passes("roles: a client", "A client has roles, too.", client(roles=["picker"]), method=ROLE),
        passes("roles: an audience in an array", "It is the token's only one.", user(aud=["stock"], roles=["picker"]), method=ROLE),
        passes("roles: the ninth of nine", has, user(roles=["r9"]), method=NINE),
        refused("roles: others", lacks, "INSUFFICIENT_ROLE", user(roles=["boss"]), method=ROLE, **LACKS),
        refused("roles: an empty array", "The claim is there, and has none.", "INSUFFICIENT_ROLE", user(roles=[]), method=ROLE, **LACKS),
        refused("roles: of another case", "It is another.", "INSUFFICIENT_ROLE", user(roles=["Picker"]), method=ROLE, **LACKS),
        refused("roles: longer", "It is another.", "INSUFFICIENT_ROLE", user(roles=["pickers", "picker "]), method=ROLE, **LACKS),
        refused(
            "roles: two in one name", "A name is not taken apart.", "INSUFFICIENT_ROLE", user(roles=["picker packer"]), method=ROLE, **LACKS
        ),
        refused(
            "roles: a group of this name",
            "Groups are no roles.",
            "INSUFFICIENT_ROLE",
            user(roles=["boss"], groups=["picker"]),
            method=ROLE,
            **LACKS,
        ),
        refused(
            "roles: a scope of this name",
            "Scopes are no roles.",
            "INSUFFICIENT_ROLE",
            user(roles=["boss"], scope="picker"),
            method=ROLE,
            **LACKS,
        ),
        refused("roles: none of nine", "The first eight are told.", "INSUFFICIENT_ROLE", user(roles=["r10"]), method=NINE, **EIGHT),
        refused("roles: a client lacks them", lacks, "INSUFFICIENT_ROLE", client(roles=["boss"]), method=ROLE, **LACKS),
        refused("roles: no claim", "The token cannot tell.", "ROLES_NOT_IN_TOKEN", method=ROLE, **LACKS),
        refused("roles: no claim, none of nine", "The first eight are told.", "ROLES_NOT_IN_TOKEN", method=NINE, **EIGHT),
        refused("roles: no claim, of a client", "The token cannot tell.", "ROLES_NOT_IN_TOKEN", client(), method=ROLE, **LACKS),
        refused(
            "roles: no claim, groups alone", "Groups are no roles.", "ROLES_NOT_IN_TOKEN", user(groups=["picker"]), method=ROLE, **LACKS
        ),
        refused(
            "roles: no claim, roles_omitted is false",
            "Nothing was left out.",
            "ROLES_NOT_IN_TOKEN",
            user(roles_omitted=False),
            method=ROLE,
            **LACKS,
        ),
        refused(
            "roles: no claim, where introspection is configured",
            "Nothing was left out: it is not asked.",
            "ROLES_NOT_IN_TOKEN",
            method=ROLE,
            **LACKS,
            introspection={"active": True, "roles": ["picker"]},
        ),
        refused(
            "roles: others, where introspection is configured",
            "The claim is there: it is not asked.",
            "INSUFFICIENT_ROLE",
            user(roles=["boss"]),
            method=ROLE,
            **LACKS,
            introspection={"active": True, "roles": ["picker"]},
        ),
        passes(
            "roles: it has one, where introspection is configured",
            "The claim is there: it is not asked.",
            user(roles=["picker"]),
            method=ROLE,
            introspection={"active": False},
        ),
        passes("roles: none is asked for", "Introspection is not asked.", user(roles_omitted=True), introspection={"active": False}),
        invalid("roles: a text", "The claim is an array of strings.", user(roles="picker"), method=ROLE),
        invalid(
            "roles: objects", "The claim is an array of strings, not what RFC 7643 has.", user(roles=[{"value": "picker"}]), method=ROLE
        ),
    ]


def _audience() -> list[dict]:
    several = "A token for several audiences has no say about roles."
    return [
        refused(
            "roles: for two audiences", several, "ROLES_NOT_IN_TOKEN", user(aud=["stock", "orders"], roles=["picker"]), method=ROLE, **LACKS
        ),
        refused(
            "roles: for two audiences, without them", several, "ROLES_NOT_IN_TOKEN", user(aud=["stock", "orders"]), method=ROLE, **LACKS
        ),
        refused(
            "roles: for two audiences, others",
            several,
            "ROLES_NOT_IN_TOKEN",
            user(aud=["orders", "stock"], roles=["boss"]),
            method=ROLE,
            **LACKS,
        ),
        passes("roles: at the audience of the rule", "The token is for it alone.", user(aud="orders", roles=["picker"]), method=ORDERS),
        refused(
            "roles: lacking at the audience of the rule",
            "The claim has none of them.",
            "INSUFFICIENT_ROLE",
            user(aud="orders", roles=["packer"]),
            method=ORDERS,
            audience="orders",
            metadata={"required_role": "picker"},
        ),
        refused(
            "roles: for the verifier's audience and the rule's",
            several,
            "ROLES_NOT_IN_TOKEN",
            user(aud=["orders", "stock"], roles=["picker"]),
            method=ORDERS,
            audience="orders",
            metadata={"required_role": "picker"},
        ),
        invalid(
            "roles: at the verifier's audience, where the rule has another",
            "It is not meant for it.",
            user(roles=["picker"]),
            method=ORDERS,
            audience="orders",
        ),
    ]


def _order() -> list[dict]:
    return [
        passes("scope and role: both", "All that is asked for.", user(scope="stock:write", roles=["picker"]), method=SCOPED),
        refused(
            "scope and role: neither",
            "Scopes come first.",
            "INSUFFICIENT_SCOPE",
            user(roles=["boss"]),
            method=SCOPED,
            metadata={"required_scope": "stock:write"},
        ),
        refused(
            "scope and role: the role alone",
            "The scope is asked for, too.",
            "INSUFFICIENT_SCOPE",
            user(roles=["picker"]),
            method=SCOPED,
            metadata={"required_scope": "stock:write"},
        ),
        refused(
            "scope and role: the scope alone",
            "The role is asked for, too.",
            "INSUFFICIENT_ROLE",
            user(scope="stock:write", roles=["boss"]),
            method=SCOPED,
            metadata={"required_role": "picker"},
        ),
        refused(
            "scope and role: no scope, and roles omitted",
            "Scopes come first.",
            "INSUFFICIENT_SCOPE",
            user(roles_omitted=True),
            method=SCOPED,
            metadata={"required_scope": "stock:write"},
        ),
        refused(
            "scope and role: no scope, and not active",
            "Scopes come first: introspection is not asked.",
            "INSUFFICIENT_SCOPE",
            user(roles_omitted=True),
            method=SCOPED,
            metadata={"required_scope": "stock:write"},
            introspection={"active": False},
        ),
    ]


def _omitted() -> list[dict]:
    left_out = user(roles_omitted=True)
    own = client(roles_omitted=True)

    def asked(name: str, answer: dict, claims=None, **more) -> dict:
        roles = {"roles": answer["roles"]}
        return passes(
            f"roles omitted: {name}",
            "Introspection tells them.",
            left_out if claims is None else claims,
            introspection=answer,
            told_of=roles,
            **{"method": ROLE, **more},
        )

    def lacking(name: str, answer: dict, **more) -> dict:
        return refused(
            f"roles omitted: {name}",
            "Introspection tells them.",
            "INSUFFICIENT_ROLE",
            left_out,
            introspection=answer,
            **{"method": ROLE, **LACKS, **more},
        )

    full = {"active": True, "sub": ALICE, "aud": "stock", "exp": NOW + 900, "sid": SESSION, "scope": "stock:read", "token_type": "Bearer"}
    return [
        refused("roles omitted: no introspection", "It cannot be told.", "UNAVAILABLE", left_out, method=ROLE),
        refused("roles omitted: no introspection, of a client", "It cannot be told.", "UNAVAILABLE", own, method=ROLE),
        refused(
            "roles omitted: no introspection, with groups",
            "It cannot be told.",
            "UNAVAILABLE",
            user(roles_omitted=True, groups=["picker"]),
            method=ROLE,
        ),
        asked("it has one", {"active": True, "roles": ["picker"]}),
        asked("it has one among others", {**full, "roles": ["boss", "packer"]}),
        asked("a client has one", {"active": True, "roles": ["picker"]}, own),
        asked("it has the ninth of nine", {"active": True, "roles": ["r9"]}, method=NINE),
        lacking("it has others", {"active": True, "roles": ["boss"]}),
        lacking("it has none", {"active": True, "roles": []}),
        lacking("the answer is without roles", full),
        lacking("it has none of nine", {"active": True, "roles": ["boss"]}, method=NINE, **EIGHT),
        refused(
            "roles omitted: not active",
            "Its session has ended, it may be.",
            "TOKEN_REVOKED",
            left_out,
            method=ROLE,
            introspection={"active": False},
        ),
        refused(
            "roles omitted: not active, with roles",
            "What else is told does not count.",
            "TOKEN_REVOKED",
            left_out,
            method=ROLE,
            introspection={"active": False, "roles": ["picker"]},
        ),
        refused(
            "roles omitted: revoked, and active as introspection knows",
            "The stream has told it: it is not asked.",
            "TOKEN_REVOKED",
            left_out,
            method=ROLE,
            introspection={"active": True, "roles": ["picker"]},
            told=[{"at": NOW - 1, "message": snapshot(sessions=[SESSION])}],
        ),
        refused(
            "roles omitted: expired, and active as introspection knows",
            "Time is looked at first.",
            "TOKEN_EXPIRED",
            user(roles_omitted=True, iat=NOW - 900, exp=NOW - 5),
            method=ROLE,
            introspection={"active": True, "roles": ["picker"]},
        ),
    ]


def cases() -> list[dict]:
    """All."""
    return [*_claim(), *_audience(), *_order(), *_omitted()]
