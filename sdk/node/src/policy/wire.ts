/** Owns reading the wire format of protocol buffers, strictly: what does not parse to the last byte is refused. */

/** The bytes are not a message. */
export class WireError extends Error {
  override readonly name = "WireError";
}

/** The types of the wire (https://protobuf.dev/programming-guides/encoding). Groups are not among them: they are refused. */
export const WireType = { VARINT: 0, FIXED64: 1, BYTES: 2, FIXED32: 5 } as const;

/** A field as it stands on the wire: its `value` is a number for VARINT, and its bytes otherwise. */
export type WireField =
  | { readonly number: number; readonly type: 0; readonly value: bigint }
  | { readonly number: number; readonly type: 1 | 2 | 5; readonly value: Uint8Array };

const FIELD_NUMBER_MAX = 2 ** 29 - 1;
const VARINT_MAX_BYTES = 10;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The fields of the message that `bytes` are, in their order.
 *
 * @throws WireError if they are not a message.
 */
export function readFields(bytes: Uint8Array): WireField[] {
  const fields: WireField[] = [];
  let at = 0;
  const take = (length: number): Uint8Array => {
    if (length > bytes.length - at) throw new WireError("a field is cut short");
    at += length;
    return bytes.subarray(at - length, at);
  };
  const varint = (): bigint => {
    let value = 0n;
    for (let nth = 0; nth < VARINT_MAX_BYTES; nth++) {
      const byte = take(1)[0] ?? 0;
      value |= BigInt(byte & 0x7f) << BigInt(7 * nth);
      if (byte < 0x80) {
        if (value >= 1n << 64n) break;
        return value;
      }
    }
    throw new WireError("a number is too long");
  };
  while (at < bytes.length) {
    const key = varint();
    const number = Number(key >> 3n);
    if (number < 1 || number > FIELD_NUMBER_MAX) throw new WireError("a field has no valid number");
    switch (Number(key & 7n)) {
      case WireType.VARINT:
        fields.push({ number, type: 0, value: varint() });
        break;
      case WireType.FIXED64:
        fields.push({ number, type: 1, value: take(8) });
        break;
      case WireType.BYTES: {
        const length = varint();
        fields.push({ number, type: 2, value: take(length > BigInt(bytes.length) ? bytes.length + 1 : Number(length)) });
        break;
      }
      case WireType.FIXED32:
        fields.push({ number, type: 5, value: take(4) });
        break;
      default:
        throw new WireError("a field has a type that is not known");
    }
  }
  return fields;
}

/**
 * The text that `bytes` are.
 *
 * @throws WireError if they are not UTF-8.
 */
export function readText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new WireError("a text is not UTF-8");
  }
}

/** `parts`, one behind the other: what comes more than once of a message is merged so. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
}
