package com.example.signet.sdk;

import io.grpc.Context;
import io.grpc.ForwardingServerCall;
import io.grpc.ForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A stream that the guard may end while its handler writes. What the handler writes after that is dropped, as of a call that its client has
 * cancelled.
 */
final class GuardedStream<Q, A> extends ForwardingServerCall.SimpleForwardingServerCall<Q, A> {
    /** After how long a handler learns of the end that its client has not taken in: the end stands behind messages that nobody reads. */
    private static final Duration END_TIMEOUT = Duration.ofSeconds(5);

    private final Context.CancellableContext context;
    private final TimeSource time;
    private final Object lock = new Object();

    // Guarded by the lock: a call of grpc-java is not for several threads.
    private boolean isClosed;
    private boolean isOverdue;
    private Listener listener;

    private volatile boolean isEnded;
    private volatile TimeSource.Timer overdue = () -> {};

    GuardedStream(ServerCall<Q, A> call, Context.CancellableContext context, TimeSource time) {
        super(call);
        this.context = context;
        this.time = time;
    }

    /** Ends the stream with the status of a refusal, and cancels the handler's context. */
    void end(Refusal refusal) {
        synchronized (lock) {
            if (isClosed) {
                return;
            }
            isClosed = true;
            isEnded = true;
        }
        // First, so that the handler finds the reason there: once the call is closed, its completion cancels the context, too.
        context.cancel(refusal);
        overdue = time.schedule(END_TIMEOUT, this::overdue);
        synchronized (lock) {
            delegate().close(refusal.status(), refusal.trailers());
        }
    }

    private void overdue() {
        Listener told;
        synchronized (lock) {
            isOverdue = true;
            told = listener;
        }
        if (told != null) {
            // It waits for the handler where that is busy.
            Threads.RESUME.execute(told::onCancel);
        }
    }

    /** Whether the guard has ended it. */
    boolean isEnded() {
        return isEnded;
    }

    ServerCall.Listener<Q> listener(ServerCall.Listener<Q> handler, OpenStreams.Stream watched) {
        Listener made = new Listener(handler, watched);
        synchronized (lock) {
            listener = made;
            if (isOverdue) {
                Threads.RESUME.execute(made::onCancel);
            }
        }
        return made;
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

    /** Tells the handler of an ended stream that it was cancelled: once, and nothing at the same time as anything else. */
    private final class Listener extends ForwardingServerCallListener.SimpleForwardingServerCallListener<Q> {
        private final OpenStreams.Stream watched;

        /** No monitor: a handler on a virtual thread that blocks would hold its carrier. */
        private final ReentrantLock turn = new ReentrantLock();

        /** Guarded by the turn. */
        private boolean isOver;

        Listener(ServerCall.Listener<Q> handler, OpenStreams.Stream watched) {
            super(handler);
            this.watched = watched;
        }

        @Override
        public void onMessage(Q message) {
            inTurn(() -> super.onMessage(message));
        }

        @Override
        public void onHalfClose() {
            inTurn(super::onHalfClose);
        }

        @Override
        public void onReady() {
            inTurn(super::onReady);
        }

        @Override
        public void onCancel() {
            over(super::onCancel);
        }

        @Override
        public void onComplete() {
            over(isEnded ? super::onCancel : super::onComplete);
        }

        private void inTurn(Runnable event) {
            turn.lock();
            try {
                if (!isEnded) {
                    event.run();
                }
            } finally {
                turn.unlock();
            }
        }

        private void over(Runnable last) {
            watched.close();
            overdue.cancel();
            context.cancel(null);
            turn.lock();
            try {
                if (!isOver) {
                    isOver = true;
                    last.run();
                }
            } finally {
                turn.unlock();
            }
        }
    }
}
