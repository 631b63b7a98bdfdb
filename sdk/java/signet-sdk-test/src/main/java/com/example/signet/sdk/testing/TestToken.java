package com.example.signet.sdk.testing;

import com.nimbusds.jose.util.Base64URL;
import com.nimbusds.jose.util.JSONObjectUtils;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** Makes one token of a {@link TestIssuer}: a good one, unless it is told otherwise. */
public final class TestToken {
    private final TestIssuer issuer;
    private final Map<String, Object> header = new LinkedHashMap<>();
    private final Map<String, Object> claims = new LinkedHashMap<>();
    private Duration lifetime = Duration.ofMinutes(15);

    TestToken(TestIssuer issuer, Map<String, Object> whose) {
        this.issuer = issuer;
        header.put("typ", "at+jwt");
        claims.putAll(whose);
        claims.put("scope", "");
        claims.put("jti", UUID.randomUUID().toString());
    }

    /**
     * Whom it is meant for.
     *
     * @param names one audience or more
     * @return this
     */
    public TestToken audiences(String... names) {
        return claim("aud", names.length == 1 ? names[0] : List.of(names));
    }

    /**
     * What it allows; nothing by default.
     *
     * @param names scopes
     * @return this
     */
    public TestToken scopes(String... names) {
        return claim("scope", String.join(" ", names));
    }

    /**
     * The roles that it names; none by default.
     *
     * @param names roles
     * @return this
     */
    public TestToken roles(String... names) {
        return claim("roles", List.of(names));
    }

    /**
     * The groups that it names; none by default.
     *
     * @param names groups
     * @return this
     */
    public TestToken groups(String... names) {
        return claim("groups", List.of(names));
    }

    /**
     * For how long it is valid from now on, 15 minutes by default.
     *
     * @param duration the time, in whole seconds; negative for a token that has expired
     * @return this
     */
    public TestToken lifetime(Duration duration) {
        lifetime = duration;
        return this;
    }

    /**
     * Which client a user has logged in with.
     *
     * @param client its id, or a name that stands for one
     * @return this
     */
    public TestToken clientId(String client) {
        return claim("client_id", TestIssuer.id(client));
    }

    /**
     * Which session it belongs to.
     *
     * @param session its id, or a name that stands for one
     * @return this
     */
    public TestToken session(String session) {
        return claim("sid", TestIssuer.id(session));
    }

    /**
     * The type in its header, {@code at+jwt} by default: {@code JWT} of audiences that have asked for it.
     *
     * @param typ the type
     * @return this
     */
    public TestToken typ(String typ) {
        header.put("typ", typ);
        return this;
    }

    /**
     * Any claim, also one that makes the token a bad one.
     *
     * @param name its name
     * @param value a string, number, boolean, list or map; null to leave the claim out
     * @return this
     */
    public TestToken claim(String name, Object value) {
        if (value == null) {
            claims.remove(name);
            if (name.equals("iat") || name.equals("exp") || name.equals("iss")) {
                claims.put(name, Left.OUT);
            }
        } else {
            claims.put(name, value);
        }
        return this;
    }

    /**
     * Signs it.
     *
     * @return the token
     */
    public String sign() {
        SigningKey key = issuer.signingKey();
        Map<String, Object> head = new LinkedHashMap<>(header);
        head.put("alg", key.algorithm().jose());
        head.put("kid", key.kid());
        long now = issuer.time().now().getEpochSecond();
        Map<String, Object> said = new LinkedHashMap<>(claims);
        said.putIfAbsent("iss", issuer.issuer());
        said.putIfAbsent("iat", now);
        said.putIfAbsent("exp", now + lifetime.toSeconds());
        said.values().removeIf(value -> value == Left.OUT);
        String text = part(head) + "." + part(said);
        return text + "." + key.sign(text);
    }

    private static String part(Map<String, Object> members) {
        return Base64URL.encode(JSONObjectUtils.toJSONString(members)).toString();
    }

    /** Stands for a claim that is left out. */
    private enum Left { OUT }
}
