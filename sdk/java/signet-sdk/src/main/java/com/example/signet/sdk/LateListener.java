package com.example.signet.sdk;

import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * Listens to a call whose handler begins later, and tells it then what has happened meanwhile. That is little: no message comes before the
 * handler asks for one, so each of the other events comes at most once, but for {@code onReady}.
 */
final class LateListener<Q> extends ServerCall.Listener<Q> {
    private static final System.Logger LOG = System.getLogger(LateListener.class.getName());

    private final List<Consumer<ServerCall.Listener<Q>>> pending = new ArrayList<>();
    private boolean isReadyPending;
    private boolean isCancelled;

    /** Set when nothing is pending any more, so that order is kept. */
    private volatile ServerCall.Listener<Q> handler;

    /**
     * Begins the handler, unless the call was cancelled meanwhile. Once, on a thread that may block. A handler that fails ends the call as
     * grpc-java does it: with UNKNOWN, and nothing of what has failed. It is told of that end still.
     */
    void arrive(ServerCall<?, ?> call, Supplier<ServerCall.Listener<Q>> start) {
        ServerCall.Listener<Q> begun = new ServerCall.Listener<>() {};
        try {
            if (mayBegin()) {
                begun = start.get();
            }
            deliver(begun);
        } catch (RuntimeException failure) {
            LOG.log(System.Logger.Level.ERROR, "a handler has failed", failure);
            try {
                call.close(Status.UNKNOWN, new Metadata());
            } catch (IllegalStateException closedAlready) {
                // It had answered before.
            }
            deliver(new Failed<>(begun));
        }
    }

    private synchronized boolean mayBegin() {
        return !isCancelled;
    }

    private void deliver(ServerCall.Listener<Q> begun) {
        while (true) {
            List<Consumer<ServerCall.Listener<Q>>> events;
            synchronized (this) {
                if (pending.isEmpty()) {
                    handler = begun;
                    return;
                }
                events = List.copyOf(pending);
                pending.clear();
                isReadyPending = false;
            }
            events.forEach(event -> event.accept(begun));
        }
    }

    @Override
    public void onMessage(Q message) {
        tell(it -> it.onMessage(message));
    }

    @Override
    public void onHalfClose() {
        tell(ServerCall.Listener::onHalfClose);
    }

    @Override
    public void onCancel() {
        synchronized (this) {
            isCancelled = true;
        }
        tell(ServerCall.Listener::onCancel);
    }

    @Override
    public void onComplete() {
        tell(ServerCall.Listener::onComplete);
    }

    @Override
    public void onReady() {
        synchronized (this) {
            if (handler == null && isReadyPending) {
                return;
            }
            isReadyPending = true;
        }
        tell(ServerCall.Listener::onReady);
    }

    /** Tells a handler that has failed of its end alone. */
    private static final class Failed<Q> extends ServerCall.Listener<Q> {
        private final ServerCall.Listener<Q> handler;

        Failed(ServerCall.Listener<Q> handler) {
            this.handler = handler;
        }

        @Override
        public void onCancel() {
            handler.onCancel();
        }

        @Override
        public void onComplete() {
            handler.onComplete();
        }
    }

    private void tell(Consumer<ServerCall.Listener<Q>> event) {
        ServerCall.Listener<Q> begun = handler;
        if (begun == null) {
            synchronized (this) {
                begun = handler;
                if (begun == null) {
                    pending.add(event);
                    return;
                }
            }
        }
        event.accept(begun);
    }
}
