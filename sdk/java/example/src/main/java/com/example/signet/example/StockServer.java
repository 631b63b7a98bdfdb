package com.example.signet.example;

import com.example.signet.sdk.GuardInterceptor;
import com.example.signet.sdk.Policy;
import com.example.signet.sdk.Revocations;
import com.example.signet.sdk.SignetServers;
import com.example.signet.sdk.Verifier;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import stock.v1.StockServiceOuterClass;

/** A warehouse whose RPCs are protected by the SDK. The environment says where it listens, and where Signet is. */
public final class StockServer {
    private static final String AUDIENCE = "stock";

    /** How long calls may go on after SIGTERM. */
    private static final long DRAIN_MILLIS = 1_000;

    private final Server server;
    private final Verifier verifier;

    private StockServer(Map<String, String> environment) throws IOException {
        verifier = verifier(environment);
        StockService stock = new StockService(new Stock());
        HealthStatusManager health = new HealthStatusManager();
        health.setStatus(HealthStatusManager.SERVICE_NAME_ALL_SERVICES, ServingStatus.NOT_SERVING);
        Policy policy = Policy.builder()
                .file(StockServiceOuterClass.getDescriptor())
                .publicService("grpc.health.v1.Health")
                .build();
        server = NettyServerBuilder.forAddress(address(environment), InsecureServerCredentials.create())
                .addService(stock)
                .addService(health.getHealthService())
                .intercept(GuardInterceptor.of(verifier, policy))
                .build()
                .start();
        verifier.ready().thenRun(() -> health.setStatus(HealthStatusManager.SERVICE_NAME_ALL_SERVICES, ServingStatus.SERVING));
    }

    /**
     * Serves until SIGTERM or SIGINT.
     *
     * @param arguments none
     * @throws IOException if it cannot listen
     * @throws InterruptedException never, unless somebody interrupts the thread
     */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        StockServer stock = new StockServer(System.getenv());
        Runtime.getRuntime().addShutdownHook(new Thread(stock::stop));
        InetSocketAddress listens = (InetSocketAddress) stock.server.getListenSockets().get(0);
        System.out.println(listens.getAddress().getHostAddress() + ":" + listens.getPort());
        stock.server.awaitTermination();
    }

    private static Verifier verifier(Map<String, String> environment) {
        String issuer = environment.getOrDefault("SIGNET_ISSUER", "http://127.0.0.1:8080");
        Verifier.Builder builder = Verifier.builder(issuer, AUDIENCE);
        String clientId = environment.getOrDefault("SIGNET_CLIENT_ID", "");
        if (!clientId.isEmpty()) {
            SignetServers signet = SignetServers.of(environment.getOrDefault("SIGNET_GRPC_ADDR", "127.0.0.1:50051").split(","));
            builder.revocations(Revocations.follow(signet, clientId, environment.getOrDefault("SIGNET_CLIENT_SECRET", "")));
        }
        if (environment.containsKey("STOCK_REVOCATION_MAX_AGE")) {
            builder.revocationMaxAge(seconds(environment.get("STOCK_REVOCATION_MAX_AGE")));
        }
        if (environment.containsKey("STOCK_STREAM_GRACE")) {
            builder.streamGrace(seconds(environment.get("STOCK_STREAM_GRACE")));
        }
        return builder.build();
    }

    private static Duration seconds(String text) {
        return Duration.ofMillis(Math.round(Double.parseDouble(text) * 1_000));
    }

    private static InetSocketAddress address(Map<String, String> environment) {
        String address = environment.getOrDefault("STOCK_ADDR", "127.0.0.1:50052");
        int colon = address.lastIndexOf(':');
        return new InetSocketAddress(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)));
    }

    private void stop() {
        server.shutdown();
        try {
            if (!server.awaitTermination(DRAIN_MILLIS, TimeUnit.MILLISECONDS)) {
                server.shutdownNow().awaitTermination(DRAIN_MILLIS / 2, TimeUnit.MILLISECONDS);
            }
        } catch (InterruptedException interrupted) {
            server.shutdownNow();
        }
        verifier.close();
    }
}
