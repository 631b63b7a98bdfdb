package com.example.signet.sdk;

import java.util.Map;

/** Owns what refusals say to people: word for word what Signet itself says. */
final class Sentences {
    // Why a token is invalid: nothing of the token is quoted.
    static final String TOO_LONG = "it is too long";
    static final String NOT_A_JWT = "it is not a JWT";
    static final String ANOTHER_TYP = "its `typ` is not `at+jwt`";
    static final String CRITICAL = "it has critical header extensions";
    static final String NO_KEY = "it names no key";
    static final String UNKNOWN_KEY = "its key is unknown";
    static final String ANOTHER_ALGORITHM = "its algorithm is not the one of its key";
    static final String FORGED = "its signature does not verify";
    static final String ANOTHER_ISSUER = "its issuer is another one";
    static final String LACKS_CLAIMS = "it lacks required claims";
    static final String NO_SESSION = "it has no session, and is not a client's own";
    static final String ANOTHER_AUDIENCE = "it is meant for another audience";
    static final String NOT_YET = "it is not valid yet";
    static final String SEVERAL = "there is more than one `authorization`";
    static final String NOT_BEARER = "`authorization` must be `Bearer <access_token>`";

    // What cannot be reached.
    static final String ISSUER = "token issuer";
    static final String REVOCATIONS = "stream of revocations";
    static final String INTROSPECTION = "introspection of tokens";
    static final String ROLES = "roles of the caller";

    // Why nobody may call.
    static final String UNDECLARED = "this method declares no access rule";
    static final String NOT_IN_POLICY = "this method is not in the policy of the service";

    private Sentences() {}

    /**
     * What is said of a refusal.
     *
     * @param detail one of the above, for {@code TOKEN_INVALID}, {@code UNAVAILABLE} and {@code ACCESS_UNDECLARED}; else null
     */
    static String of(Reason reason, String detail, Map<String, String> metadata) {
        return switch (reason) {
            case TOKEN_MISSING -> "this call needs an access token: send `authorization: Bearer <access_token>`";
            case TOKEN_INVALID -> "the access token is invalid: " + detail;
            case TOKEN_EXPIRED -> "the access token has expired";
            case TOKEN_REVOKED ->
                    "the access token is no longer accepted: its session has ended, or its user or client has been disabled or deleted";
            case ACCESS_UNDECLARED -> detail + ", so nobody may call it";
            case CALLER_NOT_ALLOWED -> "only " + kind(metadata.get("callers")) + " may call this";
            case INSUFFICIENT_SCOPE -> oneOf("scope", metadata.get("required_scope")) + " needed, and was not granted";
            case INSUFFICIENT_ROLE -> oneOf("role", metadata.get("required_role")) + " needed, and was not given";
            case ROLES_NOT_IN_TOKEN -> oneOf("role", metadata.get("required_role"))
                    + " needed, and the token does not say which roles its holder has: it has no claim `roles`, or is for several"
                    + " audiences; the claim is left out where the client does not have it told, and for a holder who has no role";
            case UNAVAILABLE -> "the service cannot reach its " + detail + " at the moment";
        };
    }

    /** The detail of a token that does not count at this moment, for {@code reason}. */
    static String over(Reason reason) {
        return reason == Reason.TOKEN_INVALID ? NOT_YET : REVOCATIONS;
    }

    private static String kind(String label) {
        return CallerKind.USER.label().equals(label) ? "a user" : "a client by itself";
    }

    /** That one of {@code names}, which have spaces between, is what is needed. */
    private static String oneOf(String what, String names) {
        boolean areSeveral = names.contains(" ");
        return areSeveral ? "one of the " + what + "s `" + names.replace(" ", "`, `") + "` is" : "the " + what + " `" + names + "` is";
    }
}
