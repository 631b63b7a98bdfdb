package com.example.signet.sdk;

import java.util.List;
import java.util.Objects;
import java.util.Optional;

/**
 * Who may call a method: callers with a valid access token for whom all of this holds. What is unset asks for nothing.
 *
 * <p>For gRPC the rules stand in the protos ({@link Policy}); for HTTP they are made in code: {@code Rule.authenticated()}, or
 * {@code Rule.builder().requiredScopes("stock:read").build()}.
 */
public final class Rule {
    private static final Rule AUTHENTICATED = builder().build();

    private final List<String> requiredScopes;
    private final List<String> anyScopes;
    private final List<String> anyRoles;
    private final CallerKind callers;
    private final String audience;

    private Rule(Builder from) {
        requiredScopes = from.requiredScopes;
        anyScopes = from.anyScopes;
        anyRoles = from.anyRoles;
        callers = from.callers;
        audience = from.audience;
    }

    /**
     * A rule that asks for a valid access token and nothing more.
     *
     * @return the rule
     */
    public static Rule authenticated() {
        return AUTHENTICATED;
    }

    /**
     * A rule that asks for more.
     *
     * @return what makes it
     */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * Scopes of which the token must have all.
     *
     * @return names; empty if none is asked for
     */
    public List<String> requiredScopes() {
        return requiredScopes;
    }

    /**
     * Scopes of which the token must have one.
     *
     * @return names; empty if none is asked for
     */
    public List<String> anyScopes() {
        return anyScopes;
    }

    /**
     * Roles of which the caller must have one at the audience.
     *
     * @return names; empty if none is asked for
     */
    public List<String> anyRoles() {
        return anyRoles;
    }

    /**
     * Whom the token must stand for.
     *
     * @return the kind; empty if either may call
     */
    public Optional<CallerKind> callers() {
        return Optional.ofNullable(callers);
    }

    /**
     * Whom the token must be meant for.
     *
     * @return a name; empty if that is the verifier's own audience
     */
    public Optional<String> audience() {
        return Optional.ofNullable(audience);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Rule rule
                && requiredScopes.equals(rule.requiredScopes)
                && anyScopes.equals(rule.anyScopes)
                && anyRoles.equals(rule.anyRoles)
                && callers == rule.callers
                && Objects.equals(audience, rule.audience);
    }

    @Override
    public int hashCode() {
        return Objects.hash(requiredScopes, anyScopes, anyRoles, callers, audience);
    }

    /** Makes a {@link Rule}. */
    public static final class Builder {
        private List<String> requiredScopes = List.of();
        private List<String> anyScopes = List.of();
        private List<String> anyRoles = List.of();
        private CallerKind callers;
        private String audience;

        private Builder() {}

        /**
         * Asks for all of these scopes.
         *
         * @param names the scopes
         * @return this
         */
        public Builder requiredScopes(String... names) {
            requiredScopes = List.of(names);
            return this;
        }

        /**
         * Asks for one of these scopes.
         *
         * @param names the scopes
         * @return this
         */
        public Builder anyScopes(String... names) {
            anyScopes = List.of(names);
            return this;
        }

        /**
         * Asks for one of these roles at the audience.
         *
         * @param names the roles
         * @return this
         */
        public Builder anyRoles(String... names) {
            anyRoles = List.of(names);
            return this;
        }

        /**
         * Asks for a user, or for a client by itself.
         *
         * @param kind which
         * @return this
         */
        public Builder callers(CallerKind kind) {
            callers = kind;
            return this;
        }

        /**
         * Asks for a token that is meant for another audience than the verifier's own.
         *
         * @param name the audience
         * @return this
         */
        public Builder audience(String name) {
            audience = name;
            return this;
        }

        /**
         * Makes the rule.
         *
         * @return the rule
         */
        public Rule build() {
            return new Rule(this);
        }
    }
}
