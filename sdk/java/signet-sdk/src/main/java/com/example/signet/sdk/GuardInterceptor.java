package com.example.signet.sdk;

import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/**
 * Guards the methods of a gRPC server: lets in who keeps the rule that the proto declares, and ends open streams when their token no
 * longer counts. Handlers find who calls by {@link Caller#current} or {@link #CALLER}.
 *
 * <p>Add it last to the server's builder ({@code intercept}), so that it runs first. Where the issuer has to be asked, the call waits without
 * a thread, and none of its messages is read meanwhile.
 */
public final class GuardInterceptor implements ServerInterceptor {
    /** The caller of the call that is handled; none in a public method. */
    public static final Context.Key<Caller> CALLER = Context.key("signet-caller");

    private static final Metadata.Key<String> AUTHORIZATION = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    private final Verifier verifier;
    private final Policy policy;

    private GuardInterceptor(Verifier verifier, Policy policy) {
        this.verifier = verifier;
        this.policy = policy;
    }

    /**
     * A guard.
     *
     * @param verifier verifies the tokens
     * @param policy says who may call which method
     * @return the interceptor
     */
    public static GuardInterceptor of(Verifier verifier, Policy policy) {
        return new GuardInterceptor(verifier, policy);
    }

    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
        MethodDescriptor<Q, A> method = call.getMethodDescriptor();
        String path = "/" + method.getFullMethodName();
        Access access = policy.access(path, method);
        if (access.kind() == Access.Kind.PUBLIC) {
            return next.startCall(call, headers);
        }
        if (access.kind() != Access.Kind.RULE) {
            return refuse(call, verifier.undeclared(path, access.kind() != Access.Kind.UNKNOWN));
        }
        CompletableFuture<Verifier.Admitted> admitted = verifier.admit(authorization(headers), access.rule(), path);
        GuardedStart<Q, A> start = new GuardedStart<>(verifier, access.rule(), path, call, headers, next, Context.current());
        if (admitted.isDone()) {
            Verifier.Admitted who;
            try {
                who = admitted.join();
            } catch (CompletionException refused) {
                return refuse(call, Verifier.refusal(refused));
            }
            return start.start(who);
        }
        LateListener<Q> late = new LateListener<>();
        admitted.whenCompleteAsync((who, failure) -> late.arrive(
                call, () -> failure == null ? start.start(who) : refuse(call, Verifier.refusal(failure))), Threads.RESUME);
        return late;
    }

    private static List<String> authorization(Metadata headers) {
        Iterable<String> values = headers.getAll(AUTHORIZATION);
        if (values == null) {
            return List.of();
        }
        List<String> all = new ArrayList<>(1);
        values.forEach(all::add);
        return all;
    }

    private static <Q, A> ServerCall.Listener<Q> refuse(ServerCall<Q, A> call, Refusal refusal) {
        call.close(refusal.status(), refusal.trailers());
        return new ServerCall.Listener<>() {};
    }
}
