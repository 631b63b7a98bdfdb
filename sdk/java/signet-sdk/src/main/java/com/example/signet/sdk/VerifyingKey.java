package com.example.signet.sdk;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSVerifier;
import com.nimbusds.jose.crypto.ECDSAVerifier;
import com.nimbusds.jose.crypto.RSASSAVerifier;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.RSAKey;
import com.nimbusds.jose.util.Base64URL;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.X509EncodedKeySpec;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/** A public key of the issuer, and the one algorithm that it verifies: a signature cannot choose another (RFC 8725 section 3.1). */
final class VerifyingKey {
    /** Members of a JWK that nobody else may know (RFC 7518 section 6). */
    private static final List<String> SECRET = List.of("d", "p", "q", "dp", "dq", "qi", "oth", "k");

    /** What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410 section 4). */
    private static final byte[] ED25519_PREFIX = HexFormat.of().parseHex("302a300506032b6570032100");

    private static final int COORDINATE_BYTES = 32;
    private static final int ED25519_SIGNATURE_BYTES = 64;
    private static final int RSA_MIN_BITS = 2048;
    private static final int RSA_MAX_BITS = 8192;

    /** The widest public exponent of RSA, in bits: a wider one makes each verification slow. */
    private static final int RSA_EXPONENT_MAX_BITS = 33;

    private final String kid;
    private final String alg;
    private final PublicKey key;
    private final Check check;

    private VerifyingKey(String kid, String alg, PublicKey key, Check check) {
        this.kid = kid;
        this.alg = alg;
        this.key = key;
        this.check = check;
    }

    /** What looks whether a signature is one of the key. */
    @FunctionalInterface
    private interface Check {
        boolean verifies(byte[] message, byte[] signature) throws JOSEException, GeneralSecurityException;
    }

    /** The key that {@code jwk} holds (RFC 7517); null if it is not one that verifies access tokens. */
    static VerifyingKey of(Map<String, Object> jwk) {
        if (SECRET.stream().anyMatch(jwk::containsKey) || !isForSignatures(jwk)) {
            return null;
        }
        if (!(jwk.get("kid") instanceof String kid) || !CompactToken.canBeKid(kid) || !(jwk.get("kty") instanceof String kty)) {
            return null;
        }
        try {
            VerifyingKey key = switch (kty) {
                case "EC" -> p256(kid, jwk);
                case "OKP" -> ed25519(kid, jwk);
                case "RSA" -> rsa(kid, jwk);
                default -> null;
            };
            boolean isOfAlg = key != null && (!jwk.containsKey("alg") || key.alg.equals(jwk.get("alg")));
            return isOfAlg ? key : null;
        } catch (JOSEException | GeneralSecurityException | IllegalStateException | IllegalArgumentException invalid) {
            return null;
        }
    }

    /** The id by which tokens name it. */
    String kid() {
        return kid;
    }

    /** The name of its algorithm in headers of tokens. */
    String alg() {
        return alg;
    }

    /** Whether {@code signature} is the key's own of {@code message}. How a forgery failed is not told. */
    boolean verifies(byte[] message, byte[] signature) {
        try {
            return check.verifies(message, signature);
        } catch (JOSEException | GeneralSecurityException forged) {
            return false;
        }
    }

    /** Whether it verifies the same as {@code other}, under the same id. */
    boolean isSame(VerifyingKey other) {
        return kid.equals(other.kid) && alg.equals(other.alg) && key.equals(other.key);
    }

    private static boolean isForSignatures(Map<String, Object> jwk) {
        boolean isUsed = !jwk.containsKey("use") || "sig".equals(jwk.get("use"));
        Object operations = jwk.get("key_ops");
        return isUsed && (operations == null || (operations instanceof List<?> list && list.contains("verify")));
    }

    private static VerifyingKey p256(String kid, Map<String, Object> jwk) throws JOSEException {
        byte[] x = coordinate(jwk, "x");
        byte[] y = coordinate(jwk, "y");
        if (!"P-256".equals(jwk.get("crv")) || x == null || y == null) {
            return null;
        }
        // It refuses a point that is not on the curve.
        ECKey key = new ECKey.Builder(Curve.P_256, Base64URL.encode(x), Base64URL.encode(y)).build();
        JWSVerifier verifier = new ECDSAVerifier(key.toECPublicKey());
        return new VerifyingKey(kid, "ES256", key.toECPublicKey(), by(verifier, JWSAlgorithm.ES256));
    }

    private static VerifyingKey rsa(String kid, Map<String, Object> jwk) throws JOSEException {
        byte[] modulus = bytes(jwk, "n");
        byte[] exponent = bytes(jwk, "e");
        if (modulus == null || exponent == null) {
            return null;
        }
        RSAKey key = new RSAKey.Builder(Base64URL.encode(modulus), Base64URL.encode(exponent)).build();
        RSAPublicKey usable = key.toRSAPublicKey();
        int bits = usable.getModulus().bitLength();
        boolean isOddExponent = usable.getPublicExponent().testBit(0) && usable.getPublicExponent().bitLength() > 1;
        if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS || !isOddExponent
                || usable.getPublicExponent().bitLength() > RSA_EXPONENT_MAX_BITS) {
            return null;
        }
        return new VerifyingKey(kid, "RS256", usable, by(new RSASSAVerifier(usable), JWSAlgorithm.RS256));
    }

    /** By the JDK's own: Nimbus needs another library for Ed25519. */
    private static VerifyingKey ed25519(String kid, Map<String, Object> jwk) throws GeneralSecurityException {
        byte[] x = coordinate(jwk, "x");
        if (!"Ed25519".equals(jwk.get("crv")) || x == null) {
            return null;
        }
        byte[] encoded = new byte[ED25519_PREFIX.length + x.length];
        System.arraycopy(ED25519_PREFIX, 0, encoded, 0, ED25519_PREFIX.length);
        System.arraycopy(x, 0, encoded, ED25519_PREFIX.length, x.length);
        PublicKey key = KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(encoded));
        Check check = (message, signature) -> {
            // The JDK passes over what stands behind the signature.
            if (signature.length != ED25519_SIGNATURE_BYTES) {
                return false;
            }
            Signature verifier = Signature.getInstance("Ed25519");
            verifier.initVerify(key);
            verifier.update(message);
            return verifier.verify(signature);
        };
        // Refuses bytes that are not a point of the curve.
        Signature.getInstance("Ed25519").initVerify(key);
        return new VerifyingKey(kid, "EdDSA", key, check);
    }

    private static Check by(JWSVerifier verifier, JWSAlgorithm algorithm) {
        // A header of our own: that of the token chooses nothing.
        JWSHeader header = new JWSHeader(algorithm);
        return (message, signature) -> verifier.verify(header, message, Base64URL.encode(signature));
    }

    private static byte[] coordinate(Map<String, Object> jwk, String member) {
        byte[] bytes = bytes(jwk, member);
        return bytes != null && bytes.length == COORDINATE_BYTES ? bytes : null;
    }

    private static byte[] bytes(Map<String, Object> jwk, String member) {
        return jwk.get(member) instanceof String text ? Base64Url.decode(text) : null;
    }
}
