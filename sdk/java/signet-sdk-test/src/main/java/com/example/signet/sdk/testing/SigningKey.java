package com.example.signet.sdk.testing;

import com.nimbusds.jose.util.Base64URL;
import com.nimbusds.jose.util.JSONObjectUtils;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.interfaces.ECPublicKey;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;

/** A key that a test issuer signs with. */
record SigningKey(String kid, TestAlgorithm algorithm, PrivateKey key, Map<String, Object> jwk) {
    private static final int COORDINATE_BYTES = 32;
    private static final int RSA_BITS = 2048;

    static SigningKey generate(TestAlgorithm algorithm) {
        try {
            KeyPair pair = pair(algorithm);
            Map<String, Object> members = members(algorithm, pair);
            String kid = thumbprint(members);
            Map<String, Object> jwk = new LinkedHashMap<>(members);
            jwk.put("kid", kid);
            jwk.put("use", "sig");
            jwk.put("alg", algorithm.jose());
            return new SigningKey(kid, algorithm, pair.getPrivate(), Map.copyOf(jwk));
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException("the JDK cannot make a key for " + algorithm, impossible);
        }
    }

    /** The signature of {@code text} in base64url. */
    String sign(String text) {
        try {
            Signature signature = Signature.getInstance(algorithm.jca());
            signature.initSign(key);
            signature.update(text.getBytes(StandardCharsets.US_ASCII));
            return Base64URL.encode(signature.sign()).toString();
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException("the key cannot sign", impossible);
        }
    }

    @Override
    public String toString() {
        return "the key " + kid;
    }

    private static KeyPair pair(TestAlgorithm algorithm) throws GeneralSecurityException {
        KeyPairGenerator generator = KeyPairGenerator.getInstance(switch (algorithm) {
            case ES256 -> "EC";
            case EDDSA -> "Ed25519";
            case RS256 -> "RSA";
        });
        switch (algorithm) {
            case ES256 -> generator.initialize(new ECGenParameterSpec("secp256r1"));
            case RS256 -> generator.initialize(RSA_BITS);
            case EDDSA -> { }
        }
        return generator.generateKeyPair();
    }

    private static Map<String, Object> members(TestAlgorithm algorithm, KeyPair pair) {
        return switch (algorithm) {
            case ES256 -> {
                ECPublicKey key = (ECPublicKey) pair.getPublic();
                yield Map.of("kty", "EC", "crv", "P-256", "x", coordinate(key.getW().getAffineX()), "y", coordinate(key.getW().getAffineY()));
            }
            case RS256 -> {
                RSAPublicKey key = (RSAPublicKey) pair.getPublic();
                yield Map.of("kty", "RSA", "n", unsigned(key.getModulus()), "e", unsigned(key.getPublicExponent()));
            }
            case EDDSA -> {
                // The last 32 bytes of the SubjectPublicKeyInfo (RFC 8410 section 4).
                byte[] encoded = pair.getPublic().getEncoded();
                byte[] x = Arrays.copyOfRange(encoded, encoded.length - COORDINATE_BYTES, encoded.length);
                yield Map.of("kty", "OKP", "crv", "Ed25519", "x", Base64URL.encode(x).toString());
            }
        };
    }

    private static String coordinate(BigInteger number) {
        byte[] bytes = number.toByteArray();
        byte[] padded = new byte[COORDINATE_BYTES];
        int length = Math.min(bytes.length, COORDINATE_BYTES);
        System.arraycopy(bytes, bytes.length - length, padded, COORDINATE_BYTES - length, length);
        return Base64URL.encode(padded).toString();
    }

    private static String unsigned(BigInteger number) {
        return Base64URL.encode(number).toString();
    }

    /** RFC 7638. */
    private static String thumbprint(Map<String, Object> members) throws GeneralSecurityException {
        String text = JSONObjectUtils.toJSONString(new TreeMap<>(members));
        return Base64URL.encode(MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8))).toString();
    }
}
