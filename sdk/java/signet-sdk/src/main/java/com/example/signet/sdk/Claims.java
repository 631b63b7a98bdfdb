package com.example.signet.sdk;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.regex.Pattern;

/**
 * What an access token says (RFC 9068 section 2.2). Times are seconds since 1970. {@code sid}, {@code nbf}, {@code roles} and so on are
 * null where the token lacks the claim; {@code json} is the whole payload.
 */
record Claims(
        String iss, UUID sub, List<String> aud, long exp, long iat, Long nbf, UUID jti, String clientId, List<String> scopes, UUID sid,
        List<String> amr, Long authTime, String acr, List<String> roles, List<String> groups, boolean rolesOmitted,
        Map<String, Object> attributes, Map<String, Object> json) {

    private static final Pattern UUID_TEXT =
            Pattern.compile("[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}");

    /** What the payload of a token says whose signature has been verified. */
    static Claims read(byte[] payload) throws InvalidToken {
        Map<String, Object> json;
        try {
            json = Json.object(payload);
        } catch (Json.NotJson notJson) {
            throw new InvalidToken(Sentences.LACKS_CLAIMS);
        }
        Reader from = new Reader(json);
        from.optional("groups_omitted", Boolean.class);
        from.optional("attributes_omitted", Boolean.class);
        Boolean rolesOmitted = from.optional("roles_omitted", Boolean.class);
        return new Claims(
                from.required("iss", String.class), uuid(from.required("sub", String.class)), from.audience(),
                from.required("exp", Long.class), from.required("iat", Long.class), from.optional("nbf", Long.class),
                uuid(from.required("jti", String.class)), from.required("client_id", String.class),
                words(from.required("scope", String.class)), from.optionalUuid("sid"), from.names("amr"),
                from.optional("auth_time", Long.class), from.optional("acr", String.class), from.names("roles"), from.names("groups"),
                Boolean.TRUE.equals(rolesOmitted), from.members("attributes"), json);
    }

    /** Whether it is of a session, or a client's own that this client has asked for. */
    boolean isConsistent() {
        return sid != null || clientId.equalsIgnoreCase(sub.toString());
    }

    CallerKind kind() {
        return sid != null ? CallerKind.USER : CallerKind.CLIENT;
    }

    private static UUID uuid(String text) throws InvalidToken {
        if (!UUID_TEXT.matcher(text).matches()) {
            throw new InvalidToken(Sentences.LACKS_CLAIMS);
        }
        return UUID.fromString(text);
    }

    /** Names with spaces between (RFC 6749 section 3.3). */
    private static List<String> words(String text) {
        List<String> words = new ArrayList<>();
        for (String word : text.split(" ", -1)) {
            if (!word.isEmpty()) {
                words.add(word);
            }
        }
        return List.copyOf(words);
    }

    private record Reader(Map<String, Object> json) {
        <T> T required(String name, Class<T> type) throws InvalidToken {
            T value = optional(name, type);
            if (value == null) {
                throw new InvalidToken(Sentences.LACKS_CLAIMS);
            }
            return value;
        }

        <T> T optional(String name, Class<T> type) throws InvalidToken {
            Object value = json.get(name);
            if (value == null) {
                return null;
            }
            if (!type.isInstance(value)) {
                throw new InvalidToken(Sentences.LACKS_CLAIMS);
            }
            return type.cast(value);
        }

        UUID optionalUuid(String name) throws InvalidToken {
            String text = optional(name, String.class);
            return text == null ? null : uuid(text);
        }

        List<String> audience() throws InvalidToken {
            if (json.get("aud") instanceof String one) {
                return List.of(one);
            }
            List<String> names = names("aud");
            if (names == null) {
                throw new InvalidToken(Sentences.LACKS_CLAIMS);
            }
            return names;
        }

        List<String> names(String name) throws InvalidToken {
            List<?> listed = optional(name, List.class);
            if (listed == null) {
                return null;
            }
            List<String> names = new ArrayList<>();
            for (Object one : listed) {
                if (!(one instanceof String text)) {
                    throw new InvalidToken(Sentences.LACKS_CLAIMS);
                }
                names.add(text);
            }
            return List.copyOf(names);
        }

        @SuppressWarnings("unchecked")
        Map<String, Object> members(String name) throws InvalidToken {
            return (Map<String, Object>) optional(name, Map.class);
        }
    }
}
