// Makes src/gen and example/gen anew from the protos of the repository, by buf and protoc-gen-es: no protoc is needed.
//
// Usage: npm run generate [-- STOCK_PROTO]
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const sdk = path.resolve(import.meta.dirname, "..");
const repository = path.resolve(sdk, "../..");
const stock = process.argv[2] ?? path.join(repository, "examples/protected-service/proto/stock/v1/stock_service.proto");

function generate(...args) {
  const { status, error } = spawnSync(path.join(sdk, "node_modules/.bin/buf"), ["generate", ...args], { cwd: sdk, stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

generate();
// One folder for the service's proto and what it imports, as a service has them that copies access.proto.
const folder = mkdtempSync(path.join(tmpdir(), "signet-sdk-"));
try {
  for (const [from, to] of [
    [stock, "stock/v1/stock_service.proto"],
    [path.join(repository, "proto/identity/v1/access.proto"), "identity/v1/access.proto"],
    [path.join(repository, "third_party/proto/grpc/health/v1/health.proto"), "grpc/health/v1/health.proto"],
  ]) {
    mkdirSync(path.join(folder, path.dirname(to)), { recursive: true });
    cpSync(from, path.join(folder, to));
  }
  generate(folder, "--template", "example/buf.gen.yaml", "--path", path.join(folder, "stock"), "--path", path.join(folder, "grpc"));
} finally {
  rmSync(folder, { recursive: true });
}
