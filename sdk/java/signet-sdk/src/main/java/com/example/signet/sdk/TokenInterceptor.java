package com.example.signet.sdk;

import io.grpc.CallCredentials;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.CompositeCallCredentials;
import io.grpc.ForwardingClientCall;
import io.grpc.ForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;

/** Attaches tokens to calls, and makes a unary call once more that was refused for a token that no longer counts. */
final class TokenInterceptor implements ClientInterceptor {
    private final TokenSource source;
    private final CallTargets targets;

    TokenInterceptor(TokenSource source, CallTargets targets) {
        this.source = source;
        this.targets = targets;
    }

    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
        if (method.getType() == MethodDescriptor.MethodType.UNARY) {
            return new RetryingCall<>(this, method, () -> attempt(method, options, next));
        }
        Attempt<Q, A> attempt = attempt(method, options, next);
        return new ForwardingClientCall.SimpleForwardingClientCall<>(attempt.call()) {
            @Override
            public void start(Listener<A> listener, Metadata headers) {
                super.start(new ForwardingClientCallListener.SimpleForwardingClientCallListener<>(listener) {
                    @Override
                    public void onClose(Status status, Metadata trailers) {
                        isRefused(method, attempt, status, trailers);
                        super.onClose(status, told(status, trailers));
                    }
                }, headers);
            }
        };
    }

    /** One attempt of a call, and what has attached its token. */
    record Attempt<Q, A>(ClientCall<Q, A> call, TokenCredentials credentials) {}

    /** Whether the attempt was refused for its token, and another one may do; that one is forgotten then. */
    boolean isRefused(MethodDescriptor<?, ?> method, Attempt<?, ?> attempt, Status status, Metadata trailers) {
        AccessToken token = attempt.credentials().attached();
        return token != null
                && TokenRefusal.asksForAnotherToken(status, trailers, source.audience(), "/" + method.getFullMethodName())
                && source.drop(token);
    }

    void retried() {
        source.hooks().callRetried();
    }

    /** The trailers, with the details of why there was no token, if that is why the call has failed. */
    static Metadata told(Status status, Metadata trailers) {
        Metadata details = status.getCause() instanceof StatusRuntimeException cause ? cause.getTrailers() : null;
        if (details == null) {
            return trailers;
        }
        Metadata merged = new Metadata();
        merged.merge(trailers);
        merged.merge(details);
        return merged;
    }

    private <Q, A> Attempt<Q, A> attempt(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
        TokenCredentials credentials = new TokenCredentials(source, targets);
        CallCredentials others = options.getCredentials();
        CallCredentials all = others == null ? credentials : new CompositeCallCredentials(others, credentials);
        return new Attempt<>(next.newCall(method, options.withCallCredentials(all)), credentials);
    }
}
