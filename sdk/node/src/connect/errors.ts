/** Owns refusals as Connect has errors: the codes are those of gRPC. */
import { create } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";

import { ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { DOMAIN, Refusal } from "../refusal.js";

/** The error that tells of `refusal`, with its details. */
export function toConnectError(refusal: Refusal): ConnectError {
  const { code, reason, metadata, message, retryAfterSeconds } = refusal;
  const info = create(ErrorInfoSchema, { reason, domain: DOMAIN, metadata: { ...metadata } });
  const details = [{ desc: ErrorInfoSchema, value: info }];
  if (retryAfterSeconds === undefined) return new ConnectError(message, code, undefined, details, refusal);
  const retry = create(RetryInfoSchema, { retryDelay: { seconds: BigInt(Math.ceil(retryAfterSeconds)) } });
  return new ConnectError(message, code, undefined, [...details, { desc: RetryInfoSchema, value: retry }], refusal);
}

/**
 * The refusal that an error of Connect tells of: its code, and Signet's reason and metadata if it has them.
 *
 * Undefined if `error` is no error of a call.
 */
export function refusalOf(error: unknown): Refusal | undefined {
  if (error instanceof Refusal) return error;
  if (!(error instanceof ConnectError)) return undefined;
  const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === DOMAIN);
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const retryAfterSeconds = delay && Number(delay.seconds) + delay.nanos / 1e9;
  return new Refusal(error.code, info?.reason ?? "", error.rawMessage, info?.metadata ?? {}, { retryAfterSeconds, cause: error });
}
