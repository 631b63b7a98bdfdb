package com.example.signet.sdk;

import com.google.gson.JsonParseException;
import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.IOException;
import java.io.StringReader;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads JSON strictly (RFC 8259): nothing that two readers could take for two things, such as a member that comes twice.
 *
 * <p>Objects become maps, and arrays lists, that nobody can change; a number is a {@link Long} if it is written as an integer that is one,
 * else a {@link Double}.
 */
final class Json {
    /** How deep values are nested at most. */
    private static final int MAX_DEPTH = 64;

    /** What {@code null} in JSON becomes, so that it is not mistaken for an absent member. */
    static final Object NULL = new Object();

    private Json() {}

    /** The text is not JSON. */
    static final class NotJson extends Exception {
        private static final long serialVersionUID = 1;

        NotJson(String message) {
            super(message, null, false, false);
        }
    }

    /** The object that {@code utf8} is, with its members in their order. */
    @SuppressWarnings("unchecked")
    static Map<String, Object> object(byte[] utf8) throws NotJson {
        if (parse(utf8) instanceof Map<?, ?> map) {
            return (Map<String, Object>) map;
        }
        throw new NotJson("is not a JSON object");
    }

    private static Object parse(byte[] utf8) throws NotJson {
        try {
            String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(utf8)).toString();
            if (text.startsWith("\uFEFF")) {
                throw new NotJson("begins with a byte order mark");
            }
            JsonReader reader = new JsonReader(new StringReader(text));
            reader.setStrictness(Strictness.STRICT);
            Object value = value(reader, 0);
            if (reader.peek() != JsonToken.END_DOCUMENT) {
                throw new NotJson("has something behind its end");
            }
            return value;
        } catch (CharacterCodingException notUtf8) {
            throw new NotJson("is not UTF-8");
        } catch (IOException | IllegalStateException | JsonParseException | NumberFormatException malformed) {
            // Their messages may quote what is read, and that may be a secret.
            throw new NotJson("is not JSON");
        }
    }

    private static Object value(JsonReader reader, int depth) throws IOException, NotJson {
        if (depth > MAX_DEPTH) {
            throw new NotJson("is nested too deep");
        }
        return switch (reader.peek()) {
            case BEGIN_OBJECT -> members(reader, depth);
            case BEGIN_ARRAY -> items(reader, depth);
            case STRING -> text(reader.nextString());
            case NUMBER -> number(reader.nextString());
            case BOOLEAN -> reader.nextBoolean();
            case NULL -> {
                reader.nextNull();
                yield NULL;
            }
            default -> throw new NotJson("is not JSON");
        };
    }

    private static Map<String, Object> members(JsonReader reader, int depth) throws IOException, NotJson {
        Map<String, Object> members = new LinkedHashMap<>();
        reader.beginObject();
        while (reader.hasNext()) {
            String name = text(reader.nextName());
            if (members.put(name, value(reader, depth + 1)) != null) {
                throw new NotJson("has a member twice");
            }
        }
        reader.endObject();
        return Collections.unmodifiableMap(members);
    }

    private static List<Object> items(JsonReader reader, int depth) throws IOException, NotJson {
        List<Object> items = new ArrayList<>();
        reader.beginArray();
        while (reader.hasNext()) {
            items.add(value(reader, depth + 1));
        }
        reader.endArray();
        return Collections.unmodifiableList(items);
    }

    /** {@code text}, if it is one in Unicode: half of a surrogate pair is not. */
    private static String text(String text) throws NotJson {
        if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
            throw new NotJson("has a string that is not Unicode");
        }
        return text;
    }

    private static Object number(String written) {
        boolean isInteger = written.chars().allMatch(c -> c == '-' || (c >= '0' && c <= '9'));
        if (isInteger) {
            try {
                return Long.valueOf(written);
            } catch (NumberFormatException tooLarge) {
                return Double.valueOf(written);
            }
        }
        return Double.valueOf(written);
    }
}
