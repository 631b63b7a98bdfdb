package com.example.signet.sdk;

import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.ForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;

/** Starts the handler of a call whose caller was let in; a stream is watched over until it ends. */
record GuardedStart<Q, A>(
        Verifier verifier, Rule rule, String path, ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next, Context context) {

    ServerCall.Listener<Q> start(Verifier.Admitted who) {
        Context own = context.withValue(GuardInterceptor.CALLER, who.caller());
        if (call.getMethodDescriptor().getType() == MethodDescriptor.MethodType.UNARY) {
            return unary(who, Contexts.interceptCall(own, call, headers, next));
        }
        Context.CancellableContext cancellable = own.withCancellation();
        GuardedStream<Q, A> stream = new GuardedStream<>(call, cancellable, verifier.time());
        // Before the handler begins: one that blocks until it is cancelled comes to its end, too.
        OpenStreams.Stream watched = verifier.watch(who, rule, path, stream::end);
        if (stream.isEnded()) {
            return new ServerCall.Listener<>() {};
        }
        try {
            return stream.listener(Contexts.interceptCall(cancellable, stream, headers, next), watched);
        } catch (RuntimeException failure) {
            watched.close();
            cancellable.cancel(failure);
            throw failure;
        }
    }

    /** The handler begins when the client has sent all, which may be long after its metadata: so it is judged by that moment. */
    private ServerCall.Listener<Q> unary(Verifier.Admitted who, ServerCall.Listener<Q> handler) {
        return new ForwardingServerCallListener.SimpleForwardingServerCallListener<>(handler) {
            @Override
            public void onHalfClose() {
                Refusal refusal = verifier.recheck(who, rule, path);
                if (refusal == null) {
                    super.onHalfClose();
                } else {
                    call.close(refusal.status(), refusal.trailers());
                }
            }
        };
    }
}
