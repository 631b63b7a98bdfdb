package com.example.signet.sdk;

import com.example.signet.identity.events.v1.WatchResponse;
import com.google.gson.Gson;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.util.JsonFormat;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** Reads the corpus that all SDKs run: {@code sdk/conformance}, or where SIGNET_CONFORMANCE says. */
final class Conformance {
    private static final Path FOLDER = Path.of(System.getenv().getOrDefault("SIGNET_CONFORMANCE", "../../conformance"));

    private Conformance() {}

    static Map<String, Object> file(String name) {
        try {
            return Json.object(Files.readAllBytes(FOLDER.resolve(name)));
        } catch (IOException missing) {
            throw new UncheckedIOException(missing);
        } catch (Json.NotJson malformed) {
            throw new IllegalStateException(name, malformed);
        }
    }

    static byte[] policy(String name) {
        try {
            return Files.readAllBytes(FOLDER.resolve("policies").resolve(name + ".binpb"));
        } catch (IOException missing) {
            throw new UncheckedIOException(missing);
        }
    }

    /** A source that answers a set of {@code keys.json} at once. */
    static KeySource keys(String name) {
        byte[] document = new Gson().toJson(file("keys.json").get(name)).getBytes(StandardCharsets.UTF_8);
        return () -> CompletableFuture.completedFuture(new KeySource.Answer(document, null));
    }

    static WatchResponse message(Object json) {
        try {
            WatchResponse.Builder message = WatchResponse.newBuilder();
            JsonFormat.parser().merge(new Gson().toJson(json), message);
            return message.build();
        } catch (InvalidProtocolBufferException malformed) {
            throw new IllegalStateException(malformed);
        }
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> members(Object value) {
        return (Map<String, Object>) value;
    }

    @SuppressWarnings("unchecked")
    static <T> List<T> list(Map<String, Object> of, String name) {
        return (List<T>) of.getOrDefault(name, List.of());
    }

    @SuppressWarnings("unchecked")
    static <T> T get(Map<String, Object> of, String name, T absent) {
        return (T) of.getOrDefault(name, absent);
    }

    static Instant time(Object seconds) {
        return Instant.ofEpochSecond((Long) seconds);
    }
}
