import js from "@eslint/js";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist", "build", "example/build", "src/gen", "example/gen", "eslint.config.js", "scripts"] },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: { project: ["./tsconfig.tests.json", "./example/tsconfig.json"], tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/consistent-type-imports": "error",
      // Codes of gRPC are numbers, of which each library has an enum of its own.
      "@typescript-eslint/no-unsafe-enum-assignment": "off",
      "max-lines": ["error", 500],
      "max-lines-per-function": ["error", { max: 70, skipComments: true }],
      "max-len": ["error", { code: 140, ignoreUrls: true, ignoreStrings: true, ignoreTemplateLiterals: true }],
      "no-console": "error",
    },
  },
  {
    // The clock and the random numbers come in as parameters.
    files: ["src/**/*.ts"],
    ignores: ["src/clock.ts"],
    rules: {
      "no-restricted-globals": ["error", "setTimeout", "setInterval", "setImmediate", "performance"],
      "no-restricted-properties": [
        "error",
        { object: "Date", property: "now", message: "Ask the Clock." },
        { object: "Math", property: "random", message: "Ask the Clock." },
      ],
    },
  },
  {
    files: ["test/**/*.ts", "integration/**/*.ts", "bench/**/*.ts", "example/**/*.ts"],
    rules: {
      "no-console": "off",
      "max-lines-per-function": "off",
      // node:test runs what `describe` and `test` return.
      "@typescript-eslint/no-floating-promises": [
        "error",
        { allowForKnownSafeCalls: [{ from: "package", name: ["test", "describe", "it"], package: "node:test" }] },
      ],
    },
  },
);
