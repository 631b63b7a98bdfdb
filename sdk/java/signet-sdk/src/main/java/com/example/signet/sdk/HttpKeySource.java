package com.example.signet.sdk;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodySubscriber;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;

/** Fetches the keys of an issuer over HTTP: redirects are not followed, and nothing large is read. */
final class HttpKeySource implements KeySource {
    /** How large an answer may be, in bytes. */
    static final int ANSWER_MAX_BYTES = 1024 * 1024;

    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(5);

    private final HttpClient client = HttpClient.newBuilder()
            .followRedirects(HttpClient.Redirect.NEVER)
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(CONNECT_TIMEOUT)
            .build();
    private final IssuerAddress issuer;
    private final URI given;

    /** Where the metadata have said that the keys are; null until they did, and after a failure there. */
    private volatile URI discovered;

    /** The request that goes on, if one does. */
    private volatile CompletableFuture<?> inFlight = CompletableFuture.completedFuture(null);

    HttpKeySource(IssuerAddress issuer, URI jwksUri) {
        this.issuer = issuer;
        this.given = jwksUri;
    }

    @Override
    public CompletableFuture<Answer> fetch() {
        URI known = given != null ? given : discovered;
        CompletableFuture<URI> address = known != null ? CompletableFuture.completedFuture(known) : discover(issuer.metadata().iterator());
        CompletableFuture<Answer> asked = address.thenCompose(this::get).copy();
        asked.whenComplete((answer, failure) -> {
            if (failure != null) {
                // They may have moved.
                discovered = null;
                // Whoever has given up closes the connection, too: the answer may never end.
                inFlight.cancel(true);
            }
        });
        return asked;
    }

    private CompletableFuture<URI> discover(Iterator<URI> places) {
        URI place = places.next();
        return get(place).handle((answer, failure) -> {
            if (failure == null) {
                return CompletableFuture.completedFuture(jwksUri(place, answer));
            }
            return places.hasNext() ? discover(places) : CompletableFuture.<URI>failedFuture(failure);
        }).thenCompose(next -> next);
    }

    private URI jwksUri(URI place, Answer answer) {
        try {
            discovered = issuer.jwksUri(answer.document());
            return discovered;
        } catch (KeySet.Unusable unusable) {
            throw new CompletionException(new KeySet.Unusable(place + " " + unusable.getMessage()));
        }
    }

    private CompletableFuture<Answer> get(URI uri) {
        HttpRequest request = HttpRequest.newBuilder(uri)
                .header("Accept", "application/json, application/jwk-set+json")
                .header("Cache-Control", "no-cache")
                .header("User-Agent", "signet-sdk-java")
                .build();
        CompletableFuture<HttpResponse<byte[]>> sent =
                client.sendAsync(request, head -> head.statusCode() == 200 ? new Bounded() : new Nothing());
        inFlight = sent;
        return sent.thenApply(response -> {
            if (response.statusCode() != 200) {
                throw new CompletionException(new KeySet.Unusable(uri + " answered " + response.statusCode()));
            }
            return new Answer(response.body(), maxAge(response.headers()));
        });
    }

    /** For how long the answer may be kept (RFC 9111 section 5.2.2.1), less how old it is already; null if that is not said. */
    static Duration maxAge(HttpHeaders headers) {
        List<String> directives = headers.allValues("cache-control").stream()
                .flatMap(value -> List.of(value.split(",")).stream())
                .map(directive -> directive.trim().toLowerCase(Locale.ROOT))
                .toList();
        for (String directive : directives) {
            if (directive.equals("no-store") || directive.equals("no-cache")) {
                return Duration.ZERO;
            }
            OptionalLong seconds = directive.startsWith("max-age=")
                    ? number(directive.substring("max-age=".length()).replaceAll("^\"|\"$", ""))
                    : OptionalLong.empty();
            if (seconds.isPresent()) {
                long age = number(headers.firstValue("age").orElse("0").trim()).orElse(0);
                return Duration.ofSeconds(Math.max(0, seconds.getAsLong() - age));
            }
        }
        return null;
    }

    private static OptionalLong number(String text) {
        boolean isNumber = !text.isEmpty() && text.length() <= 18 && text.chars().allMatch(c -> c >= '0' && c <= '9');
        return isNumber ? OptionalLong.of(Long.parseLong(text)) : OptionalLong.empty();
    }

    /** Reads nothing: the connection is closed. */
    private static final class Nothing implements BodySubscriber<byte[]> {
        @Override
        public CompletionStage<byte[]> getBody() {
            return CompletableFuture.completedFuture(new byte[0]);
        }

        @Override
        public void onSubscribe(Flow.Subscription subscription) {
            subscription.cancel();
        }

        @Override
        public void onNext(List<ByteBuffer> parts) {}

        @Override
        public void onError(Throwable failure) {}

        @Override
        public void onComplete() {}
    }

    /** Reads a body up to the limit. */
    private static final class Bounded implements BodySubscriber<byte[]> {
        private final BodySubscriber<byte[]> all = HttpResponse.BodySubscribers.ofByteArray();
        private Flow.Subscription subscription;
        private long bytes;
        private boolean isOver;

        @Override
        public CompletionStage<byte[]> getBody() {
            return all.getBody();
        }

        @Override
        public void onSubscribe(Flow.Subscription given) {
            subscription = given;
            all.onSubscribe(given);
        }

        @Override
        public void onNext(List<ByteBuffer> parts) {
            for (ByteBuffer part : parts) {
                bytes += part.remaining();
            }
            if (bytes <= ANSWER_MAX_BYTES) {
                all.onNext(parts);
            } else if (!isOver) {
                isOver = true;
                subscription.cancel();
                all.onError(new KeySet.Unusable("the answer has more than " + ANSWER_MAX_BYTES + " bytes"));
            }
        }

        @Override
        public void onError(Throwable failure) {
            if (!isOver) {
                all.onError(failure);
            }
        }

        @Override
        public void onComplete() {
            if (!isOver) {
                all.onComplete();
            }
        }
    }
}
