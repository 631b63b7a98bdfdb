// Makes src/gen and example/gen anew from the protos of the repository, by buf and protoc-gen-es: no protoc is needed.
//
// Usage: npm run generate [-- --check] [-- STOCK_PROTO]
// --check  writes nothing, and fails if what is there differs from what the protos give
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const FOLDERS = ["src/gen", "example/gen"];
const sdk = path.resolve(import.meta.dirname, "..");
const repository = path.resolve(sdk, "../..");
const isCheck = process.argv.includes("--check");
const [stock = path.join(repository, "examples/protected-service/proto/stock/v1/stock_service.proto")] = process.argv
  .slice(2)
  .filter((argument) => argument !== "--check");

function buf(...args) {
  const { status, error } = spawnSync(path.join(sdk, "node_modules/.bin/buf"), ["generate", ...args], { cwd: sdk, stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) throw new Error("buf has failed: it says why above");
}

/** Writes both folders below `out`; `folder` is an empty one for the protos of the service. */
function generate(out, folder) {
  buf("--output", out);
  // One folder for the service's proto and what it imports, as a service has them that copies access.proto.
  for (const [from, to] of [
    [stock, "stock/v1/stock_service.proto"],
    [path.join(repository, "proto/identity/v1/access.proto"), "identity/v1/access.proto"],
    [path.join(repository, "third_party/proto/grpc/health/v1/health.proto"), "grpc/health/v1/health.proto"],
  ]) {
    mkdirSync(path.join(folder, path.dirname(to)), { recursive: true });
    cpSync(from, path.join(folder, to));
  }
  const paths = ["stock", "grpc"].flatMap((name) => ["--path", path.join(folder, name)]);
  buf(folder, "--template", "example/buf.gen.yaml", "--output", out, ...paths);
}

/** The files below `root` by their paths, and what is in each. */
function files(root) {
  const below = FOLDERS.flatMap((folder) => {
    return readdirSync(path.join(root, folder), { recursive: true }).map((name) => path.join(folder, name));
  });
  return new Map(below.filter((name) => name.endsWith(".ts")).map((name) => [name, readFileSync(path.join(root, name), "utf8")]));
}

const temporary = mkdtempSync(path.join(tmpdir(), "signet-sdk-"));
try {
  const out = isCheck ? path.join(temporary, "out") : sdk;
  generate(out, path.join(temporary, "protos"));
  if (isCheck) {
    const [made, committed] = [files(out), files(sdk)];
    const differing = [...new Set([...made.keys(), ...committed.keys()])].filter((name) => made.get(name) !== committed.get(name));
    if (differing.length > 0) {
      console.error(`not what the protos of the repository give: ${differing.sort().join(", ")}\nnpm run generate makes them anew`);
      process.exitCode = 1;
    }
  }
} finally {
  rmSync(temporary, { recursive: true });
}
