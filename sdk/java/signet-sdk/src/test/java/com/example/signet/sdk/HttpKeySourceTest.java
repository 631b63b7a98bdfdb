package com.example.signet.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpHeaders;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Fetching keys over HTTP, from a server that answers well and badly. */
class HttpKeySourceTest {
    private record Page(int status, Map<String, String> headers, byte[] body) {}

    private static final String RFC_8414 = "/.well-known/oauth-authorization-server";
    private static final String OPENID = "/.well-known/openid-configuration";

    private final Map<String, Page> pages = new ConcurrentHashMap<>();
    private final AtomicInteger requests = new AtomicInteger();
    private HttpServer server;
    private String issuer;

    @BeforeEach
    void start() throws IOException {
        server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        issuer = "http://127.0.0.1:" + server.getAddress().getPort();
        server.createContext("/", exchange -> {
            requests.incrementAndGet();
            Page page = pages.getOrDefault(exchange.getRequestURI().getPath(), new Page(404, Map.of(), new byte[0]));
            page.headers.forEach(exchange.getResponseHeaders()::set);
            exchange.sendResponseHeaders(page.status, page.body.length == 0 ? -1 : page.body.length);
            try (exchange) {
                exchange.getResponseBody().write(page.body);
            }
        });
        server.start();
    }

    @AfterEach
    void stop() {
        server.stop(0);
    }

    @Test
    void theKeysAreFoundByTheMetadataOfEitherSpecificationOnce() throws Exception {
        for (String place : List.of(RFC_8414, OPENID)) {
            pages.clear();
            requests.set(0);
            page(place, metadata(issuer, issuer + "/keys"));
            pages.put("/keys", new Page(200, Map.of("Cache-Control", "public, max-age=60"), "{}".getBytes(StandardCharsets.UTF_8)));
            HttpKeySource source = source();
            for (int fetch = 0; fetch < 3; fetch++) {
                KeySource.Answer answer = source.fetch().get(10, TimeUnit.SECONDS);
                assertEquals("{}", new String(answer.document(), StandardCharsets.UTF_8));
                assertEquals(Duration.ofSeconds(60), answer.maxAge());
            }
            assertEquals((place.equals(RFC_8414) ? 1 : 2) + 3, requests.get());
            pages.remove("/keys");
            assertTrue(problem(source).contains("404"));
            page(place, metadata(issuer, issuer + "/moved"));
            page("/moved", "{}");
            source.fetch().get(10, TimeUnit.SECONDS);
        }
    }

    @Test
    void metadataOfAnotherIssuerLeadNowhere() {
        page(OPENID, metadata(issuer, issuer + "/keys"));
        page("/keys", "{}");
        for (String said : List.of(issuer + "/", "https://evil.example", "")) {
            page(RFC_8414, metadata(said, issuer + "/keys"));
            assertTrue(problem(source()).contains("another issuer"), said);
        }
    }

    @Test
    void nothingIsFollowedAndNothingLargeIsRead() {
        page(RFC_8414, metadata(issuer, issuer + "/keys"));
        page("/elsewhere", "{}");
        pages.put("/keys", new Page(302, Map.of("Location", issuer + "/elsewhere"), new byte[0]));
        assertTrue(problem(source()).contains("302"));
        page("/keys", "x".repeat(HttpKeySource.ANSWER_MAX_BYTES + 1));
        assertTrue(problem(source()).contains("more than"));
        pages.put("/keys", new Page(204, Map.of(), new byte[0]));
        assertTrue(problem(source()).contains("204"));
    }

    @Test
    void theMetadataAreWhereBothSpecificationsPutThem() throws Exception {
        assertEquals(
                List.of(URI.create("http://id.example:8080/.well-known/oauth-authorization-server/a/b"),
                        URI.create("http://id.example:8080/a/b/.well-known/openid-configuration")),
                IssuerAddress.parse("http://id.example:8080/a/b/").metadata());
        IssuerAddress https = IssuerAddress.parse("https://id.example");
        byte[] down = metadata("https://id.example", "http://id.example/keys").getBytes(StandardCharsets.UTF_8);
        assertThrows(KeySet.Unusable.class, () -> https.jwksUri(down));
        byte[] good = metadata("https://id.example", "https://keys.example/keys").getBytes(StandardCharsets.UTF_8);
        assertEquals("https://keys.example/keys", https.jwksUri(good).toString());
    }

    @Test
    void whatTheIssuerSaysOfFreshnessIsHeeded() {
        assertEquals(300, fresh("public, max-age=300", null).toSeconds());
        assertEquals(200, fresh("Max-Age=\"300\"", "100").toSeconds());
        assertEquals(0, fresh("max-age=300", "1000").toSeconds());
        assertEquals(0, fresh("no-cache, max-age=300", null).toSeconds());
        assertEquals(null, fresh("max-age=-1", null));
        assertEquals(null, fresh("s-maxage=5", null));
    }

    private static Duration fresh(String cacheControl, String age) {
        Map<String, List<String>> headers = age == null
                ? Map.of("Cache-Control", List.of(cacheControl))
                : Map.of("Cache-Control", List.of(cacheControl), "Age", List.of(age));
        return HttpKeySource.maxAge(HttpHeaders.of(headers, (name, value) -> true));
    }

    private HttpKeySource source() {
        return new HttpKeySource(IssuerAddress.parse(issuer), null);
    }

    private static String problem(HttpKeySource source) {
        Throwable failure = assertThrows(ExecutionException.class, () -> source.fetch().get(10, TimeUnit.SECONDS));
        StringBuilder chain = new StringBuilder();
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            chain.append(cause.getMessage()).append("; ");
        }
        return chain.toString();
    }

    private void page(String path, String body) {
        pages.put(path, new Page(200, Map.of(), body.getBytes(StandardCharsets.UTF_8)));
    }

    private static String metadata(String issuer, String jwksUri) {
        return "{\"issuer\":\"" + issuer + "\",\"jwks_uri\":\"" + jwksUri + "\"}";
    }
}
