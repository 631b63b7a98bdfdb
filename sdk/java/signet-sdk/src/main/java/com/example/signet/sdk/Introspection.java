package com.example.signet.sdk;

import com.example.signet.identity.v1.IntrospectTokenRequest;
import com.example.signet.identity.v1.IntrospectTokenResponse;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** Asks what a token is worth at this moment (RFC 7662): for rules with roles, where the token has had no room to name them. */
@FunctionalInterface
public interface Introspection {
    /**
     * Asks, without blocking.
     *
     * @param token the access token
     * @return the answer; a failure means that it cannot be told
     */
    CompletableFuture<Answer> introspect(String token);

    /**
     * What a token is worth.
     *
     * @param active whether it is good
     * @param roles the roles that its holder has at its audience; empty if none
     */
    record Answer(boolean active, List<String> roles) {}

    /**
     * Asks a running Signet by {@code TokenService.IntrospectToken}.
     *
     * @param servers where Signet is
     * @param tokens gets tokens with the scope {@code introspect} for Signet's own audience
     * @return what asks; each question ends after five seconds
     */
    static Introspection bySignet(SignetServers servers, TokenSource tokens) {
        return token -> tokens.token()
                .thenCompose(own -> servers.call(
                        SignetRpcs.INTROSPECT_TOKEN, () -> IntrospectTokenRequest.newBuilder().setToken(token).build(), own.value()))
                .thenApply((IntrospectTokenResponse answer) -> new Answer(answer.getActive(), List.copyOf(answer.getRolesList())));
    }
}
