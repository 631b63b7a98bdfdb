/** Owns refusals as grpc-js has statuses. */
import { Metadata, type ServiceError, type StatusObject } from "@grpc/grpc-js";

import { DETAILS_TRAILER, Refusal } from "../refusal.js";

/** The status that tells of `refusal`. */
export function toStatus(refusal: Refusal): StatusObject {
  const metadata = new Metadata();
  metadata.set(DETAILS_TRAILER, Buffer.from(refusal.toDetails()));
  return { code: refusal.code, details: refusal.message, metadata };
}

/** The same for a call of this process that is never sent: grpc-js copies what a status has into its error, where `refusalOf` finds it. */
export function toLocalStatus(refusal: Refusal): StatusObject {
  return Object.assign(toStatus(refusal), { cause: refusal });
}

/**
 * The refusal that an error of grpc-js tells of: its code, and Signet's reason and metadata if it has them. Where it is this process that
 * got no token, its `cause` says why.
 *
 * Undefined if `error` is no error of a call.
 */
export function refusalOf(error: unknown): Refusal | undefined {
  if (error instanceof Refusal) return error;
  if (!(error instanceof Error)) return undefined;
  if (error.cause instanceof Refusal) return error.cause;
  const { code, details, metadata } = error as Partial<ServiceError>;
  if (typeof code !== "number" || typeof details !== "string") return undefined;
  return Refusal.fromStatus(code, details, detailsOf(metadata), error);
}

/** The bytes of the `google.rpc.Status` among trailers. */
export function detailsOf(metadata: Metadata | undefined): Uint8Array | undefined {
  const [value] = metadata?.get(DETAILS_TRAILER) ?? [];
  return value instanceof Uint8Array ? value : undefined;
}
