"""Owns the cases of the access rule: each field alone, and together; what is denied by default; which paths are methods."""

from ..tokens import bearer, case, client, invalid, passes, refused, user
from ..world import ALICE, NOW

CALLS = "/corpus.v1.Calls/"
NINE = " ".join(f"s{number}" for number in range(1, 10))
EIGHT = " ".join(f"s{number}" for number in range(1, 9))


def lacks(scopes: str) -> dict:
    """The metadata of INSUFFICIENT_SCOPE."""
    return {"metadata": {"required_scope": scopes}}


def may(kind: str) -> dict:
    """The metadata of CALLER_NOT_ALLOWED."""
    return {"metadata": {"callers": kind}}


def _public() -> list[dict]:
    def public(name: str, why: str, values: list[str], **settings) -> dict:
        return case(f"public: {name}", why, values, {"code": "OK"}, CALLS + "Public", **settings)

    why = "A token that is sent to a public method is not looked at."
    return [
        public("no token", "Everybody may call.", []),
        public("a good token", why, bearer("abc.def.ghi")),
        public("garbage", why, ["\u00e9"]),
        public("two tokens", why, ["Bearer a", "Bearer b"]),
        public("an empty one", why, [""]),
        public("revocations are not known", "It does not depend on them.", [], told=[], followed=True),
        public("another audience of the verifier", "It has none itself.", [], audience="orders"),
    ]


def _denied() -> list[dict]:
    def denied(name: str, why: str, method: str, values=None, **settings) -> dict:
        return refused(f"denied: {name}", why, "ACCESS_UNDECLARED", method=method, authorization=values, **settings)

    nothing, unknown = "Denied by default.", "The policy does not know it."
    paths = [
        "/corpus.v1.Calls/Unknown",
        "/corpus.v1.Calls/any",
        "/corpus.v1.Calls/ANY",
        "/corpus.v1.calls/Any",
        "/Corpus.v1.Calls/Any",
        "/corpus.v1.Unknown/Any",
        "/corpus.v2.Calls/Any",
        "/Calls/Any",
        "/v1.Calls/Any",
        "/corpus.v1/Any",
        "/corpus.v1.Calls/Public/",
        "/corpus.v1.Calls/Public2",
        "/corpus.v1.Calls/Publi",
        "/corpus.v1.Calls/",
        "/corpus.v1.Calls",
        "//corpus.v1.Calls/Public",
        "/corpus.v1.Calls//Public",
        "/corpus.v1.Calls/Public?x=1",
        "/corpus.v1.Calls/Public#x",
        "/corpus.v1.Calls/%50ublic",
        "/corpus.v1.Calls/../Calls/Public",
        "/corpus.v1.Calls.Public",
        "/corpus.v1.Calls/Public ",
        "/",
        "/corpus.v1.Streams/Any",
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/corpus.v1.CallsPublic",
        "/corpus/v1/Calls/Public",
        "/constructor/Any",
        "/__proto__/toString",
    ]
    return [
        denied("no declaration", nothing, CALLS + "Undeclared"),
        denied("no declaration, and no token", nothing, CALLS + "Undeclared", []),
        denied("a declaration that is empty", nothing, CALLS + "EmptyRule"),
        denied("a declaration that is empty, and no token", nothing, CALLS + "EmptyRule", []),
        denied("other options alone", nothing, CALLS + "OtherOptions"),
        denied("another audience of the verifier", nothing, CALLS + "Undeclared", audience="orders") | {"audience": "orders"},
        *(denied(f"path {path}", unknown, path) for path in paths),
        denied("options that were lost", "A tool that does not know them has dropped them.", CALLS + "Any", policy="stripped"),
        denied(
            "options of a public method that were lost",
            "A tool that does not know them has dropped them.",
            CALLS + "Public",
            [],
            policy="stripped",
        ),
        passes("other options beside the rule", "The rule is what counts.", method=CALLS + "OtherOptionsToo"),
        passes("a service without a package", "Its path begins with its name.", method="/Plain/Call"),
        refused("a service without a package: no token", "The rule asks for one.", "TOKEN_MISSING", method="/Plain/Call", authorization=[]),
        denied("a service that is not annotated", nothing, "/corpus.v1.Bare/Check"),
        case("public by name", "The code says so.", [], {"code": "OK"}, "/corpus.v1.Bare/Check", public_services=["corpus.v1.Bare"]),
        denied(
            "public by name: another whose name begins so", "It is another.", "/corpus.v1.BareToo/Check", public_services=["corpus.v1.Bare"]
        ),
        denied(
            "public by name: another whose name ends so", "It is another.", "/corpus.v1.Bare/Check", public_services=["v1.Bare", "Bare"]
        ),
        refused(
            "public by name: others go by their rules",
            "The rule asks for a token.",
            "TOKEN_MISSING",
            method=CALLS + "Any",
            authorization=[],
            public_services=["corpus.v1.Bare"],
        ),
    ]


def _scopes() -> list[dict]:
    one, both, any_of, beside = CALLS + "Write", CALLS + "ReadAndWrite", CALLS + "AnyScope", CALLS + "ScopeAndAnyScope"
    scope = "INSUFFICIENT_SCOPE"
    write = lacks("stock:write")
    found = [
        passes("scope: it has it", "All that is asked for.", user(scope="stock:write"), method=one),
        passes("scope: it has it among others", "Their order is none.", user(scope="a stock:write b"), method=one),
        passes("scope: a client has it", "A client's scopes count, too.", client(scope="stock:write"), method=one),
        refused("scope: a client lacks it", "A client's scopes count, too.", scope, client(), method=one, **write),
        passes("scope: both", "All that is asked for.", user(scope="stock:write stock:read"), method=both),
        refused("scope: neither", "The first that is lacking is told.", scope, user(scope=""), method=both, **lacks("stock:read")),
        refused("scope: the first alone", "The first that is lacking is told.", scope, user(scope="stock:read"), method=both, **write),
        refused(
            "scope: the second alone",
            "The first that is lacking is told.",
            scope,
            user(scope="stock:write"),
            method=both,
            **lacks("stock:read"),
        ),
        passes("scope: all nine", "All that is asked for.", user(scope=NINE), method=CALLS + "NineScopes"),
        refused(
            "scope: the last of nine is lacking", "All are asked for.", scope, user(scope=EIGHT), method=CALLS + "NineScopes", **lacks("s9")
        ),
        refused(
            "scope: the fifth of nine is lacking",
            "The first that is lacking is told.",
            scope,
            user(scope="s1 s2 s3 s4 s6 s8"),
            method=CALLS + "NineScopes",
            **lacks("s5"),
        ),
        passes("any scope: the first", "One of them will do.", user(scope="stock:write"), method=any_of),
        passes("any scope: the second", "One of them will do.", user(scope="stock:admin"), method=any_of),
        passes("any scope: both", "One of them will do.", user(scope="stock:admin stock:write"), method=any_of),
        refused("any scope: neither", "All are told.", scope, method=any_of, **lacks("stock:write stock:admin")),
        refused("any scope: no scope at all", "All are told.", scope, user(scope=""), method=any_of, **lacks("stock:write stock:admin")),
        passes(
            "any scope: the ninth",
            "One of them will do, also one that no refusal tells.",
            user(scope="s9"),
            method=CALLS + "AnyOfNineScopes",
        ),
        refused("any scope: none of nine", "The first eight are told.", scope, method=CALLS + "AnyOfNineScopes", **lacks(EIGHT)),
        passes("scope and any scope: both", "All that is asked for.", user(scope="stock:read stock:admin"), method=beside),
        refused(
            "scope and any scope: the required one alone",
            "One of the others is asked for, too.",
            scope,
            method=beside,
            **lacks("stock:write stock:admin"),
        ),
        refused(
            "scope and any scope: one of the others alone",
            "The required one is asked for, too.",
            scope,
            user(scope="stock:write"),
            method=beside,
            **lacks("stock:read"),
        ),
        refused("scope and any scope: none", "What is required comes first.", scope, user(scope=""), method=beside, **lacks("stock:read")),
        passes("scope: two spaces before it", "No name stands between them.", user(scope="stock:read  stock:write"), method=one),
    ]
    looks_like = {
        "longer": "stock:writer",
        "shorter": "stock:writ",
        "of another case": "Stock:Write",
        "with a prefix": "my.stock:write",
        "with a comma": "stock:read,stock:write",
        "behind a comma": "stock:read, stock:write,",
        "with a tab": "stock:read\tstock:write",
        "with a newline": "stock:read\nstock:write",
        "with a no-break space": "stock:read\u00a0stock:write",
        "with a wide space": "stock:read\u3000stock:write",
        "a pattern": "stock:*",
        "all": "*",
        "with a plus": "stock:read+stock:write",
        "with a NUL": "stock:write\0",
        "with a vertical tab": "stock:read\u000bstock:write",
        "with a line separator": "stock:read\u2028stock:write",
    }
    return [
        *found,
        *(
            refused(f"scope that looks like it: {name}", "It is another.", scope, user(scope=text), method=one, **write)
            for name, text in looks_like.items()
        ),
    ]


def _callers() -> list[dict]:
    users, clients, either = CALLS + "Users", CALLS + "Clients", CALLS + "UnspecifiedCallers"
    return [
        passes("callers: a user where users may", "The token has a session.", method=users),
        refused(
            "callers: a client where users may", "It stands for a client.", "CALLER_NOT_ALLOWED", client(), method=users, **may("user")
        ),
        passes("callers: a client where clients may", "It stands for a client.", client(), method=clients),
        refused("callers: a user where clients may", "The token has a session.", "CALLER_NOT_ALLOWED", method=clients, **may("client")),
        refused(
            "callers: a user of a client of the same id where clients may",
            "The token has a session.",
            "CALLER_NOT_ALLOWED",
            user(client_id=ALICE),
            method=clients,
            **may("client"),
        ),
        passes("callers: a user where it is not said", "Either may call.", method=either),
        passes("callers: a client where it is not said", "Either may call.", client(), method=either),
        passes("callers: a client where nothing is asked for", "Either may call.", client(), method=CALLS + "Any"),
    ]


def _audiences() -> list[dict]:
    orders, write, own, none = CALLS + "Orders", CALLS + "OrdersWrite", CALLS + "OwnAudience", CALLS + "NoAudience"
    both, of_orders = user(aud=["stock", "orders"]), {"audience": "orders"}
    late = user(aud="orders", iat=NOW - 900, exp=NOW - 5)
    return [
        passes("audience of the rule: it is meant", "The rule names another than the verifier's.", user(aud="orders"), method=orders),
        passes("audience of the rule: it is one of two", "It is meant for both.", both, method=orders),
        invalid("audience of the rule: the verifier's own alone", "The rule's is asked for.", method=orders, **of_orders),
        invalid("audience of the rule: a third", "The rule's is asked for.", user(aud="billing"), method=orders, **of_orders),
        refused(
            "audience of the rule: no token",
            "The refusal tells for whom it must be.",
            "TOKEN_MISSING",
            method=orders,
            authorization=[],
            **of_orders,
        ),
        refused(
            "audience of the rule: expired", "The refusal tells for whom it must be.", "TOKEN_EXPIRED", late, method=orders, **of_orders
        ),
        invalid(
            "audience of the rule: garbage", "The refusal tells for whom it must be.", method=orders, authorization=bearer("x"), **of_orders
        ),
        passes("audience of the rule: with the scope", "All that is asked for.", user(aud="orders", scope="orders:write"), method=write),
        refused(
            "audience of the rule: without the scope",
            "The refusal tells for whom it must be.",
            "INSUFFICIENT_SCOPE",
            user(aud="orders"),
            method=write,
            metadata={"required_scope": "orders:write"},
            **of_orders,
        ),
        invalid(
            "audience of the rule: with the scope, for the verifier's own",
            "The audience is looked at first.",
            user(scope="orders:write"),
            method=write,
            **of_orders,
        ),
        passes("audience of the rule: the verifier's own", "It is said, and the same.", method=own),
        passes("audience of the rule: that of the file, where the verifier has another", "The rule's is asked for.", method=own)
        | of_orders,
        invalid(
            "audience of the rule: the verifier's, where the rule has that of the file",
            "The rule's is asked for.",
            user(aud="orders"),
            method=own,
        )
        | of_orders,
        passes("audience of the rule: empty", "It is as if it were unset.", method=none),
        invalid("audience of the rule: empty, and meant for nobody", "The verifier's own is asked for.", user(aud=""), method=none),
        passes("audience of the verifier: another", "It is meant for it.", user(aud="orders")) | of_orders,
        invalid("audience of the verifier: another than the token's", "It is not meant for it.", **of_orders) | of_orders,
        refused(
            "audience of the verifier: no token", "The refusal tells for whom it must be.", "TOKEN_MISSING", authorization=[], **of_orders
        )
        | of_orders,
    ]


def _together() -> list[dict]:
    everything = CALLS + "All"
    good = {"scope": "stock:read stock:admin", "roles": ["packer"]}
    scope = "INSUFFICIENT_SCOPE"
    return [
        passes("all fields: all are kept", "All that is asked for.", user(**good), method=everything),
        refused("all fields: a client", "Callers come first.", "CALLER_NOT_ALLOWED", client(**good), method=everything, **may("user")),
        refused(
            "all fields: a client that lacks all else",
            "Callers come first.",
            "CALLER_NOT_ALLOWED",
            client(scope=""),
            method=everything,
            **may("user"),
        ),
        refused(
            "all fields: lacks the required scope",
            "Scopes come next.",
            scope,
            user(scope="stock:admin", roles=[]),
            method=everything,
            **lacks("stock:read"),
        ),
        refused(
            "all fields: lacks one of the scopes",
            "They come behind those that are required.",
            scope,
            user(scope="stock:read"),
            method=everything,
            **lacks("stock:write stock:admin"),
        ),
        refused(
            "all fields: lacks the role",
            "Roles come last.",
            "INSUFFICIENT_ROLE",
            user(**{**good, "roles": ["boss"]}),
            method=everything,
            metadata={"required_role": "picker packer"},
        ),
        refused(
            "all fields: names no roles",
            "Roles come last.",
            "ROLES_NOT_IN_TOKEN",
            user(scope=good["scope"]),
            method=everything,
            metadata={"required_role": "picker packer"},
        ),
        invalid(
            "all fields: for another audience", "The audience comes before the rest.", client(aud="orders", scope=""), method=everything
        ),
    ]


def cases() -> list[dict]:
    """All."""
    return [*_public(), *_denied(), *_scopes(), *_callers(), *_audiences(), *_together()]
