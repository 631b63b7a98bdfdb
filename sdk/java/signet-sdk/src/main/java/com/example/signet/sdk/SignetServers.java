package com.example.signet.sdk;

import io.grpc.CallCredentials;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * Where Signet is: the addresses of its replicas, and how they are reached. A channel to each is opened when it is needed first, and kept
 * until {@link #close}. A transport of grpc-java, such as {@code grpc-netty-shaded}, must be on the class path: else making this fails.
 */
public final class SignetServers implements AutoCloseable {
    /** How long one replica may take to answer, in seconds. */
    private static final long DEADLINE_SECONDS = 5;

    /** After how long without a word the connection is looked at, and how long that may take, in seconds. */
    private static final long KEEPALIVE_SECONDS = 10;

    private static final long KEEPALIVE_TIMEOUT_SECONDS = 5;

    private static final Metadata.Key<String> AUTHORIZATION = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    private final List<String> addresses;
    private final ChannelCredentials credentials;
    private final boolean allowsPlaintext;
    private final ManagedChannel[] channels;
    private int preferred;
    private boolean isClosed;

    private SignetServers(List<String> addresses, ChannelCredentials credentials, boolean allowsPlaintext) {
        if (addresses.isEmpty()) {
            throw new IllegalArgumentException("at least one address of Signet is needed");
        }
        this.addresses = addresses;
        this.credentials = credentials;
        this.allowsPlaintext = allowsPlaintext;
        this.channels = new ManagedChannel[addresses.size()];
        // Now, and not in the background: without a transport, or with an address that is none, nothing would work later.
        addresses.forEach(address -> Grpc.newChannelBuilder(address, credentials));
    }

    /**
     * Signet over TLS, by the certification authorities of the system; over plaintext if all addresses are loopback ones.
     *
     * @param addresses {@code host:port} of each replica, or targets of grpc-java
     * @return the servers
     */
    public static SignetServers of(String... addresses) {
        boolean isLocal = List.of(addresses).stream().allMatch(Addresses::isLoopback);
        return new SignetServers(List.of(addresses), isLocal ? InsecureChannelCredentials.create() : TlsChannelCredentials.create(), false);
    }

    /**
     * Signet by other credentials, such as those with the client's certificate or another certification authority
     * ({@link TlsChannelCredentials}).
     *
     * @param credentials of the channels; not plaintext
     * @param addresses as in {@link #of}
     * @return the servers
     * @throws IllegalArgumentException if the credentials are plaintext and an address is not a loopback one
     */
    public static SignetServers with(ChannelCredentials credentials, String... addresses) {
        boolean isLocal = List.of(addresses).stream().allMatch(Addresses::isLoopback);
        if (credentials instanceof InsecureChannelCredentials && !isLocal) {
            throw new IllegalArgumentException("plaintext needs allowPlaintext with a reason");
        }
        return new SignetServers(List.of(addresses), credentials, false);
    }

    /**
     * Signet over plaintext, where something else protects the way: secrets and tokens go over it.
     *
     * @param reason why that is safe, for whoever reads the code, such as "the sidecar encrypts"
     * @param addresses as in {@link #of}
     * @return the servers
     * @throws IllegalArgumentException if there is no reason
     */
    public static SignetServers allowPlaintext(String reason, String... addresses) {
        if (reason.isBlank()) {
            throw new IllegalArgumentException("plaintext needs a reason");
        }
        return new SignetServers(List.of(addresses), InsecureChannelCredentials.create(), true);
    }

    /** Closes the channels: calls that go on fail. */
    @Override
    public synchronized void close() {
        isClosed = true;
        for (ManagedChannel channel : channels) {
            if (channel != null) {
                channel.shutdownNow();
            }
        }
    }

    int count() {
        return addresses.size();
    }

    /** The channel to the replica at {@code index}, of which there are {@link #count}. */
    synchronized Channel channel(int index) {
        if (isClosed) {
            throw Status.UNAVAILABLE.withDescription("the channels to Signet are closed").asRuntimeException();
        }
        if (channels[index] == null) {
            ManagedChannelBuilder<?> builder = Grpc.newChannelBuilder(addresses.get(index), credentials)
                    .keepAliveTime(KEEPALIVE_SECONDS, TimeUnit.SECONDS)
                    .keepAliveTimeout(KEEPALIVE_TIMEOUT_SECONDS, TimeUnit.SECONDS);
            if (credentials instanceof InsecureChannelCredentials) {
                // A proxy of HTTP would read the secrets, and pass them on to wherever it likes.
                builder.proxyDetector(address -> null);
            }
            channels[index] = builder.build();
        }
        return allowsPlaintext ? channels[index] : ClientInterceptors.intercept(channels[index], new Checking());
    }

    /**
     * Makes one call: at the replica that answered last, and if it does not answer at each other one, once.
     *
     * @param request makes the request of each attempt: what is good once, such as an assertion, the first replica may have taken
     * @param token an access token for Signet; null for none
     */
    <Q, A> CompletableFuture<A> call(MethodDescriptor<Q, A> method, Supplier<Q> request, String token) {
        int first;
        synchronized (this) {
            first = preferred;
        }
        return attempt(method, request, token, first, addresses.size());
    }

    static Channel authorized(Channel channel, String token) {
        if (token == null) {
            return channel;
        }
        Metadata headers = new Metadata();
        headers.put(AUTHORIZATION, "Bearer " + token);
        return ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers));
    }

    private <Q, A> CompletableFuture<A> attempt(
            MethodDescriptor<Q, A> method, Supplier<Q> request, String token, int index, int left) {
        CompletableFuture<A> answer = new CompletableFuture<>();
        try {
            CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS);
            ClientCalls.asyncUnaryCall(authorized(channel(index), token).newCall(method, options), request.get(), into(answer));
        } catch (RuntimeException failure) {
            answer.completeExceptionally(failure);
        }
        return answer.handle((value, failure) -> {
            Status.Code code = failure == null ? Status.Code.OK : Status.fromThrowable(failure).getCode();
            boolean isAway = code == Status.Code.UNAVAILABLE || code == Status.Code.DEADLINE_EXCEEDED;
            if (isAway && left > 1) {
                return attempt(method, request, token, (index + 1) % addresses.size(), left - 1);
            }
            if (!isAway) {
                synchronized (this) {
                    preferred = index;
                }
            }
            return failure == null ? CompletableFuture.completedFuture(value) : CompletableFuture.<A>failedFuture(failure);
        }).thenCompose(next -> next);
    }

    /** Has each call look where it goes. */
    private static final class Checking implements ClientInterceptor {
        private static final CallCredentials CHECK = new PlaintextCheck();

        @Override
        public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
            return next.newCall(method, options.withCallCredentials(CHECK));
        }
    }

    private static <A> StreamObserver<A> into(CompletableFuture<A> answer) {
        return new StreamObserver<>() {
            @Override
            public void onNext(A value) {
                answer.complete(value);
            }

            @Override
            public void onError(Throwable failure) {
                answer.completeExceptionally(failure);
            }

            @Override
            public void onCompleted() {
                answer.completeExceptionally(Status.INTERNAL.withDescription("there was no answer").asRuntimeException());
            }
        };
    }
}
