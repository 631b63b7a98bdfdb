package com.example.signet.spring;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.security.access.prepost.PreAuthorize;
import org.springframework.security.config.annotation.method.configuration.EnableMethodSecurity;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.GrantedAuthority;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.servlet.ModelAndView;

/** A small application without a line about security. */
@SpringBootApplication
public class Application {
    /** What Spring makes. */
    public Application() {}

    /** Its one page. */
    @RestController
    public static class Hello {
        /** What Spring makes. */
        public Hello() {}

        /**
         * Says who asks.
         *
         * @param caller who asks
         * @return the name and the authorities
         */
        @GetMapping("/")
        public String hello(Authentication caller) {
            return caller.getName() + " " + caller.getAuthorities().stream().map(GrantedAuthority::getAuthority)
                    .filter(authority -> authority.startsWith("SCOPE_")).sorted().toList();
        }
    }

    /** Pages that Spring dispatches once more, and one with a rule of its own. */
    @RestController
    @EnableMethodSecurity
    public static class Odd {
        /** What Spring makes. */
        public Odd() {}

        /**
         * Answers on another thread.
         *
         * @return the answer
         */
        @GetMapping("/later")
        public Callable<String> later() {
            return () -> "later";
        }

        /** Fails. */
        @GetMapping("/fails")
        public void fails() {
            throw new IllegalStateException("a defect");
        }

        /**
         * Goes on elsewhere.
         *
         * @return where
         */
        @GetMapping("/forward")
        public ModelAndView forward() {
            return new ModelAndView("forward:/");
        }

        /**
         * Is for whoever may write.
         *
         * @return the answer
         */
        @GetMapping("/write")
        @PreAuthorize("hasAuthority('SCOPE_stock:write')")
        public String write() {
            return "written";
        }
    }

    static ConfigurableApplicationContext start(String... properties) {
        return startWith(Application.class, properties);
    }

    /** The same, with beans that the application defines itself. */
    static ConfigurableApplicationContext startWith(Class<?> more, String... properties) {
        List<String> all = new ArrayList<>(List.of(
                "--server.port=0", "--server.address=127.0.0.1", "--spring.main.banner-mode=off", "--logging.level.root=error",
                "--spring.grpc.server.port=0"));
        for (String property : properties) {
            all.add("--" + property);
        }
        return new SpringApplicationBuilder(Application.class, more).run(all.toArray(String[]::new));
    }

    static HttpResponse<String> get(ConfigurableApplicationContext application, String token) throws Exception {
        return getWith(application, token == null ? List.of() : List.of(token));
    }

    /** A request with a header for each of the tokens. */
    static HttpResponse<String> getWith(ConfigurableApplicationContext application, List<String> tokens) throws Exception {
        return get(application, "/", tokens);
    }

    static HttpResponse<String> get(ConfigurableApplicationContext application, String path, List<String> tokens) throws Exception {
        String port = application.getEnvironment().getProperty("local.server.port");
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path));
        tokens.forEach(token -> request.header("Authorization", "Bearer " + token));
        return HttpClient.newHttpClient().send(request.build(), HttpResponse.BodyHandlers.ofString());
    }
}
