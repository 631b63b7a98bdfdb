package com.example.signet.sdk;

import io.grpc.Context;
import io.grpc.ForwardingServerCall;
import io.grpc.ForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.Status;

/**
 * A stream that the guard may end while its handler writes. What the handler writes after that is dropped, as of a call that its client has
 * cancelled.
 */
final class GuardedStream<Q, A> extends ForwardingServerCall.SimpleForwardingServerCall<Q, A> {
    private final Context.CancellableContext context;
    private final Object lock = new Object();

    /** Guarded by the lock: a call of grpc-java is not for several threads. */
    private boolean isClosed;

    private volatile boolean isEnded;

    GuardedStream(ServerCall<Q, A> call, Context.CancellableContext context) {
        super(call);
        this.context = context;
    }

    /** Ends the stream with the status of a refusal, and cancels the handler's context. */
    void end(Refusal refusal) {
        Status status = refusal.reason().code().toStatus().withDescription(refusal.reason().message());
        synchronized (lock) {
            if (isClosed) {
                return;
            }
            isClosed = true;
            isEnded = true;
        }
        // First, so that the handler finds the reason there: once the call is closed, its completion cancels the context, too.
        context.cancel(refusal);
        synchronized (lock) {
            delegate().close(status, refusal.trailers());
        }
    }

    /** Whether the guard has ended it. */
    boolean isEnded() {
        return isEnded;
    }

    ServerCall.Listener<Q> listener(ServerCall.Listener<Q> handler, OpenStreams.Stream watched) {
        return new Listener(handler, watched);
    }

    @Override
    public void sendHeaders(Metadata headers) {
        synchronized (lock) {
            if (!isClosed) {
                super.sendHeaders(headers);
            }
        }
    }

    @Override
    public void sendMessage(A message) {
        synchronized (lock) {
            if (!isEnded) {
                super.sendMessage(message);
            }
        }
    }

    @Override
    public boolean isReady() {
        return !isEnded && super.isReady();
    }

    @Override
    public boolean isCancelled() {
        return isEnded || super.isCancelled();
    }

    @Override
    public void close(Status status, Metadata trailers) {
        synchronized (lock) {
            if (!isEnded) {
                isClosed = true;
                super.close(status, trailers);
            }
        }
    }

    /** Tells the handler of an ended stream that it was cancelled. */
    private final class Listener extends ForwardingServerCallListener.SimpleForwardingServerCallListener<Q> {
        private final OpenStreams.Stream watched;

        Listener(ServerCall.Listener<Q> handler, OpenStreams.Stream watched) {
            super(handler);
            this.watched = watched;
        }

        @Override
        public void onMessage(Q message) {
            if (!isEnded) {
                super.onMessage(message);
            }
        }

        @Override
        public void onHalfClose() {
            if (!isEnded) {
                super.onHalfClose();
            }
        }

        @Override
        public void onReady() {
            if (!isEnded) {
                super.onReady();
            }
        }

        @Override
        public void onCancel() {
            over();
            super.onCancel();
        }

        @Override
        public void onComplete() {
            over();
            if (isEnded) {
                super.onCancel();
            } else {
                super.onComplete();
            }
        }

        private void over() {
            watched.close();
            context.cancel(null);
        }
    }
}
