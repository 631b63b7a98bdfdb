package com.example.signet.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.nimbusds.jwt.SignedJWT;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.Test;

/** What refusals say: Signet's own words, and for each token that is invalid the reason why. */
class SentencesTest {
    private final ManualTime time = new ManualTime(Instant.ofEpochSecond(1_800_000_000));
    private final Tokens tokens = new Tokens(time);

    @Test
    void eachTokenThatIsInvalidIsToldWhy() throws Exception {
        try (Verifier verifier = tokens.verifier().build()) {
            String good = tokens.user();
            String kid = SignedJWT.parse(good).getHeader().getKeyID();
            Map<String, String> whys = new java.util.LinkedHashMap<>();
            whys.put("a".repeat(8_193), "it is too long");
            whys.put("a.b", "it is not a JWT");
            whys.put(headed("[]"), "it is not a JWT");
            whys.put(headed("{'typ':'at+jwt','kid':'k'}"), "it is not a JWT");
            whys.put(headed("{'typ':'JWT','alg':'ES256','kid':'k'}"), "its `typ` is not `at+jwt`");
            whys.put(headed("{'alg':'ES256','kid':'k'}"), "its `typ` is not `at+jwt`");
            whys.put(headed("{'typ':'at+jwt','alg':'ES256','kid':'k','crit':[]}"), "it has critical header extensions");
            whys.put(headed("{'typ':'at+jwt','alg':'ES256'}"), "it names no key");
            whys.put(headed("{'typ':'at+jwt','alg':'ES256','kid':''}"), "it names no key");
            whys.put(tokens.sign(tokens.claims(), "another"), "its key is unknown");
            whys.put(headed("{'typ':'at+jwt','alg':'RS256','kid':'" + kid + "'}"), "its algorithm is not the one of its key");
            whys.put(headed("{'typ':'at+jwt','alg':'ES256','kid':'" + kid + "'}"), "its signature does not verify");
            whys.put(changed("iss", "https://other.example"), "its issuer is another one");
            whys.put(changed("jti", 1), "it lacks required claims");
            whys.put(changed("sid", null), "it has no session, and is not a client's own");
            whys.put(changed("aud", "orders"), "it is meant for another audience");
            whys.put(changed("nbf", time.now().getEpochSecond() + 60), "it is not valid yet");
            whys.forEach((token, why) -> assertEquals("the access token is invalid: " + why, said(verifier, "Bearer " + token)));
            assertEquals("the access token is invalid: there is more than one `authorization`",
                    said(verifier, "Bearer " + good, "Bearer " + good));
            for (String other : List.of("Basic a", "Bearer ", "Bearer é")) {
                assertEquals("the access token is invalid: `authorization` must be `Bearer <access_token>`", said(verifier, other));
            }
            assertEquals("this call needs an access token: send `authorization: Bearer <access_token>`", said(verifier));
        }
    }

    @Test
    void theOthersAreToldInTheWordsOfSignet() {
        assertEquals("the access token has expired", Sentences.of(Reason.TOKEN_EXPIRED, null, Map.of()));
        assertEquals("the access token is no longer accepted: its session has ended, or its user or client has been disabled or deleted",
                Sentences.of(Reason.TOKEN_REVOKED, null, Map.of()));
        assertEquals("only a user may call this", Sentences.of(Reason.CALLER_NOT_ALLOWED, null, Map.of("callers", "user")));
        assertEquals("only a client by itself may call this", Sentences.of(Reason.CALLER_NOT_ALLOWED, null, Map.of("callers", "client")));
        assertEquals("the scope `a` is needed, and was not granted",
                Sentences.of(Reason.INSUFFICIENT_SCOPE, null, Map.of("required_scope", "a")));
        assertEquals("one of the scopes `a`, `b` is needed, and was not granted",
                Sentences.of(Reason.INSUFFICIENT_SCOPE, null, Map.of("required_scope", "a b")));
        assertEquals("the role `a` is needed, and was not given",
                Sentences.of(Reason.INSUFFICIENT_ROLE, null, Map.of("required_role", "a")));
        assertEquals("one of the roles `a`, `b` is needed, and the token does not say which roles its holder has: it has no claim `roles`,"
                        + " or is for several audiences; the claim is left out where the client does not have it told, and for a holder who"
                        + " has no role",
                Sentences.of(Reason.ROLES_NOT_IN_TOKEN, null, Map.of("required_role", "a b")));
    }

    @Test
    void whatCannotBeReachedIsNamed() {
        Revocations untold = Revocations.told(time);
        try (Verifier verifier = tokens.verifier().revocations(untold).build()) {
            assertEquals("the service cannot reach its stream of revocations at the moment", said(verifier, "Bearer " + tokens.user()));
            untold.tell(Messages.snapshot());
            String token = changed("roles_omitted", true);
            Rule rule = Rule.builder().anyRoles("boss").build();
            assertEquals("the service cannot reach its roles of the caller at the moment", refusal(verifier, rule, token).description());
        }
        try (Verifier verifier = tokens.verifier().introspection(it -> null).build()) {
            Rule rule = Rule.builder().anyRoles("boss").build();
            assertEquals("the service cannot reach its introspection of tokens at the moment",
                    refusal(verifier, rule, changed("roles_omitted", true)).description());
        }
        tokens.hold();
        Verifier verifier = tokens.verifier().build();
        var waits = verifier.verify(tokens.user(), Rule.authenticated(), "/m");
        verifier.close();
        Refusal refusal = (Refusal) assertThrows(CompletionException.class, waits::join).getCause();
        assertEquals("the service cannot reach its token issuer at the moment", refusal.description());
        assertEquals("UNAVAILABLE: " + refusal.description(), refusal.toException().getMessage());
    }

    @Test
    void whyNobodyMayCallIsTold() throws Exception {
        try (Verifier verifier = tokens.verifier().build()) {
            GuardInterceptor guard = GuardInterceptor.of(verifier, Policy.builder().descriptorSet(Conformance.policy("corpus")).build());
            FakeCall unknown = new FakeCall("/corpus.v1.Calls/Nowhere", io.grpc.MethodDescriptor.MethodType.UNARY);
            unknown.through(guard, List.of());
            assertEquals("this method is not in the policy of the service, so nobody may call it", unknown.closed.getDescription());
            FakeCall undeclared = new FakeCall("/corpus.v1.Calls/Undeclared", io.grpc.MethodDescriptor.MethodType.UNARY);
            undeclared.through(guard, List.of());
            assertEquals("this method declares no access rule, so nobody may call it", undeclared.closed.getDescription());
        }
    }

    private String changed(String name, Object value) {
        var claims = tokens.claims();
        if (value == null) {
            claims.remove(name);
        } else {
            claims.put(name, value);
        }
        return tokens.sign(claims);
    }

    private static String headed(String header) {
        String payload = Base64Url.encode("{}".getBytes());
        return Base64Url.encode(header.replace('\'', '"').getBytes()) + "." + payload + "." + Base64Url.encode(new byte[64]);
    }

    private static Refusal refusal(Verifier verifier, Rule rule, String token) {
        var call = verifier.verify(token, rule, "/m");
        return (Refusal) assertThrows(CompletionException.class, call::join).getCause();
    }

    private String said(Verifier verifier, String... authorization) {
        var call = verifier.authenticate(List.of(authorization), Rule.authenticated(), "/m");
        // What names an unknown key waits until the issuer may be asked.
        time.advance(java.time.Duration.ofSeconds(call.isDone() ? 0 : 5));
        return ((Refusal) assertThrows(CompletionException.class, call::join).getCause()).description();
    }
}
