package com.example.signet.sdk;

import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.util.Base64URL;
import com.nimbusds.jwt.JWTClaimsSet;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.interfaces.ECKey;
import java.security.interfaces.EdECKey;
import java.security.interfaces.RSAKey;
import java.time.Duration;
import java.time.Instant;
import java.util.Date;
import java.util.UUID;

/** Signs assertions by which a client proves who it is (RFC 7523 section 3, {@code private_key_jwt}). Each is good once. */
record ClientAssertion(String clientId, String issuer, PrivateKey key, String kid, JWSAlgorithm algorithm, String signing) {
    private static final JOSEObjectType TYPE = new JOSEObjectType("client-authentication+jwt");
    private static final Duration LIFETIME = Duration.ofSeconds(60);
    private static final int P256_BITS = 256;

    /** {@code kid} is null if the client has one key. */
    static ClientAssertion of(String clientId, String issuer, PrivateKey key, String kid) {
        if (key instanceof ECKey ec && ec.getParams().getOrder().bitLength() == P256_BITS) {
            return new ClientAssertion(clientId, issuer, key, kid, JWSAlgorithm.ES256, "SHA256withECDSAinP1363Format");
        }
        if (key instanceof EdECKey ed && ed.getParams().getName().equals("Ed25519")) {
            return new ClientAssertion(clientId, issuer, key, kid, JWSAlgorithm.EdDSA, "Ed25519");
        }
        if (key instanceof RSAKey) {
            return new ClientAssertion(clientId, issuer, key, kid, JWSAlgorithm.RS256, "SHA256withRSA");
        }
        throw new IllegalArgumentException("the private key must be of P-256, Ed25519 or RSA");
    }

    String sign(Instant now) {
        JWSHeader header = new JWSHeader.Builder(algorithm).type(TYPE).keyID(kid).build();
        JWTClaimsSet claims = new JWTClaimsSet.Builder()
                .issuer(clientId)
                .subject(clientId)
                .audience(issuer)
                .issueTime(Date.from(now))
                .expirationTime(Date.from(now.plus(LIFETIME)))
                .jwtID(UUID.randomUUID().toString())
                .build();
        String text = header.toBase64URL() + "." + Base64URL.encode(claims.toString());
        try {
            Signature signature = Signature.getInstance(signing);
            signature.initSign(key);
            signature.update(text.getBytes(StandardCharsets.US_ASCII));
            return text + "." + Base64URL.encode(signature.sign());
        } catch (GeneralSecurityException unusable) {
            throw new IllegalStateException("the private key cannot sign", unusable);
        }
    }

    @Override
    public String toString() {
        return "assertions of the client " + clientId;
    }
}
