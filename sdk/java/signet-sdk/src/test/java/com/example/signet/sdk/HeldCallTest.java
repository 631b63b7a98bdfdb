package com.example.signet.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.InsecureServerCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Owns what becomes of a call whose message comes long after its metadata: it is judged by what holds when it comes. */
class HeldCallTest {
    private static final String PATH = "/corpus.v1.Calls/Any";
    private static final MethodDescriptor<byte[], byte[]> UNARY = new FakeCall(PATH, MethodType.UNARY).method;

    /** As a client calls it that sends its metadata first: of what it takes for a unary call grpc-java sends all at once. */
    private static final MethodDescriptor<byte[], byte[]> SLOW = new FakeCall(PATH, MethodType.BIDI_STREAMING).method;

    private final ManualTime time = new ManualTime(Instant.ofEpochSecond(1_800_000_000));
    private final Tokens tokens = new Tokens(time);
    private final Revocations revocations = Revocations.told(time);
    private final BlockingQueue<String> judged = new LinkedBlockingQueue<>();
    private final AtomicInteger handled = new AtomicInteger();

    @Test
    void aMessageThatWasHeldBackReachesNoHandlerAfterARevocation() throws Exception {
        assertRefused(Reason.TOKEN_REVOKED, () -> revocations.tell(Messages.ended(Tokens.SESSION)));
    }

    @Test
    void norAfterItsTokenHasExpired() throws Exception {
        assertRefused(Reason.TOKEN_EXPIRED, () -> time.advance(Duration.ofSeconds(960)));
    }

    private void handle(byte[] request, StreamObserver<byte[]> answer) {
        handled.incrementAndGet();
        answer.onNext(request);
        answer.onCompleted();
    }

    private void assertRefused(Reason reason, Runnable end) throws Exception {
        revocations.tell(Messages.snapshot());
        Hooks hooks = new Hooks() {
            @Override
            public void verified(String said, boolean cached) {
                judged.add(said);
            }
        };
        Policy policy = Policy.builder().descriptorSet(Conformance.policy("corpus")).build();
        try (Verifier verifier = tokens.verifier().revocations(revocations).hooks(hooks).build()) {
            Server server = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
                    .addService(ServerServiceDefinition.builder("corpus.v1.Calls")
                            .addMethod(UNARY, ServerCalls.asyncUnaryCall(this::handle)).build())
                    .intercept(GuardInterceptor.of(verifier, policy))
                    .build()
                    .start();
            ManagedChannel channel = Grpc.newChannelBuilder("127.0.0.1:" + server.getPort(), InsecureChannelCredentials.create()).build();
            try {
                ClientCall<byte[], byte[]> call = SignetServers.authorized(channel, tokens.user()).newCall(SLOW, CallOptions.DEFAULT);
                CompletableFuture<Status> closed = new CompletableFuture<>();
                CompletableFuture<Metadata> trailers = new CompletableFuture<>();
                call.start(new ClientCall.Listener<>() {
                    @Override
                    public void onClose(Status status, Metadata with) {
                        trailers.complete(with);
                        closed.complete(status);
                    }
                }, new Metadata());
                call.request(2);
                assertEquals("OK", judged.poll(20, TimeUnit.SECONDS));
                end.run();
                call.sendMessage(new byte[0]);
                call.halfClose();
                Status status = closed.get(20, TimeUnit.SECONDS);
                assertEquals(reason.code(), status.getCode());
                assertTrue(StatusProto.fromStatusAndTrailers(status, trailers.join()).toString().contains(reason.name()));
                assertEquals(0, handled.get());
            } finally {
                channel.shutdownNow();
                server.shutdownNow();
            }
        }
    }
}
