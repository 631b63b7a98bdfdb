package com.example.signet.sdk.servlet;

import com.example.signet.sdk.Caller;
import com.example.signet.sdk.Refusal;
import com.example.signet.sdk.Rule;
import com.example.signet.sdk.Verifier;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpFilter;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletRequestWrapper;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.security.Principal;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletionException;

/**
 * Lets in requests that keep a rule, and answers all others itself: 401, 403 or 503, with {@code WWW-Authenticate} (RFC 6750 section 3) and
 * JSON. Map it to the paths that the rule is for; a path that no filter is mapped to is open.
 *
 * <pre>{@code
 * context.addFilter("stock", new SignetFilter(verifier, Rule.builder().requiredScopes("stock:write").build()))
 *     .addMappingForUrlPatterns(null, false, "/stock/*");
 * }</pre>
 *
 * <p>Servlets find who calls by {@link #caller}, and by {@code getUserPrincipal}, whose name is the caller's id. The request's thread waits
 * where the issuer has to be asked, for ten seconds at most.
 */
public final class SignetFilter extends HttpFilter {
    private static final long serialVersionUID = 1;
    private static final String CALLER = Caller.class.getName();

    private final transient Verifier verifier;
    private final transient Rule rule;

    /**
     * A filter.
     *
     * @param verifier verifies the tokens
     * @param rule who is let in
     */
    public SignetFilter(Verifier verifier, Rule rule) {
        this.verifier = verifier;
        this.rule = rule;
    }

    /**
     * Who calls.
     *
     * @param request a request that a filter has let in
     * @return the caller; empty if no filter is mapped to its path
     */
    public static Optional<Caller> caller(HttpServletRequest request) {
        return Optional.ofNullable((Caller) request.getAttribute(CALLER));
    }

    @Override
    protected void doFilter(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
            throws IOException, ServletException {
        List<String> authorization = Collections.list(request.getHeaders("Authorization"));
        Caller caller;
        try {
            // Paths may have ids of people in them: a refusal tells the method alone.
            caller = verifier.authenticate(authorization, rule, request.getMethod()).join();
        } catch (CompletionException failed) {
            if (failed.getCause() instanceof Refusal refusal) {
                HttpRefusal.write(refusal, response);
                return;
            }
            throw failed;
        }
        request.setAttribute(CALLER, caller);
        chain.doFilter(new OfCaller(request, caller), response);
    }

    /** The request, with the caller as its principal. */
    private static final class OfCaller extends HttpServletRequestWrapper {
        private final Caller caller;

        OfCaller(HttpServletRequest request, Caller caller) {
            super(request);
            this.caller = caller;
        }

        @Override
        public Principal getUserPrincipal() {
            return caller::id;
        }

        @Override
        public String getRemoteUser() {
            return caller.id();
        }

        @Override
        public String getAuthType() {
            return "Bearer";
        }

        @Override
        public boolean isUserInRole(String role) {
            return caller.hasRole(role);
        }
    }
}
