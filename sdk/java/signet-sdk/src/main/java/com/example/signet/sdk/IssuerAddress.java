package com.example.signet.sdk;

import java.net.URI;
import java.net.URISyntaxException;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;

/** What identifies an issuer, and where its metadata may be (RFC 8414, OpenID Connect Discovery 1.0). */
record IssuerAddress(String identifier, boolean isHttps) {
    private static final Pattern SEGMENT = Pattern.compile("[A-Za-z0-9_~-][A-Za-z0-9._~-]*");

    /**
     * The issuer {@code text}: an http or https URL without query or fragment (RFC 8414 section 2), of whose path nobody can hold two
     * opinions.
     */
    static IssuerAddress parse(String text) {
        URI uri = webAddress("the issuer", text);
        String path = uri.getRawPath().replaceAll("/+$", "");
        List<String> segments = path.isEmpty() ? List.of() : List.of(path.substring(1).split("/", -1));
        boolean isPlain = segments.stream().allMatch(segment -> SEGMENT.matcher(segment).matches());
        if (!isPlain || uri.getRawPath().endsWith("//")) {
            throw new IllegalArgumentException("the issuer must have a path of letters, digits, `-`, `_`, `.` and `~`, if any");
        }
        return new IssuerAddress(text, isHttps(uri));
    }

    static URI webAddress(String what, String text) {
        try {
            URI uri = new URI(text);
            String scheme = uri.getScheme() == null ? "" : uri.getScheme().toLowerCase(Locale.ROOT);
            boolean isPlain = uri.getRawQuery() == null && uri.getRawFragment() == null && uri.getRawUserInfo() == null;
            if ((scheme.equals("https") || scheme.equals("http")) && uri.getHost() != null && isPlain && text.indexOf('#') < 0) {
                return uri;
            }
        } catch (URISyntaxException malformed) {
            // Told below.
        }
        throw new IllegalArgumentException(what + " must be an http or https URL without query or fragment (RFC 8414)");
    }

    static boolean isHttps(URI uri) {
        return "https".equalsIgnoreCase(uri.getScheme());
    }

    /**
     * Where the metadata may be, the likeliest first: RFC 8414 section 3.1 puts the issuer's path behind the well-known one, OpenID Connect
     * Discovery section 4 before it.
     */
    List<URI> metadata() {
        String trimmed = identifier.replaceAll("/+$", "");
        int host = trimmed.indexOf("://") + 3;
        int slash = trimmed.indexOf('/', host);
        int path = slash < 0 ? trimmed.length() : slash;
        return List.of(
                URI.create(trimmed.substring(0, path) + "/.well-known/oauth-authorization-server" + trimmed.substring(path)),
                URI.create(trimmed + "/.well-known/openid-configuration"));
    }

    /** Where the keys are, as the metadata in {@code document} say: those of this very issuer (RFC 8414 section 3.3). */
    URI jwksUri(byte[] document) throws KeySet.Unusable {
        Map<String, Object> metadata;
        try {
            metadata = Json.object(document);
        } catch (Json.NotJson notJson) {
            throw new KeySet.Unusable(notJson.getMessage());
        }
        if (!identifier.equals(metadata.get("issuer"))) {
            throw new KeySet.Unusable("is of another issuer than " + identifier);
        }
        if (!(metadata.get("jwks_uri") instanceof String address)) {
            throw new KeySet.Unusable("has no `jwks_uri`");
        }
        URI uri;
        try {
            uri = webAddress("its `jwks_uri`", address);
        } catch (IllegalArgumentException malformed) {
            throw new KeySet.Unusable("is not usable: " + malformed.getMessage());
        }
        if (isHttps && !isHttps(uri)) {
            throw new KeySet.Unusable("has a `jwks_uri` that is not https, though the issuer is");
        }
        return uri;
    }
}
