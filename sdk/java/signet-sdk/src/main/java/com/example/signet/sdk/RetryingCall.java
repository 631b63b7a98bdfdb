package com.example.signet.sdk;

import io.grpc.Attributes;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.function.Supplier;

/**
 * A unary call that is made once more if it is refused for its token before any message has come. What was asked of the first attempt is
 * asked of the second, too; its headers are held back until it is known that it stays.
 */
final class RetryingCall<Q, A> extends ClientCall<Q, A> {
    private final TokenInterceptor tokens;
    private final MethodDescriptor<Q, A> method;
    private final Supplier<TokenInterceptor.Attempt<Q, A>> attempts;

    // Guarded by `this`.
    private TokenInterceptor.Attempt<Q, A> attempt;
    private boolean isSecond;
    private boolean isCancelled;
    private Metadata headers;
    private Listener<A> listener;
    private int requested;
    private Q message;
    private boolean isHalfClosed;
    private Boolean compresses;

    RetryingCall(TokenInterceptor tokens, MethodDescriptor<Q, A> method, Supplier<TokenInterceptor.Attempt<Q, A>> attempts) {
        this.tokens = tokens;
        this.method = method;
        this.attempts = attempts;
        this.attempt = attempts.get();
    }

    @Override
    public synchronized void start(Listener<A> told, Metadata given) {
        listener = told;
        headers = new Metadata();
        headers.merge(given);
        attempt.call().start(new AttemptListener(attempt), given);
    }

    @Override
    public synchronized void request(int messages) {
        requested += messages;
        attempt.call().request(messages);
    }

    @Override
    public synchronized void cancel(String why, Throwable cause) {
        isCancelled = true;
        attempt.call().cancel(why, cause);
    }

    @Override
    public synchronized void halfClose() {
        isHalfClosed = true;
        attempt.call().halfClose();
    }

    @Override
    public synchronized void sendMessage(Q sent) {
        message = sent;
        attempt.call().sendMessage(sent);
    }

    @Override
    public synchronized boolean isReady() {
        return attempt.call().isReady();
    }

    @Override
    public synchronized void setMessageCompression(boolean enabled) {
        compresses = enabled;
        attempt.call().setMessageCompression(enabled);
    }

    @Override
    public synchronized Attributes getAttributes() {
        return attempt.call().getAttributes();
    }

    /** Makes the call once more, unless it was given up. */
    private synchronized boolean again() {
        if (isSecond || isCancelled) {
            return false;
        }
        isSecond = true;
        attempt = attempts.get();
        Metadata copy = new Metadata();
        copy.merge(headers);
        attempt.call().start(new AttemptListener(attempt), copy);
        if (compresses != null) {
            attempt.call().setMessageCompression(compresses);
        }
        if (requested > 0) {
            attempt.call().request(requested);
        }
        if (message != null) {
            attempt.call().sendMessage(message);
        }
        if (isHalfClosed) {
            attempt.call().halfClose();
        }
        return true;
    }

    /** Listens to one attempt: callbacks of one come one after the other. */
    private final class AttemptListener extends Listener<A> {
        private final TokenInterceptor.Attempt<Q, A> own;
        private Metadata heldBack;
        private boolean hasMessage;

        AttemptListener(TokenInterceptor.Attempt<Q, A> own) {
            this.own = own;
        }

        @Override
        public void onHeaders(Metadata answered) {
            heldBack = answered;
        }

        @Override
        public void onMessage(A answer) {
            hasMessage = true;
            release();
            listener.onMessage(answer);
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
            boolean isRefused = tokens.isRefused(method, own, status, trailers);
            if (isRefused && !hasMessage && again()) {
                tokens.retried();
                return;
            }
            release();
            listener.onClose(status, TokenInterceptor.told(status, trailers));
        }

        @Override
        public void onReady() {
            listener.onReady();
        }

        private void release() {
            if (heldBack != null) {
                Metadata answered = heldBack;
                heldBack = null;
                listener.onHeaders(answered);
            }
        }
    }
}
