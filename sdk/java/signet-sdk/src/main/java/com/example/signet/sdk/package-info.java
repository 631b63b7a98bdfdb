/**
 * Both halves of a service that trusts Signet: a server that verifies access tokens by itself, and a client that gets them.
 *
 * <p>The server half begins at {@link com.example.signet.sdk.Verifier} and {@link com.example.signet.sdk.GuardInterceptor}, the client
 * half at {@link com.example.signet.sdk.TokenSource}.
 */
package com.example.signet.sdk;
