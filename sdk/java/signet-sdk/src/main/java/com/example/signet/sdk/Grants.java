package com.example.signet.sdk;

import com.example.signet.identity.v1.ClientAuthentication;
import com.example.signet.identity.v1.ClientCredentialsGrant;
import com.example.signet.identity.v1.IssueTokenRequest;
import com.example.signet.identity.v1.RefreshTokenGrant;
import java.time.Instant;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.function.Consumer;

/** By what a token source gets its tokens: it makes the request, and takes in what came with the answer. */
interface Grants {
    /** What is sent, but for scopes and audience. */
    IssueTokenRequest.Builder request(Instant now);

    /** Has the next refresh token stored, which is null without one; the access token is not used before that has succeeded. */
    default CompletionStage<Void> store(String nextRefreshToken) {
        return CompletableFuture.completedFuture(null);
    }

    /** Uses the next refresh token from now on, which has been stored; null without one. */
    default void accept(String nextRefreshToken) {}

    /** Whether several sources may get tokens by it. */
    default boolean isShared() {
        return true;
    }

    /** A client in its own name; {@code proof} adds how it proves that it is this one. */
    static Grants client(Consumer<ClientAuthentication.Builder> proof) {
        return now -> IssueTokenRequest.newBuilder()
                .setClientCredentials(ClientCredentialsGrant.getDefaultInstance())
                .setClient(authentication(proof));
    }

    /** The same with an assertion, which is made anew each time. */
    static Grants assertion(ClientAssertion assertion) {
        return now -> IssueTokenRequest.newBuilder()
                .setClientCredentials(ClientCredentialsGrant.getDefaultInstance())
                .setClient(ClientAuthentication.newBuilder()
                        .setClientId(assertion.clientId())
                        .setClientAssertion(assertion.sign(now)));
    }

    /** A user's session. {@code proof} is null for the built-in client. */
    static Grants refresh(String refreshToken, RefreshTokenStore store, Consumer<ClientAuthentication.Builder> proof) {
        return new Refresh(refreshToken, store, proof);
    }

    private static ClientAuthentication authentication(Consumer<ClientAuthentication.Builder> proof) {
        ClientAuthentication.Builder client = ClientAuthentication.newBuilder();
        proof.accept(client);
        return client.build();
    }

    /** One exchange goes on at a time. */
    final class Refresh implements Grants {
        private final RefreshTokenStore store;
        private final Consumer<ClientAuthentication.Builder> proof;
        private volatile String refreshToken;

        private Refresh(String refreshToken, RefreshTokenStore store, Consumer<ClientAuthentication.Builder> proof) {
            this.refreshToken = refreshToken;
            this.store = store;
            this.proof = proof;
        }

        @Override
        public IssueTokenRequest.Builder request(Instant now) {
            IssueTokenRequest.Builder request = IssueTokenRequest.newBuilder()
                    .setRefreshToken(RefreshTokenGrant.newBuilder().setRefreshToken(refreshToken));
            return proof == null ? request : request.setClient(authentication(proof));
        }

        @Override
        public boolean isShared() {
            return false;
        }

        @Override
        public CompletionStage<Void> store(String next) {
            return next == null ? CompletableFuture.completedFuture(null) : store.store(next);
        }

        @Override
        public void accept(String next) {
            if (next != null) {
                refreshToken = next;
            }
        }
    }
}
