package com.example.signet.example;

import com.example.signet.sdk.SignetServers;
import com.example.signet.sdk.TokenSource;
import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import io.grpc.ClientInterceptors;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import stock.v1.StockServiceGrpc;
import stock.v1.StockServiceGrpc.StockServiceBlockingStub;
import stock.v1.StockServiceOuterClass.GetItemRequest;
import stock.v1.StockServiceOuterClass.TakeItemRequest;
import stock.v1.StockServiceOuterClass.WatchItemRequest;
import stock.v1.StockServiceOuterClass.WatchItemResponse;

/** Asks the warehouse for bolts, with tokens that the SDK gets and renews. Prints a line of JSON for each answer. */
public final class StockClient {
    private static final String ITEM = "bolt";
    private static final long DEADLINE_SECONDS = 20;
    private static final long PAUSE_MILLIS = 200;

    private final StockServiceBlockingStub stub;

    private StockClient(StockServiceBlockingStub stub) {
        this.stub = stub;
    }

    /**
     * Makes calls and ends, or watches until SIGTERM.
     *
     * @param arguments {@code [--calls N] [--interval-ms M] [--take] [--watch]}
     * @throws Exception if an argument is wrong
     */
    public static void main(String[] arguments) throws Exception {
        List<String> options = List.of(arguments);
        Map<String, String> environment = System.getenv();
        String target = environment.getOrDefault("STOCK_ADDR", "127.0.0.1:50052");
        try (SignetServers signet = SignetServers.of(environment.getOrDefault("SIGNET_GRPC_ADDR", "127.0.0.1:50051").split(","))) {
            TokenSource tokens = TokenSource.builder(signet, "stock")
                    .clientSecret(environment.getOrDefault("SIGNET_CLIENT_ID", ""), environment.getOrDefault("SIGNET_CLIENT_SECRET", ""))
                    .build();
            ManagedChannel channel = Grpc.newChannelBuilder(target, InsecureChannelCredentials.create()).build();
            StockClient client =
                    new StockClient(StockServiceGrpc.newBlockingStub(ClientInterceptors.intercept(channel, tokens.interceptor(target))));
            if (options.contains("--watch")) {
                client.watch();
            } else {
                client.call(number(options, "--calls", 1), number(options, "--interval-ms", 0), options.contains("--take"));
            }
            channel.shutdownNow();
        }
    }

    private static long number(List<String> options, String name, long absent) {
        int at = options.indexOf(name);
        return at < 0 ? absent : Long.parseLong(options.get(at + 1));
    }

    private void call(long calls, long intervalMillis, boolean takes) {
        long start = System.nanoTime();
        for (long done = 0; done < calls; done++) {
            long wait = start + TimeUnit.MILLISECONDS.toNanos(intervalMillis) * done - System.nanoTime();
            if (wait > 0) {
                LockSupport.parkNanos(wait);
            }
            try {
                int count = once(takes);
                System.out.println("{\"code\": \"OK\", \"count\": " + Integer.toUnsignedString(count) + "}");
            } catch (StatusRuntimeException failed) {
                System.out.println("{\"code\": \"" + failed.getStatus().getCode() + "\", \"reason\": \"" + reason(failed) + "\"}");
            }
        }
    }

    private int once(boolean takes) {
        StockServiceBlockingStub bounded = stub.withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS);
        return takes
                ? bounded.takeItem(TakeItemRequest.newBuilder().setName(ITEM).build()).getCount()
                : bounded.getItem(GetItemRequest.newBuilder().setName(ITEM).build()).getCount();
    }

    /** A stream ends with its token, and so often for other reasons: whoever watches opens the next. */
    private void watch() {
        while (true) {
            try {
                Iterator<WatchItemResponse> told = stub.watchItem(WatchItemRequest.newBuilder().setName(ITEM).build());
                while (told.hasNext()) {
                    System.out.println("{\"count\": " + Integer.toUnsignedString(told.next().getCount()) + "}");
                }
                System.out.println("{\"ended\": \"OK\"}");
            } catch (StatusRuntimeException ended) {
                System.out.println("{\"ended\": \"" + reason(ended) + "\"}");
            }
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(PAUSE_MILLIS + Math.round(Math.random() * PAUSE_MILLIS)));
        }
    }

    /** The reason in the details, or the code where there are none. */
    private static String reason(StatusRuntimeException failed) {
        com.google.rpc.Status details = failed.getTrailers() == null ? null : StatusProto.fromThrowable(failed);
        if (details != null) {
            for (Any detail : details.getDetailsList()) {
                if (detail.is(ErrorInfo.class)) {
                    try {
                        return detail.unpack(ErrorInfo.class).getReason();
                    } catch (com.google.protobuf.InvalidProtocolBufferException malformed) {
                        break;
                    }
                }
            }
        }
        return Status.fromThrowable(failed).getCode().name();
    }
}
