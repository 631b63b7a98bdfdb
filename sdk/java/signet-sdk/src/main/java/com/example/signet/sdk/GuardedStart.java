package com.example.signet.sdk;

import io.grpc.Context;
import io.grpc.Contexts;
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
            return Contexts.interceptCall(own, call, headers, next);
        }
        Context.CancellableContext cancellable = own.withCancellation();
        GuardedStream<Q, A> stream = new GuardedStream<>(call, cancellable);
        ServerCall.Listener<Q> handler;
        try {
            handler = Contexts.interceptCall(cancellable, stream, headers, next);
        } catch (RuntimeException failure) {
            cancellable.cancel(failure);
            throw failure;
        }
        // Only now, so that the handler has begun before it can end.
        OpenStreams.Stream watched = verifier.watch(who, rule, path, stream::end);
        return stream.listener(handler, watched);
    }
}
