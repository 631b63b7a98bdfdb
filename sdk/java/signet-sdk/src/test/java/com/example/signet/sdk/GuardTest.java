package com.example.signet.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptors;
import io.grpc.Context;
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
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The guard in a real server, with a real client before it. */
class GuardTest {
    private static final MethodDescriptor<byte[], byte[]> UNARY = new FakeCall("/corpus.v1.Calls/Any", MethodType.UNARY).method;
    private static final MethodDescriptor<byte[], byte[]> STREAM = new FakeCall("/corpus.v1.Streams/Server", MethodType.BIDI_STREAMING).method;

    private final ManualTime time = new ManualTime(Instant.ofEpochSecond(1_800_000_000));
    private final Tokens tokens = new Tokens(time);
    private final Revocations revocations = Revocations.told(time);
    private final BlockingQueue<ServerCallStreamObserver<byte[]>> opened = new LinkedBlockingQueue<>();
    private final BlockingQueue<Context> contexts = new LinkedBlockingQueue<>();
    private final BlockingQueue<String> cancelled = new LinkedBlockingQueue<>();
    private final FakeSignet signet = new FakeSignet();
    private Verifier verifier;
    private Server server;
    private ManagedChannel channel;
    private volatile Runnable onUnary = () -> {};
    private volatile Consumer<ServerCallStreamObserver<byte[]>> onStream = stream -> {};

    @BeforeEach
    void start() throws Exception {
        revocations.tell(Messages.snapshot());
        verifier = tokens.verifier().revocations(revocations).build();
        Policy policy = Policy.builder().descriptorSet(Conformance.policy("corpus")).build();
        server = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
                .addService(ServerServiceDefinition.builder("corpus.v1.Calls").addMethod(UNARY, ServerCalls.asyncUnaryCall(this::unary)).build())
                .addService(ServerServiceDefinition.builder("corpus.v1.Streams").addMethod(STREAM, ServerCalls.asyncBidiStreamingCall(this::stream)).build())
                .intercept(GuardInterceptor.of(verifier, policy))
                .build()
                .start();
        channel = Grpc.newChannelBuilder("127.0.0.1:" + server.getPort(), InsecureChannelCredentials.create()).build();
    }

    @AfterEach
    void stop() {
        channel.shutdownNow();
        server.shutdownNow();
        verifier.close();
        signet.close();
    }

    @Test
    void aCallThatWaitsForKeysIsHandledWhenTheyCome() throws Exception {
        time.advance(Duration.ofSeconds(5));
        tokens.rotate(true);
        tokens.hold();
        List<CompletableFuture<byte[]>> calls = new ArrayList<>();
        for (int call = 0; call < 50; call++) {
            calls.add(call(tokens.user()));
        }
        until(() -> {
            time.advance(Duration.ZERO);
            return tokens.fetches.get() == 2;
        });
        tokens.release();
        for (CompletableFuture<byte[]> call : calls) {
            assertEquals(Tokens.USER, new String(call.get(20, TimeUnit.SECONDS)));
        }
    }

    @Test
    void aHandlerThatFailsAfterTheWaitEndsItsCall() throws Exception {
        onUnary = () -> {
            throw new IllegalStateException("a defect");
        };
        assertEquals(Status.Code.UNKNOWN, failure(call(tokens.user())).getStatus().getCode());
        time.advance(Duration.ofSeconds(5));
        tokens.rotate(true);
        CompletableFuture<byte[]> late = call(tokens.user());
        until(() -> {
            time.advance(Duration.ZERO);
            return late.isDone();
        });
        assertEquals(Status.Code.UNKNOWN, failure(late).getStatus().getCode());
    }

    @Test
    void anIdleStreamEndsWithItsTokenAndTheGrace() throws Exception {
        StreamProbe probe = open(tokens.user());
        pass(929);
        probe.stream.onNext("still".getBytes());
        assertEquals("still", probe.messages.poll(20, TimeUnit.SECONDS));
        time.advance(Duration.ofSeconds(1));
        probe.assertEnded(Reason.TOKEN_EXPIRED);
        assertEquals("TOKEN_EXPIRED", ((Refusal) probe.context.cancellationCause()).reason().name());
        probe.stream.onNext("into the void".getBytes());
        assertEquals("cancelled", cancelled.poll(20, TimeUnit.SECONDS));
        assertEquals(0, verifier.openStreams());
        assertEquals(0, leftTimers());
    }

    @Test
    void aStreamEndsAtOnceWhenItsTokenIsRevoked() throws Exception {
        StreamProbe probe = open(tokens.user());
        revocations.tell(Messages.ended("00000000-0000-0000-0000-000000000000"));
        assertFalse(probe.context.isCancelled());
        revocations.tell(Messages.ended(Tokens.SESSION));
        probe.assertEnded(Reason.TOKEN_REVOKED);
    }

    @Test
    void aStreamEndsWhoseHandlerBlocksAsItBegins() throws Exception {
        CountDownLatch over = new CountDownLatch(1);
        onStream = stream -> {
            while (!stream.isCancelled()) {
                Thread.onSpinWait();
            }
            over.countDown();
        };
        StreamProbe probe = open(tokens.user());
        revocations.tell(Messages.ended(Tokens.SESSION));
        probe.assertEnded(Reason.TOKEN_REVOKED);
        assertTrue(over.await(20, TimeUnit.SECONDS));
        assertEquals(0, verifier.openStreams());
    }

    @Test
    void aHandlerLearnsOfTheEndAlsoIfItsClientDoesNotRead() throws Exception {
        AtomicInteger written = new AtomicInteger();
        onStream = stream -> stream.setOnReadyHandler(() -> {
            while (stream.isReady()) {
                stream.onNext(new byte[100_000]);
                written.addAndGet(100_000);
            }
        });
        ClientCall<byte[], byte[]> call = SignetServers.authorized(channel, tokens.user()).newCall(STREAM, CallOptions.DEFAULT);
        call.start(new ClientCall.Listener<>() {}, new Metadata());
        ServerCallStreamObserver<byte[]> stream = opened.poll(20, TimeUnit.SECONDS);
        // More than the client takes in without reading, so that the end stands in line.
        until(() -> written.get() > 1_050_000);
        revocations.tell(Messages.ended(Tokens.SESSION));
        assertTrue(stream.isCancelled());
        until(() -> {
            time.advance(Duration.ofSeconds(1));
            return !cancelled.isEmpty();
        });
    }

    @Test
    void aStreamWhoseHandlerFailsAfterTheWaitLeavesNothing() throws Exception {
        onStream = stream -> stream.setOnReadyHandler(() -> {
            throw new IllegalStateException("a defect");
        });
        time.advance(Duration.ofSeconds(5));
        tokens.rotate(true);
        StreamProbe probe = new StreamProbe(SignetServers.authorized(channel, tokens.user()).newCall(STREAM, CallOptions.DEFAULT));
        until(() -> {
            time.advance(Duration.ZERO);
            return probe.closed.isDone();
        });
        assertEquals(Status.Code.UNKNOWN, probe.closed.join().getCode());
        until(() -> verifier.openStreams() == 0);
    }

    @Test
    void callsThatWaitForKeysGoOnWhileManyHandlersBlock() throws Exception {
        CountDownLatch hold = new CountDownLatch(1);
        CountDownLatch blocking = new CountDownLatch(100);
        onStream = stream -> {
            blocking.countDown();
            await(hold);
        };
        time.advance(Duration.ofSeconds(5));
        tokens.rotate(true);
        String token = tokens.user();
        for (int stream = 0; stream < 100; stream++) {
            new StreamProbe(SignetServers.authorized(channel, token).newCall(STREAM, CallOptions.DEFAULT));
        }
        CompletableFuture<byte[]> late = call(token);
        until(() -> {
            time.advance(Duration.ZERO);
            return late.isDone() && blocking.getCount() == 0;
        });
        hold.countDown();
        assertEquals(Tokens.USER, new String(late.join()));
    }

    @Test
    void oneStreamThatCannotBeEndedLeavesNoOtherOpen() throws Exception {
        Verifier.Admitted who = verifier.admit(List.of("Bearer " + tokens.user()), Rule.authenticated(), "/m").join();
        List<Reason> ended = new ArrayList<>();
        for (int stream = 0; stream < 10; stream++) {
            verifier.watch(who, Rule.authenticated(), "/m", refusal -> {
                ended.add(refusal.reason());
                throw new IllegalStateException("call already closed");
            });
        }
        revocations.tell(Messages.ended(Tokens.SESSION));
        assertEquals(10, ended.size());
        assertEquals(0, verifier.openStreams());
    }

    @Test
    void aVerifierThatIsClosedEndsItsStreams() throws Exception {
        StreamProbe probe = open(tokens.user());
        verifier.close();
        probe.assertEnded(Reason.UNAVAILABLE);
        until(() -> time.pending() == 0);
        assertEquals(Status.Code.UNAVAILABLE, failure(call(tokens.user())).getStatus().getCode());
    }

    @Test
    void aStreamThatEndsByItselfLeavesNothing() throws Exception {
        StreamProbe probe = open(tokens.user());
        assertEquals(1, verifier.openStreams());
        probe.stream.onCompleted();
        assertEquals(Status.Code.OK, probe.closed.get(20, TimeUnit.SECONDS).getCode());
        until(() -> verifier.openStreams() == 0);
        StreamProbe other = open(tokens.user());
        other.call.cancel("enough", null);
        assertEquals("cancelled", cancelled.poll(20, TimeUnit.SECONDS));
        until(() -> verifier.openStreams() == 0);
        assertEquals(0, leftTimers());
    }

    @Test
    void streamsThatEndWhileTheirHandlersWriteEndOnce() throws Exception {
        List<StreamProbe> probes = new ArrayList<>();
        for (int stream = 0; stream < 20; stream++) {
            probes.add(open(tokens.user()));
        }
        CountDownLatch go = new CountDownLatch(1);
        List<Thread> writers = new ArrayList<>();
        for (StreamProbe probe : probes) {
            Thread writer = new Thread(() -> {
                try {
                    go.await();
                    while (!probe.context.isCancelled()) {
                        if (probe.stream.isReady()) {
                            probe.stream.onNext(new byte[10]);
                        }
                    }
                } catch (InterruptedException interrupted) {
                    Thread.currentThread().interrupt();
                }
            });
            writer.start();
            writers.add(writer);
        }
        go.countDown();
        revocations.tell(Messages.ended(Tokens.SESSION));
        for (StreamProbe probe : probes) {
            probe.assertEnded(Reason.TOKEN_REVOKED);
        }
        for (Thread writer : writers) {
            writer.join(20_000);
            assertFalse(writer.isAlive());
        }
    }

    @Test
    void theClientCallsOnceMoreWithAnotherToken() throws Exception {
        String first = tokens.user();
        time.advance(Duration.ofSeconds(1));
        signet.answers = request -> signet.token(900).toBuilder()
                .setAccessToken(signet.issued.get() == 1 ? first : tokens.sign(withSession("11111111-0000-0000-0000-000000000000"))).build();
        try (SignetServers servers = signet.servers()) {
            CountDownLatch retried = new CountDownLatch(1);
            TokenSource source = TokenSource.builder(servers, "stock").clientSecret("id", "secret").time(time).hooks(new Hooks() {
                @Override
                public void callRetried() {
                    retried.countDown();
                }
            }).build();
            String target = "127.0.0.1:" + server.getPort();
            var guarded = ClientInterceptors.intercept(channel, source.interceptor(target));
            assertEquals(Tokens.USER, new String(ClientCalls.blockingUnaryCall(guarded, UNARY, CallOptions.DEFAULT, new byte[0])));
            revocations.tell(Messages.ended(Tokens.SESSION));
            assertEquals(Tokens.USER, new String(ClientCalls.blockingUnaryCall(guarded, UNARY, CallOptions.DEFAULT, new byte[0])));
            assertTrue(retried.await(20, TimeUnit.SECONDS));
            assertEquals(2, signet.issued.get());
            revocations.tell(Messages.ended("11111111-0000-0000-0000-000000000000"));
            assertEquals(Status.Code.UNAUTHENTICATED, failure(call(guarded)).getStatus().getCode());
            assertEquals(2, signet.issued.get(), "none is replaced for 7 s");
            time.advance(Duration.ofSeconds(7));
            assertEquals(Status.Code.UNAUTHENTICATED, failure(call(guarded)).getStatus().getCode());
            assertEquals(3, signet.issued.get(), "the second refusal is handed up");
        }
    }

    @Test
    void noTokenGoesElsewhere() {
        try (SignetServers servers = signet.servers()) {
            TokenSource source = TokenSource.builder(servers, "stock").clientSecret("id", "secret").build();
            var other = ClientInterceptors.intercept(channel, source.interceptor("stock.example:443"));
            StatusRuntimeException refused = failure(call(other));
            assertEquals(Status.Code.UNAUTHENTICATED, refused.getStatus().getCode());
            assertTrue(refused.getStatus().getDescription().contains("not for 127.0.0.1"), refused.getMessage());
            assertEquals(0, signet.issued.get());
            signet.answers = request -> {
                throw FakeSignet.refusal(Status.Code.UNAUTHENTICATED, "INVALID_CLIENT");
            };
            var right = ClientInterceptors.intercept(channel, source.interceptor("127.0.0.1:" + server.getPort()));
            StatusRuntimeException why = failure(call(right));
            assertTrue(io.grpc.protobuf.StatusProto.fromThrowable(why).toString().contains("INVALID_CLIENT"), why.toString());
        }
    }

    private static void until(BooleanSupplier holds) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (!holds.getAsBoolean()) {
            assertTrue(System.nanoTime() < deadline, "it has not come to that");
            Thread.onSpinWait();
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private java.util.Map<String, Object> withSession(String session) {
        var claims = tokens.claims();
        claims.put("sid", session);
        return claims;
    }

    /** Time passes, and heartbeats come. */
    private void pass(int seconds) {
        for (int second = 0; second < seconds; second++) {
            time.advance(Duration.ofSeconds(1));
            revocations.tell(Messages.heartbeat("beat"));
        }
    }

    /** Timers but for those of the keys and of the age of revocations. */
    private int leftTimers() {
        time.advance(Duration.ofSeconds(31));
        return time.pending() - 1;
    }

    private void unary(byte[] request, StreamObserver<byte[]> answer) {
        onUnary.run();
        answer.onNext(Caller.current().orElseThrow().id().getBytes());
        answer.onCompleted();
    }

    private StreamObserver<byte[]> stream(StreamObserver<byte[]> answer) {
        ServerCallStreamObserver<byte[]> stream = (ServerCallStreamObserver<byte[]>) answer;
        stream.setOnCancelHandler(() -> cancelled.add("cancelled"));
        contexts.add(Context.current());
        opened.add(stream);
        onStream.accept(stream);
        return new StreamObserver<>() {
            @Override
            public void onNext(byte[] message) {}

            @Override
            public void onError(Throwable failure) {}

            @Override
            public void onCompleted() {}
        };
    }

    private CompletableFuture<byte[]> call(String token) {
        CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(30, TimeUnit.SECONDS);
        CompletableFuture<byte[]> answer = new CompletableFuture<>();
        ClientCalls.asyncUnaryCall(SignetServers.authorized(channel, token).newCall(UNARY, options), new byte[0], into(answer));
        return answer;
    }

    private static CompletableFuture<byte[]> call(io.grpc.Channel through) {
        CompletableFuture<byte[]> answer = new CompletableFuture<>();
        ClientCalls.asyncUnaryCall(through.newCall(UNARY, CallOptions.DEFAULT), new byte[0], into(answer));
        return answer;
    }

    private static StreamObserver<byte[]> into(CompletableFuture<byte[]> answer) {
        return new StreamObserver<>() {
            @Override
            public void onNext(byte[] value) {
                answer.complete(value);
            }

            @Override
            public void onError(Throwable failure) {
                answer.completeExceptionally(failure);
            }

            @Override
            public void onCompleted() {}
        };
    }

    private static StatusRuntimeException failure(CompletableFuture<byte[]> call) {
        ExecutionException failed =
                org.junit.jupiter.api.Assertions.assertThrows(ExecutionException.class, () -> call.get(20, TimeUnit.SECONDS));
        return (StatusRuntimeException) failed.getCause();
    }

    private StreamProbe open(String token) throws Exception {
        int before = verifier.openStreams();
        StreamProbe probe = new StreamProbe(SignetServers.authorized(channel, token).newCall(STREAM, CallOptions.DEFAULT));
        probe.stream = opened.poll(20, TimeUnit.SECONDS);
        assertNotNull(probe.stream);
        probe.context = contexts.poll(20, TimeUnit.SECONDS);
        assertEquals(before + 1, verifier.openStreams(), "it is watched over before its handler begins");
        return probe;
    }

    /** A stream, as both sides see it. */
    private static final class StreamProbe extends ClientCall.Listener<byte[]> {
        private final CompletableFuture<Status> closed = new CompletableFuture<>();
        private final BlockingQueue<String> messages = new LinkedBlockingQueue<>();
        private final ClientCall<byte[], byte[]> call;
        private volatile Metadata trailers;
        private ServerCallStreamObserver<byte[]> stream;
        private Context context;

        StreamProbe(ClientCall<byte[], byte[]> call) {
            this.call = call;
            call.start(this, new Metadata());
            call.request(1_000_000);
        }

        void assertEnded(Reason reason) throws Exception {
            assertEquals(reason.code(), closed.get(20, TimeUnit.SECONDS).getCode());
            assertTrue(io.grpc.protobuf.StatusProto.fromStatusAndTrailers(closed.join(), trailers).toString().contains(reason.name()));
            assertTrue(context.isCancelled());
        }

        @Override
        public void onMessage(byte[] message) {
            messages.add(new String(message));
        }

        @Override
        public void onClose(Status status, Metadata with) {
            trailers = with;
            closed.complete(status);
        }
    }
}
