package com.example.signet.sdk;

import com.example.signet.identity.events.v1.WatchRequest;
import com.example.signet.identity.events.v1.WatchResponse;
import com.example.signet.identity.v1.IntrospectTokenRequest;
import com.example.signet.identity.v1.IntrospectTokenResponse;
import com.example.signet.identity.v1.IssueTokenRequest;
import com.example.signet.identity.v1.IssueTokenResponse;
import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;

/** Stands for Signet in a test, on a port of its own: what it answers is set, and what it is asked is kept. */
final class FakeSignet implements AutoCloseable {
    /** A stream that somebody has opened. */
    record Watch(WatchRequest request, String authorization, ServerCallStreamObserver<WatchResponse> stream) {}

    private static final Context.Key<String> AUTHORIZATION = Context.key("authorization");

    final AtomicInteger issued = new AtomicInteger();
    final BlockingQueue<IssueTokenRequest> asked = new LinkedBlockingQueue<>();
    final BlockingQueue<Watch> watches = new LinkedBlockingQueue<>();

    /** What IssueToken answers; may throw a status. */
    volatile Function<IssueTokenRequest, IssueTokenResponse> answers = request -> token(900);

    volatile Function<IntrospectTokenRequest, IntrospectTokenResponse> introspects =
            request -> IntrospectTokenResponse.getDefaultInstance();

    private final Server server;

    FakeSignet() {
        try {
            server = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
                    .addService(ServerServiceDefinition.builder("identity.v1.IdentityService")
                            .addMethod(SignetRpcs.ISSUE_TOKEN, ServerCalls.asyncUnaryCall(this::issue))
                            .build())
                    .addService(ServerServiceDefinition.builder("identity.v1.TokenService")
                            .addMethod(SignetRpcs.INTROSPECT_TOKEN, ServerCalls.asyncUnaryCall(
                                    (request, observer) -> answer(() -> introspects.apply(request), observer)))
                            .build())
                    .addService(ServerServiceDefinition.builder("identity.events.v1.EventService")
                            .addMethod(SignetRpcs.WATCH, ServerCalls.asyncServerStreamingCall(this::watch))
                            .build())
                    .intercept(new Authorization())
                    .build()
                    .start();
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    String address() {
        return "127.0.0.1:" + server.getPort();
    }

    SignetServers servers() {
        return SignetServers.of(address());
    }

    /** The next token, of which each has a name of its own. */
    IssueTokenResponse token(int expiresIn) {
        return IssueTokenResponse.newBuilder().setAccessToken("token-" + issued.incrementAndGet()).setExpiresIn(expiresIn).build();
    }

    /** The next stream that is opened. */
    Watch nextWatch() throws InterruptedException {
        Watch watch = watches.poll(20, TimeUnit.SECONDS);
        if (watch == null) {
            throw new AssertionError("nobody has opened a stream");
        }
        return watch;
    }

    static StatusRuntimeException refusal(Status.Code code, String reason) {
        return StatusProto.toStatusRuntimeException(com.google.rpc.Status.newBuilder()
                .setCode(code.value())
                .setMessage("refused")
                .addDetails(Any.pack(ErrorInfo.newBuilder().setReason(reason).setDomain("identity.v1").build()))
                .build());
    }

    /** Says that it has too much to do, and for how long. */
    static StatusRuntimeException overloaded(long seconds) {
        return StatusProto.toStatusRuntimeException(com.google.rpc.Status.newBuilder()
                .setCode(Status.Code.RESOURCE_EXHAUSTED.value())
                .addDetails(Any.pack(RetryInfo.newBuilder().setRetryDelay(Duration.newBuilder().setSeconds(seconds)).build()))
                .build());
    }

    @Override
    public void close() {
        server.shutdownNow();
    }

    private void issue(IssueTokenRequest request, StreamObserver<IssueTokenResponse> observer) {
        asked.add(request);
        answer(() -> answers.apply(request), observer);
    }

    private void watch(WatchRequest request, StreamObserver<WatchResponse> observer) {
        ServerCallStreamObserver<WatchResponse> stream = (ServerCallStreamObserver<WatchResponse>) observer;
        stream.setOnCancelHandler(() -> {});
        watches.add(new Watch(request, AUTHORIZATION.get(), stream));
    }

    private static <A> void answer(java.util.function.Supplier<A> answer, StreamObserver<A> observer) {
        A value;
        try {
            value = answer.get();
        } catch (StatusRuntimeException refused) {
            observer.onError(refused);
            return;
        }
        observer.onNext(value);
        observer.onCompleted();
    }

    private static final class Authorization implements ServerInterceptor {
        private static final Metadata.Key<String> KEY = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

        @Override
        public <Q, A> ServerCall.Listener<Q> interceptCall(ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
            return Contexts.interceptCall(Context.current().withValue(AUTHORIZATION, headers.get(KEY)), call, headers, next);
        }
    }
}
