/** Owns where a token may go: to the target that its source was made for, over TLS, or in plaintext to this machine. */
import { isIP } from "node:net";

/** A call that asks for a token. */
export interface AttachQuestion {
  /** The target that the token source was made for. */
  readonly target: string;
  /** The host and port that the call is for (`:authority`). */
  readonly authority: string;
  /** Whether the channel is encrypted. */
  readonly secure: boolean;
  /** Whether it leads to this machine. Unset: that is not known before the call is sent, as with grpc-js. */
  readonly peerIsLoopback?: boolean | undefined;
  /** Whether the code allows plaintext, with a reason. */
  readonly allowPlaintext: boolean;
}

/**
 * Whether the token may go there. In plaintext the target must be this machine by its own name: one that merely leads here leads elsewhere
 * as soon as somebody says so (DNS rebinding), or leads to a proxy.
 */
export function mayAttach(question: AttachQuestion): boolean {
  if (question.authority.toLowerCase() !== authorityOf(question.target).toLowerCase()) return false;
  if (question.secure || question.allowPlaintext) return true;
  return isLoopback(question.target) && question.peerIsLoopback !== false;
}

/** The schemes of targets that grpc-js knows, other than those of sockets. */
const SCHEME = /^(?:dns|ipv4|ipv6|xds):(?:\/\/[^/]*\/)?/i;
/** Those that say which resolver is asked, and so where any name leads; with `dns` an address is one all the same. */
const RESOLVED = /^(?:xds:|dns:\/\/[^/]+\/(?![\d.]+(?::\d*)?$))/i;
const SOCKET = /^unix(?:-abstract)?:/i;

/** The authority of calls to `target`, as grpc-js makes it if nothing else is said. */
export function authorityOf(target: string): string {
  if (SOCKET.test(target)) return "localhost";
  return (target.replace(SCHEME, "").split(",")[0] ?? "").replace(/^\/+/, "");
}

/** Whether `target` is this machine: a loopback address, `localhost` (RFC 6761 section 6.3), or a socket of a file. */
export function isLoopback(target: string): boolean {
  if (SOCKET.test(target)) return true;
  if (RESOLVED.test(target)) return false;
  const hosts = target.replace(SCHEME, "").split(",").map(hostOf);
  return hosts.every((host) => {
    if (isIP(host) === 4) return host.startsWith("127.");
    if (isIP(host) === 6) return /^(?:0{0,4}:){1,7}0{0,3}1$/.test(host);
    return host.toLowerCase() === "localhost";
  });
}

/** The host of `host:port`, without the brackets of an IPv6 address. */
export function hostOf(authority: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(authority)?.[1];
  if (bracketed !== undefined) return bracketed;
  return isIP(authority) === 6 ? authority : authority.replace(/:\d*$/, "");
}
