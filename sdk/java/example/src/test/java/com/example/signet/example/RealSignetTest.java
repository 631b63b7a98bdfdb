package com.example.signet.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.nimbusds.jose.util.JSONObjectUtils;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The service and the client of the example with a real Signet, which SIGNET_TEST_SIGNET names. */
@Tag("integration")
class RealSignetTest {
    private final List<Process> running = new ArrayList<>();
    @TempDir
    Path folder;
    private String signet;
    private String issuer;
    private String grpc;
    private Process signetProcess;

    @BeforeEach
    void start() throws Exception {
        signet = System.getenv("SIGNET_TEST_SIGNET");
        assertNotNull(signet, "SIGNET_TEST_SIGNET must name the program");
        serve("127.0.0.1:0", "127.0.0.1:0");
    }

    @AfterEach
    void stop() throws Exception {
        for (Process process : running) {
            process.destroy();
            assertTrue(process.waitFor(20, TimeUnit.SECONDS));
        }
    }

    @Test
    void aServiceRefusesSoonWhatWasRevoked() throws Exception {
        Map<String, Object> app = client("app", "--scope", "stock:write", "--allow-audience", "stock");
        String stock = service();
        Process client = java(StockClient.class, credentials(stock, app), "--calls", "100000", "--interval-ms", "20", "--take");
        BufferedReader answers = client.inputReader();
        assertEquals("{\"code\": \"OK\", \"count\": 999}", answers.readLine());
        Process watch = java(StockClient.class, credentials(stock, app), "--watch");
        BufferedReader told = watch.inputReader();
        assertTrue(told.readLine().startsWith("{\"count\": "));
        run("keys", "rotate", "--now");
        for (int call = 0; call < 100; call++) {
            assertTrue(answers.readLine().startsWith("{\"code\": \"OK\""), "a key that signs at once is fetched");
        }
        run("clients", "disable", "app");
        long disabled = System.nanoTime();
        String answer = answers.readLine();
        while (answer.startsWith("{\"code\": \"OK\"")) {
            answer = answers.readLine();
        }
        long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - disabled);
        assertTrue(millis < 5_000, "refused after " + millis + " ms");
        assertEquals("{\"code\": \"UNAUTHENTICATED\", \"reason\": \"INVALID_CLIENT\"}", answer, "it has asked for another token, in vain");
        String ended = told.readLine();
        while (ended.startsWith("{\"count\"")) {
            ended = told.readLine();
        }
        assertEquals("{\"ended\": \"TOKEN_REVOKED\"}", ended);
    }

    @Test
    void aServiceGoesOnWhileSignetIsRestarted() throws Exception {
        Map<String, Object> app = client("app", "--scope", "stock:write", "--allow-audience", "stock");
        String stock = service();
        Process client = java(StockClient.class, credentials(stock, app), "--calls", "200", "--interval-ms", "20");
        BufferedReader answers = client.inputReader();
        assertTrue(answers.readLine().startsWith("{\"code\": \"OK\""));
        signetProcess.destroy();
        assertTrue(signetProcess.waitFor(20, TimeUnit.SECONDS));
        serve(grpc, issuer.substring("http://".length()));
        for (int call = 1; call < 200; call++) {
            assertTrue(answers.readLine().startsWith("{\"code\": \"OK\""));
        }
        assertTrue(client.waitFor(20, TimeUnit.SECONDS));
        assertEquals(0, client.exitValue());
    }

    private void serve(String grpcAddress, String httpAddress) throws IOException {
        ProcessBuilder builder = new ProcessBuilder(signet, "serve", "--data-dir", folder.toString(), "--grpc-addr", grpcAddress,
                "--http-addr", httpAddress, "--admin-addr", "off", "--operations-addr", "off");
        signetProcess = builder.redirectError(ProcessBuilder.Redirect.DISCARD).start();
        running.add(signetProcess);
        BufferedReader lines = signetProcess.inputReader();
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (line.startsWith("Issuer:")) {
                issuer = line.substring("Issuer:".length()).trim();
            } else if (line.startsWith("gRPC:")) {
                grpc = line.substring("gRPC:".length()).trim();
            } else if (line.startsWith("HTTP:")) {
                return;
            }
        }
        throw new IOException("Signet has not started");
    }

    private Map<String, Object> client(String name, String... options) throws Exception {
        List<String> command = new ArrayList<>(List.of("clients", "create", name, "--json"));
        command.addAll(List.of(options));
        return JSONObjectUtils.parse(run(command.toArray(String[]::new)));
    }

    /** Starts the service, which follows revocations. */
    private String service() throws Exception {
        Map<String, Object> events =
                client("stock-events", "--scope", "signet.events.watch", "--allow-audience", "stock", "--allow-audience", "signet");
        return java(StockServer.class, credentials("127.0.0.1:0", events)).inputReader().readLine();
    }

    private Map<String, String> credentials(String stock, Map<String, Object> client) {
        return Map.of("SIGNET_GRPC_ADDR", grpc, "SIGNET_ISSUER", issuer, "STOCK_ADDR", stock,
                "SIGNET_CLIENT_ID", (String) client.get("id"), "SIGNET_CLIENT_SECRET", (String) client.get("secret"));
    }

    private Process java(Class<?> main, Map<String, String> environment, String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-XX:TieredStopAtLevel=1",
                "-cp", System.getProperty("java.class.path"), main.getName()));
        command.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT);
        builder.environment().putAll(environment);
        Process process = builder.start();
        running.add(0, process);
        return process;
    }

    private String run(String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of(signet));
        command.addAll(List.of(arguments));
        Path errors = Files.createTempFile(folder, "errors", "");
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(errors.toFile());
        builder.environment().put("SIGNET_DATA_DIR", folder.toString());
        Process process = builder.start();
        String answer = new String(process.getInputStream().readAllBytes());
        assertEquals(0, process.waitFor(), () -> String.join(" ", command) + ": " + answer);
        return answer;
    }
}
