package com.example.signet.spring;

import com.example.signet.sdk.TimeSource;
import com.example.signet.sdk.testing.TestIssuer;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;

/** A test issuer that answers its metadata and keys over HTTP, as Signet does. */
final class WebIssuer implements AutoCloseable {
    final TestIssuer issuer;
    private final HttpServer server;

    WebIssuer() throws IOException {
        server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        String url = "http://127.0.0.1:" + server.getAddress().getPort();
        issuer = TestIssuer.builder().issuer(url).time(TimeSource.system()).build();
        server.createContext("/", exchange -> {
            boolean isKeys = exchange.getRequestURI().getPath().equals("/jwks.json");
            byte[] body = (isKeys ? issuer.jwks() : issuer.metadata()).getBytes(StandardCharsets.UTF_8);
            exchange.getResponseHeaders().set("Content-Type", "application/json");
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }

    @Override
    public void close() {
        server.stop(0);
    }
}
