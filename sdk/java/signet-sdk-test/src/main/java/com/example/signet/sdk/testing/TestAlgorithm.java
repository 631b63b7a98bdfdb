package com.example.signet.sdk.testing;

/** By which algorithm a test issuer signs. */
public enum TestAlgorithm {
    /** ECDSA with P-256: Signet's default. */
    ES256("ES256", "SHA256withECDSAinP1363Format"),
    /** Ed25519. */
    EDDSA("EdDSA", "Ed25519"),
    /** RSA with 2048 bits. */
    RS256("RS256", "SHA256withRSA");

    private final String jose;
    private final String jca;

    TestAlgorithm(String jose, String jca) {
        this.jose = jose;
        this.jca = jca;
    }

    String jose() {
        return jose;
    }

    String jca() {
        return jca;
    }
}
