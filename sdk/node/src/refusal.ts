/** Owns how a call is refused: the gRPC code, Signet's reason and its details (`google.rpc.Status`), as Signet itself refuses. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AnySchema, anyPack, anyUnpack } from "@bufbuild/protobuf/wkt";

import { ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";

/** The domain of Signet's reasons in `google.rpc.ErrorInfo`. */
export const DOMAIN = "identity.v1";

/** The trailer that holds an encoded `google.rpc.Status`. */
export const DETAILS_TRAILER = "grpc-status-details-bin";

/** The largest `google.rpc.Status` that is read of an answer, in bytes. */
const DETAILS_MAX_BYTES = 64 * 1024;

/** gRPC codes by name, as far as the SDK refuses with them. */
export const Code = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

/** A reason of Signet's (`identity.v1.ErrorReason`, without its prefix). The list is open: later releases have more. */
export type Reason =
  | "TOKEN_MISSING"
  | "TOKEN_INVALID"
  | "TOKEN_EXPIRED"
  | "TOKEN_REVOKED"
  | "INSUFFICIENT_SCOPE"
  | "INSUFFICIENT_ROLE"
  | "ROLES_NOT_IN_TOKEN"
  | "CALLER_NOT_ALLOWED"
  | "ACCESS_UNDECLARED"
  | "UNAVAILABLE"
  | (string & {});

/** Why a call was refused. Its message and metadata hold no token and no secret. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  /** The number of the gRPC code. */
  readonly code: number;
  /** Why: one of Signet's reasons, such as `TOKEN_EXPIRED`. Empty if it was not Signet or an SDK of it that refused. */
  readonly reason: Reason;
  /** What the reason is about, such as `required_scope`. A server half always tells `audience` and `method`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** After how many seconds to call again, where that is told. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: number,
    reason: Reason,
    message: string,
    metadata: Readonly<Record<string, string>> = {},
    options: { retryAfterSeconds?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.reason = reason;
    this.metadata = metadata;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  /** The same refusal with `more` beside its metadata. */
  with(more: Readonly<Record<string, string>>): Refusal {
    const { retryAfterSeconds, cause } = this;
    return new Refusal(this.code, this.reason, this.message, { ...this.metadata, ...more }, { retryAfterSeconds, cause });
  }

  /** The bytes of the `google.rpc.Status` that tells of it, as the trailer `grpc-status-details-bin` has them. */
  toDetails(): Uint8Array {
    const info = create(ErrorInfoSchema, { reason: this.reason, domain: DOMAIN, metadata: { ...this.metadata } });
    const details = [anyPack(ErrorInfoSchema, info)];
    if (this.retryAfterSeconds !== undefined) {
      const seconds = Math.floor(this.retryAfterSeconds);
      const nanos = Math.round((this.retryAfterSeconds - seconds) * 1e9);
      details.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: { seconds: BigInt(seconds), nanos } })));
    }
    return toBinary(StatusSchema, create(StatusSchema, { code: this.code, message: this.message, details }));
  }

  /**
   * The refusal that a gRPC status with `details` tells of, the bytes of its `google.rpc.Status`.
   *
   * Details that cannot be read, or are not of Signet's domain, give a refusal without a reason.
   */
  static fromStatus(code: number, message: string, details: Uint8Array | undefined, cause?: unknown): Refusal {
    const { reason, metadata, retryAfterSeconds } = readDetails(details);
    return new Refusal(code, reason, message, metadata, { retryAfterSeconds, cause });
  }
}

/** A refusal because what is needed to judge is not known at this moment: call again in a second. */
export function unavailable(message: string, cause?: unknown): Refusal {
  return new Refusal(Code.UNAVAILABLE, "UNAVAILABLE", message, {}, { retryAfterSeconds: 1, cause });
}

/** The same, because `what` cannot be reached; why is for the service alone, as the cause. */
export function unreachable(what: string, cause?: unknown): Refusal {
  return unavailable(`the service cannot reach its ${what} at the moment`, cause);
}

/** What the details of a status say. */
interface Told {
  reason: string;
  metadata: Record<string, string>;
  retryAfterSeconds: number | undefined;
}

function readDetails(details: Uint8Array | undefined): Told {
  const told: Told = { reason: "", metadata: {}, retryAfterSeconds: undefined };
  if (details === undefined || details.length > DETAILS_MAX_BYTES) return told;
  try {
    for (const detail of fromBinary(StatusSchema, details).details) {
      const any = create(AnySchema, detail);
      const info = anyUnpack(any, ErrorInfoSchema);
      if (info?.domain === DOMAIN) {
        told.reason = info.reason;
        told.metadata = { ...info.metadata };
      }
      const delay = anyUnpack(any, RetryInfoSchema)?.retryDelay;
      if (delay) told.retryAfterSeconds = Number(delay.seconds) + delay.nanos / 1e9;
    }
  } catch {
    // Details of something else, or cut short: the code alone counts.
    return { reason: "", metadata: {}, retryAfterSeconds: undefined };
  }
  return told;
}
