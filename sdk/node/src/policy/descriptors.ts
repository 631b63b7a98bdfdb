/** Owns reading a `google.protobuf.FileDescriptorSet`: the paths of its methods, and the bytes of each one's access option. */
import { NOT_UNDERSTOOD, UNDECLARED, readAccess, type Access } from "./access.js";
import { WireError, WireType, concat, readFields, readText, type WireField } from "./wire.js";

/** Why descriptors make no policy. */
export class PolicyError extends Error {
  override readonly name = "PolicyError";
}

/** The option's package and name: it is found by these, since its number may change. */
const OPTION_PACKAGE = "identity.v1";
const OPTION_NAME = "access";
const METHOD_OPTIONS = ".google.protobuf.MethodOptions";

/** Fields of google/protobuf/descriptor.proto. */
const SET_FILE = 1;
const FILE = { package: 2, service: 6, extension: 7 } as const;
const SERVICE = { name: 1, method: 2 } as const;
const METHOD = { name: 1, options: 4 } as const;
const FIELD = { name: 1, extendee: 2, number: 3 } as const;

/** The most methods that a set may have: a service has some, and a set that is not meant for this has thousands. */
const MAX_METHODS = 20_000;

/**
 * Who may call which method, as the encoded `FileDescriptorSet` says, by the method's path `/package.Service/Method`.
 *
 * @throws PolicyError if it is no such set, does not define the option `identity.v1.access`, or says two things of one method.
 */
export function readDescriptorSet(encoded: Uint8Array): Map<string, Access> {
  try {
    const files = all(readFields(encoded), SET_FILE).map(readFields);
    const option = files.map(accessNumber).find((number) => number !== undefined);
    if (option === undefined) {
      throw new PolicyError("the descriptor set does not define the method option `identity.v1.access`");
    }
    return methods(files, option);
  } catch (error) {
    if (error instanceof WireError) throw new PolicyError(`the descriptor set cannot be read: ${error.message}`);
    throw error;
  }
}

function methods(files: readonly WireField[][], option: number): Map<string, Access> {
  const found = new Map<string, Access>();
  for (const file of files) {
    const packageName = text(file, FILE.package);
    for (const service of all(file, FILE.service).map(readFields)) {
      const serviceName = text(service, SERVICE.name);
      for (const method of all(service, SERVICE.method).map(readFields)) {
        const path = `/${packageName === "" ? "" : `${packageName}.`}${serviceName}/${text(method, METHOD.name)}`;
        if (found.has(path)) throw new PolicyError(`the descriptor set has ${path} more than once`);
        if (found.size === MAX_METHODS) throw new PolicyError(`the descriptor set has more than ${MAX_METHODS} methods`);
        found.set(path, declared(method, option));
      }
    }
  }
  return found;
}

function declared(method: readonly WireField[], option: number): Access {
  const options = readFields(concat(all(method, METHOD.options)));
  const values = options.filter((field) => field.number === option);
  if (values.length === 0) return UNDECLARED;
  const parts = values.flatMap((field) => (field.type === WireType.BYTES ? [field.value] : []));
  return parts.length === values.length ? readAccess(concat(parts)) : NOT_UNDERSTOOD;
}

/** The number of the option, if `file` defines it. */
function accessNumber(file: readonly WireField[]): number | undefined {
  if (text(file, FILE.package) !== OPTION_PACKAGE) return undefined;
  for (const extension of all(file, FILE.extension).map(readFields)) {
    if (text(extension, FIELD.name) !== OPTION_NAME || text(extension, FIELD.extendee) !== METHOD_OPTIONS) continue;
    const number = extension.findLast((field) => field.number === FIELD.number);
    if (number?.type === WireType.VARINT) return Number(number.value);
  }
  return undefined;
}

/** The values of the field `number` that are texts or messages. */
function all(fields: readonly WireField[], number: number): Uint8Array[] {
  return fields
    .filter((field) => field.number === number)
    .map((field) => {
      if (field.type !== WireType.BYTES) throw new WireError(`field ${number} has another type`);
      return field.value;
    });
}

/** The text of the field `number`, or an empty one. */
function text(fields: readonly WireField[], number: number): string {
  const value = all(fields, number).at(-1);
  return value === undefined ? "" : readText(value);
}
