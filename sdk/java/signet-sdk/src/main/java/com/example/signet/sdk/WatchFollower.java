package com.example.signet.sdk;

import com.example.signet.identity.events.v1.WatchRequest;
import com.example.signet.identity.events.v1.WatchResponse;
import com.google.protobuf.ByteString;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.concurrent.CompletionException;
import java.util.function.DoubleSupplier;

/**
 * Follows the stream of what was revoked: begins it, goes on where it ended, at the next replica if one does not answer, and never stops by
 * itself. One stream is open at a time.
 */
final class WatchFollower implements AutoCloseable {
    /** The scope of the token of whoever watches. */
    static final String SCOPE = "signet.events.watch";

    /** After so long without a message another replica is asked: heartbeats come every 10 seconds. */
    static final Duration SILENCE = Duration.ofSeconds(30);

    private static final Duration SHORT_PAUSE = Duration.ofSeconds(1);
    private static final Duration FULL_PAUSE = Duration.ofSeconds(10);
    private static final Duration REFUSED_PAUSE = Duration.ofSeconds(30);
    private static final System.Logger LOG = System.getLogger(WatchFollower.class.getName());

    private final SignetServers servers;
    private final TokenSource tokens;
    private final Revocations revocations;
    private final TimeSource time;
    private final DoubleSupplier random;

    // Guarded by `this`.
    private ByteString resumeToken = ByteString.EMPTY;
    private int replica;
    private boolean isClosed;
    private Stream stream;
    private TimeSource.Timer pause = () -> {};

    WatchFollower(SignetServers servers, TokenSource tokens, Revocations revocations, DoubleSupplier random) {
        this.servers = servers;
        this.tokens = tokens;
        this.revocations = revocations;
        this.time = tokens.time();
        this.random = random;
    }

    void start() {
        connect();
    }

    @Override
    public void close() {
        Stream open;
        synchronized (this) {
            isClosed = true;
            pause.cancel();
            open = stream;
        }
        if (open != null) {
            open.cancel("the verifier is closed");
        }
    }

    private void connect() {
        synchronized (this) {
            if (isClosed) {
                return;
            }
        }
        revocations.state(Hooks.RevocationsState.CONNECTING);
        tokens.token().whenComplete((token, failure) -> {
            if (failure != null) {
                Throwable cause = failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
                ended(Status.fromThrowable(cause), pauseAfter(cause), false);
            } else {
                open(token);
            }
        });
    }

    private void open(AccessToken token) {
        Stream opened;
        WatchRequest request;
        int index;
        synchronized (this) {
            if (isClosed) {
                return;
            }
            index = replica;
            opened = new Stream(token);
            stream = opened;
            request = WatchRequest.newBuilder().setResumeToken(resumeToken).build();
        }
        try {
            Channel authorized = SignetServers.authorized(servers.channel(index), token.value());
            opened.begin(authorized.newCall(SignetRpcs.WATCH, CallOptions.DEFAULT), request);
        } catch (StatusRuntimeException closed) {
            ended(closed.getStatus(), pauseAfter(closed), true);
        }
    }

    /** Plans the next stream; at the next replica, if this one did not answer or goes away. */
    private void ended(Status status, Duration after, boolean goesToNext) {
        Duration whole = after.plus(Duration.ofMillis(Math.round(random.getAsDouble() * 1_000)));
        synchronized (this) {
            stream = null;
            if (isClosed) {
                return;
            }
            if (goesToNext) {
                replica = (replica + 1) % servers.count();
            }
            pause = time.schedule(whole, this::connect);
            // Under the lock, so that it is told before the next stream is.
            revocations.state(Hooks.RevocationsState.DOWN);
        }
        if (!status.isOk()) {
            // With the life of its token it ends as a matter of course.
            boolean isUsual = status.getCode() == Status.Code.UNAUTHENTICATED && after.isZero();
            System.Logger.Level level = isUsual ? System.Logger.Level.INFO : System.Logger.Level.WARNING;
            LOG.log(level, "the stream of revocations has ended: {0} {1}", status.getCode(), status.getDescription());
        }
    }

    private static Duration pauseAfter(Throwable failure) {
        return switch (Status.fromThrowable(failure).getCode()) {
            case RESOURCE_EXHAUSTED -> TokenRefusal.retryDelay(failure).orElse(FULL_PAUSE);
            case UNAUTHENTICATED, PERMISSION_DENIED, INVALID_ARGUMENT, UNIMPLEMENTED -> REFUSED_PAUSE;
            default -> SHORT_PAUSE;
        };
    }

    /** One stream. */
    private final class Stream extends ClientCall.Listener<WatchResponse> {
        private final AccessToken token;
        private ClientCall<WatchRequest, WatchResponse> call;
        private TimeSource.Timer silence = () -> {};
        private boolean hasHeard;
        private boolean isSilent;
        private boolean isCancelled;

        Stream(AccessToken token) {
            this.token = token;
        }

        void begin(ClientCall<WatchRequest, WatchResponse> begun, WatchRequest request) {
            synchronized (this) {
                if (isCancelled) {
                    return;
                }
                call = begun;
                listenOn();
                begun.start(this, new Metadata());
                begun.sendMessage(request);
                begun.halfClose();
                begun.request(1);
            }
        }

        @Override
        public void onMessage(WatchResponse message) {
            listenOn();
            boolean isFirst = !hasHeard;
            hasHeard = true;
            synchronized (WatchFollower.this) {
                if (message.hasResync()) {
                    resumeToken = ByteString.EMPTY;
                }
                if (!message.getResumeToken().isEmpty()) {
                    resumeToken = message.getResumeToken();
                }
            }
            boolean wasComplete = revocations.isComplete();
            if (isFirst) {
                // Keys may have changed before the stream began to tell of it (docs/EVENTS.md, "How a service begins").
                revocations.keysChanged();
            }
            revocations.tell(message);
            if (isFirst && wasComplete && !message.getSnapshot().getIsLast()) {
                revocations.state(Hooks.RevocationsState.COMPLETE);
            }
            call.request(1);
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
            synchronized (this) {
                silence.cancel();
            }
            boolean isOfToken = status.getCode() == Status.Code.UNAUTHENTICATED;
            if (isOfToken) {
                tokens.drop(token);
            }
            // A stream that has begun may end: by the life of its token, or with its replica.
            Duration after = hasHeard ? Duration.ZERO : pauseAfter(status.asRuntimeException(trailers));
            ended(isSilent ? Status.UNAVAILABLE.withDescription("nothing was heard") : status, after, !(hasHeard && isOfToken));
        }

        void cancel(String why) {
            ClientCall<WatchRequest, WatchResponse> open;
            synchronized (this) {
                isCancelled = true;
                open = call;
            }
            if (open != null) {
                open.cancel(why, null);
            }
        }

        private synchronized void listenOn() {
            silence.cancel();
            silence = time.schedule(SILENCE, () -> {
                isSilent = true;
                cancel("nothing was heard for " + SILENCE.toSeconds() + " s");
            });
        }
    }
}
