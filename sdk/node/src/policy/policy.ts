/** Owns who may call which method: the rules that the methods' own protos declare. */
import { readFileSync } from "node:fs";

import { create, toBinary, type DescFile, type DescService } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

import { PUBLIC, UNDECLARED, type Access } from "./access.js";
import { readDescriptorSet } from "./descriptors.js";

/**
 * Who may call which method, by its path `/package.Service/Method`. Whatever it does not know, nobody may call.
 *
 * @example
 * ```ts
 * const policy = Policy.of(StockService).withPublic("grpc.health.v1.Health");
 * ```
 */
export class Policy {
  readonly #methods: ReadonlyMap<string, Access>;
  readonly #publicServices: ReadonlySet<string>;

  private constructor(methods: ReadonlyMap<string, Access>, publicServices: ReadonlySet<string>) {
    this.#methods = methods;
    this.#publicServices = publicServices;
  }

  /**
   * What the generated descriptors of protobuf-es declare: of services (`StockService`) or of whole files (`file_stock_v1_stock`).
   *
   * @throws PolicyError if none of their files imports `identity/v1/access.proto`.
   */
  static of(...described: readonly (DescService | DescFile)[]): Policy {
    const files = new Map<string, DescFile>();
    const add = (file: DescFile): void => {
      if (files.has(file.proto.name)) return;
      files.set(file.proto.name, file);
      file.dependencies.forEach(add);
    };
    for (const one of described) add(one.kind === "file" ? one : one.file);
    const set = create(FileDescriptorSetSchema, { file: [...files.values()].map((file) => file.proto) });
    const methods = readDescriptorSet(toBinary(FileDescriptorSetSchema, set));
    // What is imported may have services, too: those alone count that were named.
    const wanted = new Set(described.flatMap((one) => (one.kind === "file" ? one.services : [one]).map((service) => service.typeName)));
    return new Policy(new Map([...methods].filter(([path]) => wanted.has(serviceOf(path)))), new Set());
  }

  /**
   * What the encoded `google.protobuf.FileDescriptorSet` declares, as `buf build -o FILE.binpb` or
   * `protoc --include_imports --descriptor_set_out=FILE.binpb` writes it: for services of proto-loader or grpc-tools.
   *
   * @throws PolicyError if it is no such set, or does not define the option `identity.v1.access`.
   */
  static fromDescriptorSet(encoded: Uint8Array): Policy {
    return new Policy(readDescriptorSet(encoded), new Set());
  }

  /**
   * The same, of a file.
   *
   * @throws PolicyError as {@link Policy.fromDescriptorSet}; and what `node:fs` throws if the file cannot be read.
   */
  static fromDescriptorSetFile(path: string | URL): Policy {
    return Policy.fromDescriptorSet(readFileSync(path));
  }

  /**
   * The same policy, in which everybody may call the `services`, named as `grpc.health.v1.Health`: those that cannot be annotated.
   */
  withPublic(...services: readonly string[]): Policy {
    return new Policy(this.#methods, new Set([...this.#publicServices, ...services]));
  }

  /** Who may call the method at `path`, which begins with a slash. */
  access(path: string): Access {
    const access = this.#methods.get(path);
    if (this.#publicServices.size > 0 && this.#publicServices.has(serviceOf(path))) return PUBLIC;
    return access ?? UNDECLARED;
  }

  /** Every method that is known, and who may call it. */
  *methods(): IterableIterator<[path: string, access: Access]> {
    for (const path of this.#methods.keys()) yield [path, this.access(path)];
  }
}

/** The service of `/package.Service/Method`; empty if that is no path. */
function serviceOf(path: string): string {
  const slash = path.indexOf("/", 1);
  return path.startsWith("/") && slash === path.lastIndexOf("/") ? path.slice(1, slash) : "";
}
