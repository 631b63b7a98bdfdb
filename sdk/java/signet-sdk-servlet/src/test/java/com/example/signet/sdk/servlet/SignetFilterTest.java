package com.example.signet.sdk.servlet;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.example.signet.sdk.Caller;
import com.example.signet.sdk.Rule;
import com.example.signet.sdk.SignetServers;
import com.example.signet.sdk.Verifier;
import com.example.signet.sdk.testing.TestIssuer;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.descriptor.web.FilterDef;
import org.apache.tomcat.util.descriptor.web.FilterMap;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The filter in a real container. */
class SignetFilterTest {
    private static final TestIssuer ISSUER = TestIssuer.create();
    private static final Verifier VERIFIER = ISSUER.verifier("stock").build();
    private static final Verifier BLIND = ISSUER.verifier("stock").revocations(com.example.signet.sdk.Revocations.told(ISSUER.time())).build();

    @TempDir
    static Path folder;

    private static Tomcat tomcat;

    @BeforeAll
    static void start() throws Exception {
        tomcat = new Tomcat();
        tomcat.setBaseDir(folder.toString());
        tomcat.setPort(0);
        tomcat.setSilent(true);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        Context context = tomcat.addContext("", folder.toString());
        Tomcat.addServlet(context, "hello", new Hello());
        context.addServletMappingDecoded("/*", "hello");
        guard(context, "/any", VERIFIER, Rule.authenticated());
        guard(context, "/write", VERIFIER, Rule.builder().requiredScopes("stock:write").build());
        guard(context, "/role", VERIFIER, Rule.builder().anyRoles("boss").build());
        guard(context, "/odd", VERIFIER, Rule.builder().anyRoles("a\"b\\c\nd").build());
        guard(context, "/blind", BLIND, Rule.authenticated());
        tomcat.start();
    }

    @AfterAll
    static void stop() throws Exception {
        tomcat.stop();
        tomcat.destroy();
    }

    @Test
    void whereThereIsNoTransportSignetIsNotFollowedInVain() {
        RuntimeException failure = assertThrows(RuntimeException.class, () -> SignetServers.of("127.0.0.1:50051"));
        assertTrue(failure.getMessage().contains("grpc-netty-shaded"), failure.getMessage());
    }

    @Test
    void whoKeepsTheRuleIsLetInAndKnown() throws Exception {
        String token = ISSUER.user("alice").audiences("stock").scopes("stock:write").roles("boss").sign();
        for (String path : new String[] {"/any", "/write", "/role"}) {
            HttpResponse<String> response = get(path, "Bearer " + token);
            assertEquals(200, response.statusCode());
            String id = TestIssuer.id("alice");
            assertEquals(id + " " + id + " true", response.body());
        }
    }

    @Test
    void whoHasNoTokenIsAskedForOne() throws Exception {
        HttpResponse<String> response = get("/any");
        assertEquals(401, response.statusCode());
        assertEquals("Bearer realm=\"stock\"", challenge(response));
        assertTrue(response.body().contains("\"reason\":\"TOKEN_MISSING\""), response.body());
    }

    @Test
    void badTokensAreRefusedWithTheReason() throws Exception {
        String other = ISSUER.user("alice").audiences("orders").sign();
        HttpResponse<String> response = get("/any", "Bearer " + other);
        assertEquals(401, response.statusCode());
        assertTrue(challenge(response).startsWith("Bearer error=\"invalid_token\""), challenge(response));
        assertEquals(
                "{\"error\":\"invalid_token\",\"reason\":\"TOKEN_INVALID\",\"error_description\":"
                        + "\"the access token is invalid: it is meant for another audience\"}",
                response.body());
        assertEquals("Bearer error=\"invalid_token\", error_description=\"the access token is invalid: it is meant for another audience\"",
                challenge(response));
        assertTrue(!response.body().contains(other) && !challenge(response).contains(other));
        String good = ISSUER.user("alice").audiences("stock").sign();
        assertEquals(401, get("/any", "Bearer " + good, "Bearer " + good).statusCode(), "two values");
    }

    @Test
    void whoLacksAScopeOrARoleIsTold() throws Exception {
        String token = ISSUER.user("alice").audiences("stock").sign();
        HttpResponse<String> scope = get("/write", "Bearer " + token);
        assertEquals(403, scope.statusCode());
        assertTrue(challenge(scope).contains("error=\"insufficient_scope\"") && challenge(scope).endsWith("scope=\"stock:write\""));
        HttpResponse<String> role = get("/role", "Bearer " + token);
        assertEquals(403, role.statusCode());
        assertTrue(role.body().contains("ROLES_NOT_IN_TOKEN"));
        HttpResponse<String> odd = get("/odd", "Bearer " + token);
        assertTrue(odd.body().contains("the role `a\\u0022b\\u005cc\\u000ad` is needed"), odd.body());
        assertTrue(challenge(odd).contains("the role `abcd` is needed"), challenge(odd));
    }

    @Test
    void whoCannotTellIsUnavailable() throws Exception {
        HttpResponse<String> response = get("/blind", "Bearer " + ISSUER.user("alice").audiences("stock").sign());
        assertEquals(503, response.statusCode());
        assertEquals("1", response.headers().firstValue("Retry-After").orElseThrow());
        assertTrue(response.body().contains("\"reason\":\"UNAVAILABLE\""));
    }

    private static String challenge(HttpResponse<?> response) {
        return response.headers().firstValue("WWW-Authenticate").orElseThrow();
    }

    private static HttpResponse<String> get(String path, String... authorization) throws Exception {
        URI uri = URI.create("http://127.0.0.1:" + tomcat.getConnector().getLocalPort() + path);
        HttpRequest.Builder request = HttpRequest.newBuilder(uri);
        for (String value : authorization) {
            request.header("Authorization", value);
        }
        return HttpClient.newHttpClient().send(request.build(), HttpResponse.BodyHandlers.ofString());
    }

    private static void guard(Context context, String path, Verifier verifier, Rule rule) {
        FilterDef definition = new FilterDef();
        definition.setFilterName(path);
        definition.setFilter(new SignetFilter(verifier, rule));
        context.addFilterDef(definition);
        FilterMap mapping = new FilterMap();
        mapping.setFilterName(path);
        mapping.addURLPattern(path);
        context.addFilterMap(mapping);
    }

    private static final class Hello extends HttpServlet {
        private static final long serialVersionUID = 1;

        @Override
        protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
            String known = SignetFilter.caller(request).map(Caller::id).orElse("nobody");
            response.getWriter().print(known + " " + request.getUserPrincipal().getName() + " " + request.getAuthType().equals("Bearer"));
        }
    }
}
