package com.example.signet.sdk.testing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.example.signet.sdk.Caller;
import com.example.signet.sdk.CallerKind;
import com.example.signet.sdk.Reason;
import com.example.signet.sdk.Refusal;
import com.example.signet.sdk.Rule;
import com.example.signet.sdk.TimeSource;
import com.example.signet.sdk.Verifier;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class TestIssuerTest {
    private static final Rule ANY = Rule.authenticated();

    private final TestIssuer issuer = TestIssuer.create();
    private final Verifier verifier = issuer.verifier("stock").build();

    @ParameterizedTest
    @EnumSource
    void tokensOfEachAlgorithmAreGood(TestAlgorithm algorithm) {
        TestIssuer other = TestIssuer.builder().algorithm(algorithm).build();
        try (Verifier trusting = other.verifier("stock").build()) {
            Caller caller = trusting.verify(other.user("alice").audiences("stock").sign(), ANY, "/m").join();
            assertEquals(TestIssuer.id("alice"), caller.id());
        }
    }

    @Test
    void aTokenSaysWhatItWasToldToSay() {
        String token = issuer.user("alice").audiences("stock").scopes("a", "b").roles("boss").groups("g").clientId("shop").session("s1").sign();
        Caller caller = verify(token);
        assertEquals(CallerKind.USER, caller.kind());
        assertEquals(List.of("a", "b"), caller.scopes());
        assertEquals(List.of("boss"), caller.roles());
        assertEquals(List.of("g"), caller.groups());
        assertEquals(TestIssuer.id("shop"), caller.clientId());
        assertEquals(TestIssuer.id("s1"), caller.sessionId().orElseThrow());
        assertTrue(caller.hasScope("a") && caller.hasRole("boss"));
        assertEquals(issuer.time().now().plusSeconds(900), caller.expiresAt());
        assertEquals(CallerKind.CLIENT, verify(issuer.client("robot").audiences("stock", "orders").sign()).kind());
    }

    @Test
    void badTokensCanBeMade() {
        assertEquals(Reason.TOKEN_INVALID, refused(issuer.user("alice").sign()));
        assertEquals(Reason.TOKEN_INVALID, refused(issuer.user("alice").audiences("orders").sign()));
        assertEquals(Reason.TOKEN_INVALID, refused(issuer.user("alice").audiences("stock").typ("JWT").sign()));
        assertEquals(Reason.TOKEN_INVALID, refused(issuer.user("alice").audiences("stock").claim("iat", null).sign()));
        assertEquals(Reason.TOKEN_INVALID, refused(issuer.user("alice").audiences("stock").claim("jti", 1).sign()));
        assertEquals(Reason.TOKEN_EXPIRED, refused(issuer.user("alice").audiences("stock").lifetime(Duration.ofMinutes(-1)).sign()));
        assertEquals(Reason.TOKEN_INVALID, refused(TestIssuer.create().user("alice").audiences("stock").sign()), "another key");
    }

    @Test
    void timePassesWhenItIsTurned() {
        String token = issuer.user("alice").audiences("stock").sign();
        issuer.advance(Duration.ofSeconds(904));
        verify(token);
        issuer.advance(Duration.ofSeconds(1));
        assertEquals(Reason.TOKEN_EXPIRED, refused(token));
        TestIssuer system = TestIssuer.builder().time(TimeSource.system()).build();
        assertThrows(IllegalStateException.class, () -> system.advance(Duration.ZERO));
    }

    @Test
    void whatIsRevokedIsRefusedAlsoByVerifiersThatComeLater() {
        String alice = issuer.user("alice").audiences("stock").scopes("stock:write").sign();
        String robot = issuer.client("robot").audiences("stock").sign();
        String bob = issuer.user("bob").audiences("stock").scopes("stock:write").sign();
        issuer.revokeSession("alice");
        issuer.revokeClient("robot");
        issuer.takeScopes("bob", "stock", "stock:write");
        try (Verifier later = issuer.verifier("stock").build()) {
            for (String token : List.of(alice, robot, bob)) {
                assertEquals(Reason.TOKEN_REVOKED, refused(token));
                CompletionException refused = assertThrows(CompletionException.class, () -> later.verify(token, ANY, "/m").join());
                assertEquals(Reason.TOKEN_REVOKED, ((Refusal) refused.getCause()).reason());
            }
        }
        verify(issuer.user("carol").audiences("stock").sign());
    }

    @Test
    void keysRotate() {
        String before = issuer.user("alice").audiences("stock").sign();
        verify(before);
        issuer.rotateKey();
        verify(before);
        verify(issuer.user("alice").audiences("stock").sign());
        issuer.revokeKeys();
        verify(issuer.user("alice").audiences("stock").sign());
        // Its id is unknown now, and the issuer is asked once more before that is told.
        var refused = verifier.verify(before, ANY, "/m");
        issuer.advance(Duration.ofSeconds(5));
        assertThrows(CompletionException.class, refused::join);
    }

    private Caller verify(String token) {
        return verifier.verify(token, ANY, "/m").join();
    }

    private Reason refused(String token) {
        var verified = verifier.verify(token, ANY, "/m");
        issuer.advance(Duration.ZERO);
        // A key that is not known is asked for once more, not in a hurry.
        if (!verified.isDone()) {
            issuer.advance(Duration.ofSeconds(5));
        }
        CompletionException refused = assertThrows(CompletionException.class, verified::join);
        return ((Refusal) refused.getCause()).reason();
    }
}
