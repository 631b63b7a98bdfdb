/** Owns refusing to send what is secret in plaintext to another machine. */
import { Metadata, credentials, type ChannelCredentials } from "@grpc/grpc-js";

import { ConfigurationError } from "../keys/http.js";
import { isLoopback } from "./target.js";

/** Whether channels with these credentials are encrypted: grpc-js composes call credentials with those alone, and throws otherwise. */
export function isSecure(channel: ChannelCredentials): boolean {
  const nothing = credentials.createFromMetadataGenerator((_, done) => {
    done(null, new Metadata());
  });
  try {
    credentials.combineChannelCredentials(channel, nothing);
    return true;
  } catch {
    return false;
  }
}

/** @throws ConfigurationError if the channel to `target` is plaintext, leaves this machine, and no reason is given for that. */
export function requireProtected(channel: { target: string; secure: boolean; allowPlaintext?: string | undefined }): void {
  const { target, secure, allowPlaintext } = channel;
  if (allowPlaintext?.trim() === "") throw new ConfigurationError("allowPlaintext needs a reason");
  if (secure || isLoopback(target) || allowPlaintext !== undefined) return;
  throw new ConfigurationError(`secrets do not go to ${target} in plaintext: use TLS, or say in allowPlaintext what encrypts instead`);
}
