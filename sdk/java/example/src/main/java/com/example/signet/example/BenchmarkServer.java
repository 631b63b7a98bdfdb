package com.example.signet.example;

import com.example.signet.sdk.GuardInterceptor;
import com.example.signet.sdk.Policy;
import com.example.signet.sdk.TimeSource;
import com.example.signet.sdk.Verifier;
import com.example.signet.sdk.testing.TestIssuer;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.util.List;
import stock.v1.StockServiceOuterClass;

/** The servers that the benchmark calls, without the guard and with it, in a process of their own that tells its CPU time. */
final class BenchmarkServer implements AutoCloseable {
    private final Process process;
    private final BufferedReader told;
    private final PrintStream asks;
    private final int bare;
    private final int guarded;
    private final String token;

    private BenchmarkServer(Process process) throws IOException {
        this.process = process;
        told = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        asks = new PrintStream(process.getOutputStream(), true, StandardCharsets.UTF_8);
        String[] first = told.readLine().split(" ");
        bare = Integer.parseInt(first[0]);
        guarded = Integer.parseInt(first[1]);
        token = first[2];
    }

    /** Starts the process, by the class path of this one. */
    static BenchmarkServer start() throws IOException {
        List<String> command = List.of(
                System.getProperty("java.home") + File.separator + "bin" + File.separator + "java",
                "-cp", System.getProperty("java.class.path"), BenchmarkServer.class.getName());
        return new BenchmarkServer(new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start());
    }

    /** The port of the server without the guard. */
    int bare() {
        return bare;
    }

    /** The port of the guarded one. */
    int guarded() {
        return guarded;
    }

    /** A good token. */
    String token() {
        return token;
    }

    /** User and system time of the process, in nanoseconds. */
    long cpu() throws IOException {
        asks.println();
        return Long.parseLong(told.readLine());
    }

    @Override
    public void close() {
        process.destroy();
    }

    /**
     * Serves until its input ends. Prints the two ports and a token, and its CPU time for each line that it reads.
     *
     * @param arguments none
     * @throws IOException if it cannot listen
     */
    public static void main(String[] arguments) throws IOException {
        TestIssuer issuer = TestIssuer.builder().time(TimeSource.system()).build();
        Verifier verifier = issuer.verifier("stock").build();
        Policy policy = Policy.builder().file(StockServiceOuterClass.getDescriptor()).build();
        Server bare = serve(Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create()));
        Server guarded = serve(Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
                .intercept(GuardInterceptor.of(verifier, policy)));
        String token = issuer.user("alice").audiences("stock").sign();
        System.out.println(bare.getPort() + " " + guarded.getPort() + " " + token);
        BufferedReader asked = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        while (asked.readLine() != null) {
            var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
            System.out.println(system.getProcessCpuTime());
        }
        System.exit(0);
    }

    private static Server serve(ServerBuilder<?> builder) throws IOException {
        return builder.addService(new StockService(new Stock())).build().start();
    }
}
