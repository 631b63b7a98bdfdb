package com.example.signet.sdk;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** A call that comes to a guard in a test, and what its handler was given. */
final class FakeCall extends ServerCall<byte[], byte[]> {
    private static final Metadata.Key<String> AUTHORIZATION = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    final MethodDescriptor<byte[], byte[]> method;
    private final CountDownLatch decided = new CountDownLatch(1);
    volatile Status closed;
    volatile Metadata trailers;
    volatile Caller caller;
    volatile Context context;
    volatile int requested;
    volatile int sent;

    FakeCall(String path, MethodDescriptor.MethodType type) {
        method = MethodDescriptor.<byte[], byte[]>newBuilder()
                .setType(type)
                .setFullMethodName(path.substring(1))
                .setRequestMarshaller(new Bytes())
                .setResponseMarshaller(new Bytes())
                .build();
    }

    /** Sends it through the guard. */
    Listener<byte[]> through(GuardInterceptor guard, List<String> authorization) {
        Metadata headers = new Metadata();
        authorization.forEach(value -> headers.put(AUTHORIZATION, value));
        ServerCallHandler<byte[], byte[]> handler = (call, given) -> {
            caller = GuardInterceptor.CALLER.get();
            context = Context.current();
            call.request(1);
            decided.countDown();
            return new Listener<>() {};
        };
        return guard.interceptCall(this, headers, handler);
    }

    /** Waits until it is refused or its handler has begun. */
    void await() throws InterruptedException {
        if (!decided.await(20, TimeUnit.SECONDS)) {
            throw new AssertionError("the call was neither refused nor handled");
        }
    }

    boolean hasBegun() {
        return context != null;
    }

    ErrorInfo info() {
        return detail(ErrorInfo.getDefaultInstance(), ErrorInfo.class);
    }

    /** Null if there is none. */
    RetryInfo retry() {
        return detail(null, RetryInfo.class);
    }

    private <M extends com.google.protobuf.Message> M detail(M absent, Class<M> type) {
        try {
            for (Any detail : StatusProto.fromStatusAndTrailers(closed, trailers).getDetailsList()) {
                if (detail.is(type)) {
                    return detail.unpack(type);
                }
            }
            return absent;
        } catch (com.google.protobuf.InvalidProtocolBufferException malformed) {
            throw new IllegalStateException(malformed);
        }
    }

    @Override
    public void request(int messages) {
        requested += messages;
    }

    @Override
    public void sendHeaders(Metadata headers) {}

    @Override
    public void sendMessage(byte[] message) {
        sent++;
    }

    @Override
    public void close(Status status, Metadata with) {
        if (closed != null) {
            throw new IllegalStateException("closed twice");
        }
        closed = status;
        trailers = with;
        decided.countDown();
    }

    @Override
    public boolean isCancelled() {
        return false;
    }

    @Override
    public MethodDescriptor<byte[], byte[]> getMethodDescriptor() {
        return method;
    }

    private static final class Bytes implements MethodDescriptor.Marshaller<byte[]> {
        @Override
        public InputStream stream(byte[] value) {
            return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
            try {
                return stream.readAllBytes();
            } catch (java.io.IOException impossible) {
                throw new IllegalStateException(impossible);
            }
        }
    }
}
