package com.example.signet.sdk.servlet;

import com.example.signet.sdk.Reason;
import com.example.signet.sdk.Refusal;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** Writes a refusal as HTTP has it (RFC 6750 section 3). */
final class HttpRefusal {
    private HttpRefusal() {}

    static void write(Refusal refusal, HttpServletResponse response) throws IOException {
        Reason reason = refusal.reason();
        int status = switch (reason.code()) {
            case UNAUTHENTICATED -> HttpServletResponse.SC_UNAUTHORIZED;
            case PERMISSION_DENIED -> HttpServletResponse.SC_FORBIDDEN;
            default -> HttpServletResponse.SC_SERVICE_UNAVAILABLE;
        };
        String error = error(reason);
        if (status == HttpServletResponse.SC_SERVICE_UNAVAILABLE) {
            response.setHeader("Retry-After", "1");
        } else {
            response.setHeader("WWW-Authenticate", challenge(refusal, error));
        }
        String body = "{\"error\":\"" + error + "\",\"reason\":\"" + reason + "\",\"error_description\":\""
                + escaped(refusal.description()) + "\"}";
        response.setStatus(status);
        response.setContentType("application/json");
        response.setHeader("Cache-Control", "no-store");
        response.getOutputStream().write(body.getBytes(StandardCharsets.UTF_8));
    }

    private static String challenge(Refusal refusal, String error) {
        if (refusal.reason() == Reason.TOKEN_MISSING) {
            // "the resource server SHOULD NOT include an error code" (RFC 6750 section 3.1)
            return "Bearer realm=\"" + quotable(refusal.metadata().get("audience")) + "\"";
        }
        String scope = refusal.metadata().get("required_scope");
        String challenge = "Bearer error=\"" + error + "\", error_description=\"" + quotable(refusal.description()) + "\"";
        return scope == null ? challenge : challenge + ", scope=\"" + quotable(scope) + "\"";
    }

    private static String error(Reason reason) {
        return switch (reason) {
            case TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_REVOKED -> "invalid_token";
            case INSUFFICIENT_SCOPE -> "insufficient_scope";
            case UNAVAILABLE -> "temporarily_unavailable";
            default -> "access_denied";
        };
    }

    /** {@code text} as a string of JSON has it (RFC 8259 section 7): names of roles may hold anything. */
    private static String escaped(String text) {
        StringBuilder escaped = new StringBuilder();
        for (char c : text.toCharArray()) {
            boolean isPlain = c >= ' ' && c != '"' && c != '\\';
            escaped.append(isPlain ? String.valueOf(c) : String.format("\\u%04x", (int) c));
        }
        return escaped.toString();
    }

    /** {@code text} without what would end a quoted string. */
    private static String quotable(String text) {
        return text == null ? "" : text.replaceAll("[^\\x20-\\x21\\x23-\\x5b\\x5d-\\x7e]", "");
    }
}
