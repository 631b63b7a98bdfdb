package com.example.signet.spring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.example.signet.sdk.testing.TestIssuer;
import java.net.ServerSocket;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.springframework.context.ConfigurableApplicationContext;

/** A service that is protected by two properties alone. */
class StarterTest {
    @Test
    void twoPropertiesProtectAService() throws Exception {
        try (WebIssuer web = new WebIssuer();
                ConfigurableApplicationContext application =
                        Application.start("signet.issuer=" + web.issuer.issuer(), "signet.audience=stock")) {
            String good = web.issuer.user("alice").audiences("stock").scopes("stock:write").sign();
            HttpResponse<String> answer = Application.get(application, good);
            assertEquals(200, answer.statusCode());
            assertEquals(TestIssuer.id("alice") + " [SCOPE_stock:write]", answer.body());

            HttpResponse<String> without = Application.get(application, null);
            assertEquals(401, without.statusCode());
            assertTrue(challenge(without).startsWith("Bearer"), challenge(without));
            assertFalse(without.headers().firstValue("Set-Cookie").isPresent());

            refused(Application.getWith(application, List.of(good, good)), good, "TOKEN_INVALID");
            refused(application, web.issuer.user("alice").audiences("orders").sign(), "TOKEN_INVALID");
            refused(application, web.issuer.user("alice").audiences("stock").typ("JWT").sign(), "TOKEN_INVALID");
            refused(application, web.issuer.user("alice").audiences("stock").lifetime(Duration.ofMinutes(-1)).sign(), "TOKEN_INVALID", "TOKEN_EXPIRED");
            // Within the leeway, and yet nothing that Spring takes for a token.
            refused(application, web.issuer.user("alice").audiences("stock").lifetime(Duration.ofSeconds(-1)).sign(), "TOKEN_INVALID");
            refused(application, good.substring(0, good.length() - 8) + "AAAAAAAA", "TOKEN_INVALID");
        }
    }

    @Test
    void noPathAndNoDispatchLeadsAroundTheToken() throws Exception {
        try (WebIssuer web = new WebIssuer();
                ConfigurableApplicationContext application =
                        Application.start("signet.issuer=" + web.issuer.issuer(), "signet.audience=stock")) {
            String token = web.issuer.user("alice").audiences("stock").scopes("stock:read").sign();
            for (String path : List.of(
                    "/", "/;jsessionid=1", "//", "/.", "/x/..", "/x/%2e%2e/", "/%2Fwrite", "/write%2F", "/write;a=b", "/x/..;/write",
                    "/WRITE", "/write/", "/later", "/fails", "/forward", "/error", "/nothing", "/?access_token=" + token)) {
                int status = Application.get(application, path, List.of()).statusCode();
                assertTrue(status == 401 || status == 400, path + ": " + status);
            }
            assertEquals("later", Application.get(application, "/later", List.of(token)).body());
            assertEquals(500, Application.get(application, "/fails", List.of(token)).statusCode());
            assertEquals(404, Application.get(application, "/nothing", List.of(token)).statusCode());
            assertTrue(Application.get(application, "/forward", List.of(token)).body().startsWith(TestIssuer.id("alice")));
            for (String path : List.of("/write", "/write;a=b", "/write/", "/%2Fwrite", "/x/..;/write", "/WRITE")) {
                assertTrue(Application.get(application, path, List.of(token)).statusCode() >= 400, path);
            }
            String writes = web.issuer.user("alice").audiences("stock").scopes("stock:write").sign();
            assertEquals(403, Application.get(application, "/write", List.of(token)).statusCode());
            assertEquals("written", Application.get(application, "/write", List.of(writes)).body());
        }
    }

    @Test
    void whileTheIssuerIsAwayItCannotTell() throws Exception {
        int closed;
        try (ServerSocket free = new ServerSocket(0)) {
            closed = free.getLocalPort();
        }
        String issuer = "http://127.0.0.1:" + closed;
        try (ConfigurableApplicationContext application = Application.start("signet.issuer=" + issuer, "signet.audience=stock")) {
            HttpResponse<String> answer =
                    Application.get(application, TestIssuer.builder().issuer(issuer).build().user("alice").audiences("stock").sign());
            assertEquals(503, answer.statusCode());
        }
    }

    private static void refused(ConfigurableApplicationContext application, String token, String... reasons) throws Exception {
        refused(Application.get(application, token), token, reasons);
    }

    private static void refused(HttpResponse<String> answer, String token, String... reasons) {
        assertEquals(401, answer.statusCode());
        String challenge = challenge(answer);
        assertTrue(challenge.contains("error=\"invalid_token\""), challenge);
        assertTrue(java.util.Arrays.stream(reasons).anyMatch(challenge::contains), challenge);
        assertFalse(challenge.contains(token));
    }

    private static String challenge(HttpResponse<?> response) {
        return response.headers().firstValue("WWW-Authenticate").orElseThrow();
    }
}
