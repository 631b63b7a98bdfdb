/** Owns reading the conformance corpus, which all SDKs share. */
import { readFileSync } from "node:fs";
import path from "node:path";

import { fromJson, type JsonValue } from "@bufbuild/protobuf";

import { WatchResponseSchema, type WatchResponse } from "../../src/gen/identity/events/v1/event_service_pb.js";
import { Code, type Refusal } from "../../src/refusal.js";
import type { RevocationListener, RevocationSource } from "../../src/revocations/source.js";

const FOLDER = process.env["SIGNET_CONFORMANCE"] ?? path.resolve(import.meta.dirname, "../../../../conformance");

/** The bytes of a file of the corpus. */
export function corpusFile(name: string): Buffer {
  return readFileSync(path.join(FOLDER, name));
}

/** A JSON file of the corpus. */
export function corpusJson(name: string): unknown {
  return JSON.parse(corpusFile(name).toString("utf8"));
}

/** The JWK Set `name`, as the issuer answers it. */
export function corpusKeys(name: string): Uint8Array {
  const sets = corpusJson("keys.json") as Record<string, unknown>;
  if (!(name in sets)) throw new Error(`no JWK Set ${name}`);
  return Buffer.from(JSON.stringify(sets[name]));
}

/** A message of the stream of revocations. */
export function watchResponse(json: unknown): WatchResponse {
  return fromJson(WatchResponseSchema, json as JsonValue);
}

/** A source of revocations that tells what it is told to. */
export class ScriptedRevocations implements RevocationSource {
  #listener: RevocationListener | undefined;

  start(listener: RevocationListener): void {
    this.#listener = listener;
  }

  tell(message: WatchResponse): void {
    this.#listener?.hear(message);
  }

  state(state: "connecting" | "complete" | "down"): void {
    this.#listener?.state(state);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** The name of the gRPC code of `refusal`. */
export function codeName(refusal: Refusal): string {
  return Object.entries(Code).find(([, number]) => number === refusal.code)?.[0] ?? String(refusal.code);
}
