/** Owns a Signet of a test's own: the real program, on an embedded database, at addresses of this machine. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface, type Interface } from "node:readline";

/** A client that is registered. */
export interface Registered {
  readonly id: string;
  readonly secret: string;
}

const binary = process.env["SIGNET_TEST_SIGNET"];
if (binary === undefined) throw new Error("SIGNET_TEST_SIGNET must be the path of the program `signet`");
const program: string = binary;

/** A port that nobody has at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Resolves with what `look` finds, once it finds something; rejects after `ms` milliseconds. */
export async function eventually<T>(look: () => T | undefined | Promise<T | undefined>, ms = 15_000): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error("it did not come about in time");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A Signet. */
export class Signet {
  readonly #folder = mkdtempSync(path.join(tmpdir(), "signet-sdk-"));
  readonly #settings: string[];
  #process: ChildProcess | undefined;

  private constructor(
    readonly grpc: string,
    readonly issuer: string,
    settings: string[],
  ) {
    this.#settings = settings;
  }

  /** One that runs, with these settings beside those that it needs. */
  static async start(...settings: string[]): Promise<Signet> {
    const signet = new Signet(`127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`, settings);
    await signet.up();
    return signet;
  }

  /** Starts it, and waits until it answers. */
  async up(): Promise<void> {
    const addresses = ["--grpc-addr", this.grpc, "--http-addr", this.issuer.replace("http://", ""), "--operations-addr", "off", "--admin-addr", "off"];
    this.#process = spawn(program, ["serve", "--data-dir", this.#folder, ...addresses, ...this.#settings], { stdio: "ignore" });
    await eventually(() =>
      fetch(`${this.issuer}/.well-known/jwks.json`).then(
        (answer) => answer.ok || undefined,
        () => undefined,
      ),
    );
  }

  /** Ends it; what it knows stays. */
  async down(): Promise<void> {
    const running = this.#process;
    if (running === undefined || running.exitCode !== null) return;
    const ended = once(running, "exit");
    running.kill("SIGTERM");
    await ended;
  }

  /** Ends it, with all that it knows. */
  async close(): Promise<void> {
    await this.down();
    rmSync(this.#folder, { recursive: true });
  }

  /** Runs a command of an operator on its database; what that printed. */
  command(...args: string[]): string {
    const { status, stdout, stderr } = spawnSync(program, [...args, "--data-dir", this.#folder, "-q"], { encoding: "utf8" });
    if (status !== 0) throw new Error(`signet ${args.join(" ")}: ${stderr}`);
    return stdout;
  }

  /** Registers a client. */
  register(name: string, ...args: string[]): Registered {
    return JSON.parse(this.command("clients", "create", name, "--json", ...args)) as Registered;
  }
}

/** A program of the example, whose lines are read. */
export class Example {
  readonly #process: ChildProcess;
  readonly lines: string[] = [];
  readonly #reader: Interface;

  constructor(file: string, env: Record<string, string>, ...args: string[]) {
    const program_ = path.resolve(import.meta.dirname, "../../../example/build", file);
    this.#process = spawn(process.execPath, [program_, ...args], { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] });
    const { stdout } = this.#process;
    if (stdout === null) throw new Error("it has no output");
    this.#reader = createInterface(stdout);
    this.#reader.on("line", (line) => this.lines.push(line));
  }

  /** The first line that has all of `parts` from the line `from` on, once it is there. */
  line(parts: string[], from = 0): Promise<string> {
    return eventually(() => this.lines.slice(from).find((line) => parts.every((part) => line.includes(part))));
  }

  /** Resolves when it has ended, with its exit code. */
  async ended(): Promise<number | null> {
    if (this.#process.exitCode === null) await once(this.#process, "exit");
    return this.#process.exitCode;
  }

  /** Asks it to end; resolves with the milliseconds that it took. */
  async stop(): Promise<number> {
    const began = Date.now();
    if (this.#process.exitCode !== null) return 0;
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGTERM");
    await ended;
    return Date.now() - began;
  }
}
