package com.example.signet.sdk;

import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Who calls, as the access token proves it. Immutable. */
public final class Caller {
    private final Claims claims;
    private final List<String> roles;

    Caller(Claims claims, List<String> roles) {
        this.claims = claims;
        this.roles = roles;
    }

    /**
     * The caller of the call that this thread handles ({@link io.grpc.Context}).
     *
     * @return the caller; empty in a public method, and outside of a call
     */
    public static Optional<Caller> current() {
        return Optional.ofNullable(GuardInterceptor.CALLER.get());
    }

    /**
     * Whether it is a user or a client.
     *
     * @return the kind
     */
    public CallerKind kind() {
        return claims.kind();
    }

    /**
     * The id of the user or the client ({@code sub}): it never changes, and is never another's.
     *
     * @return a UUID as text
     */
    public String id() {
        return claims.sub().toString();
    }

    /**
     * The client that asked for the token ({@code client_id}).
     *
     * @return a UUID as text, or {@code signet} for the built-in client
     */
    public String clientId() {
        return claims.clientId();
    }

    /**
     * The session that the user's login opened ({@code sid}).
     *
     * @return a UUID as text; empty for a client
     */
    public Optional<String> sessionId() {
        return Optional.ofNullable(claims.sid()).map(Object::toString);
    }

    /**
     * Whom the token is meant for ({@code aud}).
     *
     * @return names of services
     */
    public List<String> audiences() {
        return claims.aud();
    }

    /**
     * What the token allows ({@code scope}).
     *
     * @return names of scopes
     */
    public List<String> scopes() {
        return claims.scopes();
    }

    /**
     * The roles that the caller has at the audience: those that the token names, or that introspection has answered for this call.
     *
     * @return names of roles; empty if the token names none
     */
    public List<String> roles() {
        return roles;
    }

    /**
     * The groups by which the roles come.
     *
     * @return names of groups; empty if the token names none
     */
    public List<String> groups() {
        return claims.groups() == null ? List.of() : claims.groups();
    }

    /**
     * The user's attributes that the operator has declared for tokens.
     *
     * @return values of {@link String}, {@link Long}, {@link Boolean} or lists of {@link String}, by names
     */
    public Map<String, Object> attributes() {
        return claims.attributes() == null ? Map.of() : copy(claims.attributes());
    }

    /**
     * By which methods the user logged in (RFC 8176), such as {@code pwd}.
     *
     * @return names; empty for a client
     */
    public List<String> amr() {
        return claims.amr() == null ? List.of() : claims.amr();
    }

    /**
     * When the user logged in.
     *
     * @return the time, in whole seconds; empty for a client
     */
    public Optional<Instant> authTime() {
        return Optional.ofNullable(claims.authTime()).map(Times::ofEpochSecond);
    }

    /**
     * Which level of assurance the login reached.
     *
     * @return its name; empty as long as there is only one
     */
    public Optional<String> acr() {
        return Optional.ofNullable(claims.acr());
    }

    /**
     * From when on the token is refused ({@code exp}).
     *
     * @return the time, in whole seconds
     */
    public Instant expiresAt() {
        return Times.ofEpochSecond(claims.exp());
    }

    /**
     * The token's own id ({@code jti}).
     *
     * @return a UUID as text
     */
    public String tokenId() {
        return claims.jti().toString();
    }

    /**
     * Whether the token has a scope.
     *
     * @param scope its name
     * @return whether it does
     */
    public boolean hasScope(String scope) {
        return claims.scopes().contains(scope);
    }

    /**
     * Whether the caller has a role at the audience, as far as the token or introspection says.
     *
     * @param role its name
     * @return whether it does
     */
    public boolean hasRole(String role) {
        return roles.contains(role);
    }

    /**
     * All claims of the token, as its JSON has them: for libraries that want them so, such as Spring Security.
     *
     * @return {@link String}, {@link Long}, {@link Double}, {@link Boolean}, lists and maps, by the names of the claims
     */
    public Map<String, Object> claims() {
        return copy(claims.json());
    }

    Claims said() {
        return claims;
    }

    @Override
    public String toString() {
        return kind().label() + " " + id();
    }

    private static Map<String, Object> copy(Map<String, Object> members) {
        Map<String, Object> copy = new LinkedHashMap<>();
        members.forEach((name, value) -> {
            if (value != Json.NULL) {
                copy.put(name, value);
            }
        });
        return java.util.Collections.unmodifiableMap(copy);
    }
}
