// What client.ts uses of Node.js, whose own types are not needed for it.
declare const process: { env: Record<string, string | undefined> };
