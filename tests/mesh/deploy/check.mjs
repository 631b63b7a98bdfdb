// Checks manifests of Istio and of the Gateway API: by the validators that are made of their schemas, and for fields that do not exist. For
// each document it prints "checked" or "not checked", with its kind.
//
//   node check.mjs MANIFEST...       with the packages of package.json beside it

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import ts from "typescript";
import { parseAllDocuments } from "yaml";

const MODELS = { "istio.io": "@kubernetes-models/istio", "gateway.networking.k8s.io": "@kubernetes-models/gateway-api" };

/** The module with the model of an API version such as `security.istio.io/v1`; none if no package has it. */
function moduleOf(apiVersion) {
  const group = apiVersion.split("/")[0];
  const family = Object.keys(MODELS).find((name) => group === name || group.endsWith(`.${name}`));
  return family && `${MODELS[family]}/${apiVersion}`;
}

const OPTIONS = {
  strict: true,
  // Of the language's own types, which take long to read, those below are enough.
  noLib: true,
  skipLibCheck: true,
  types: [],
  target: ts.ScriptTarget.ESNext,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
};

/** The type of the data of the model `kind`, and the checker that knows it. */
function typeOf(module, kind) {
  const file = fileURLToPath(new URL("manifest.ts", import.meta.url));
  const text = `
    import type { I${kind} } from "${module}";
    declare const manifest: I${kind};
    declare global {
      interface Array<T> { [index: number]: T }
      type Exclude<T, U> = T extends U ? never : T;
    }`;
  const host = ts.createCompilerHost(OPTIONS);
  const { getSourceFile } = host;
  host.getSourceFile = (name, ...rest) =>
    name === file ? ts.createSourceFile(name, text, OPTIONS.target) : getSourceFile(name, ...rest);
  const program = ts.createProgram([file], OPTIONS, host);
  const checker = program.getTypeChecker();
  const [declaration] = program.getSourceFile(file).statements[1].declarationList.declarations;
  return { checker, type: checker.getTypeAtLocation(declaration) };
}

/** Whether `type` is `{}`. */
function isEmpty(checker, type) {
  const isObject = type.flags & ts.TypeFlags.Object && !checker.isArrayType(type);
  return isObject && type.getProperties().length === 0 && checker.getIndexInfosOfType(type).length === 0;
}

/** Where `value` has fields that none of `types` has: the validators pass over them, as Kubernetes does. */
function unknownFields(checker, value, types, place = "") {
  types = types.flatMap((type) => (type.isUnionOrIntersection() ? type.types : [type]));
  if (types.some((type) => type.isUnionOrIntersection())) return unknownFields(checker, value, types, place);
  if (value === null || typeof value !== "object") return [];
  // A part of Envoy's own configuration, of which the schema says that it is some object.
  if (types.some((type) => type.flags & ts.TypeFlags.NonPrimitive || isEmpty(checker, type))) return [];
  const index = Array.isArray(value) ? ts.IndexKind.Number : ts.IndexKind.String;
  const elements = types.map((type) => checker.getIndexTypeOfType(type, index)).filter(Boolean);
  return Object.entries(value).flatMap(([name, inner]) => {
    const own = Array.isArray(value) ? [] : types.map((type) => checker.getPropertyOfType(type, name)).filter(Boolean);
    const found = [...own.map((symbol) => checker.getTypeOfSymbol(symbol)), ...elements];
    return found.length > 0 ? unknownFields(checker, inner, found, `${place}/${name}`) : [`${place}/${name}`];
  });
}

async function check(manifest) {
  const { apiVersion, kind, ...data } = manifest;
  const module = moduleOf(apiVersion);
  if (!module) return false;
  const { [kind]: Model } = await import(module);
  if (!Model) throw new Error(`${apiVersion} has no ${kind}`);
  new Model(data).validate();
  const { checker, type } = typeOf(module, kind);
  const unknown = unknownFields(checker, data, [type]);
  if (unknown.length > 0) throw new Error(`there is no ${unknown.join(", ")}`);
  return true;
}

for (const file of process.argv.slice(2)) {
  for (const document of parseAllDocuments(readFileSync(file, "utf8"))) {
    if (document.errors.length > 0) throw document.errors[0];
    const manifest = document.toJS();
    try {
      const checked = await check(manifest);
      console.log(`${checked ? "checked" : "not checked"} ${manifest.apiVersion}/${manifest.kind}`);
    } catch (error) {
      console.error(`${file}: ${manifest.kind} ${manifest.metadata?.name}: ${error.message}`);
      process.exitCode = 1;
    }
  }
}
