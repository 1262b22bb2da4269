// Holds a value against the type that a package's declarations give for the result of a call.
//
// `declared("HeadroomClient", "toin.getStats")` is the awaited type of that method; `problems(value, type)` lists where a value is not
// of it: fields that are missing, and values of another type. More fields than declared are no problem.
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.cwd(), "package.json"));
const ts = require("typescript");
const root = require.resolve("headroom-ai").replace(/index\.cjs$/, "index.d.ts");
const program = ts.createProgram([root], { strict: true, target: ts.ScriptTarget.ES2022, moduleResolution: ts.ModuleResolutionKind.Bundler, module: ts.ModuleKind.ESNext, types: ["node"] });
const checker = program.getTypeChecker();
const exported = new Map(checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(root))).map((symbol) => [symbol.name, symbol]));

function symbolOf(name) {
  const symbol = exported.get(name);
  if (!symbol) throw new Error(`${name} is not exported`);
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

export function declared(name, members = "") {
  const symbol = symbolOf(name);
  let type = symbol.flags & ts.SymbolFlags.Class ? checker.getDeclaredTypeOfSymbol(symbol) : checker.getTypeOfSymbol(symbol);
  for (const member of members ? members.split(".") : []) {
    const property = checker.getPropertyOfType(type, member);
    if (!property) throw new Error(`${name}.${members} is not declared`);
    type = checker.getTypeOfSymbol(property);
  }
  return checker.getAwaitedType(type.getCallSignatures()[0].getReturnType());
}

export function problems(value, type, at = "result") {
  const name = checker.typeToString(type);
  if (type.flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown)) return [];
  if (type.isUnion()) {
    const found = type.types.map((option) => problems(value, option, at));
    return found.some((list) => list.length === 0) ? [] : [`${at}: ${JSON.stringify(value)?.slice(0, 80)} is not ${name}`];
  }
  const wrong = [`${at}: ${JSON.stringify(value)?.slice(0, 80)} is not ${name}`];
  if (type.flags & ts.TypeFlags.StringLiteral) return value === type.value ? [] : wrong;
  if (type.flags & ts.TypeFlags.BooleanLike) return typeof value === "boolean" ? [] : wrong;
  if (type.flags & ts.TypeFlags.StringLike) return typeof value === "string" ? [] : wrong;
  if (type.flags & ts.TypeFlags.NumberLike) return typeof value === "number" && Number.isFinite(value) ? [] : wrong;
  if (type.flags & ts.TypeFlags.Null) return value === null ? [] : wrong;
  if (type.flags & (ts.TypeFlags.Undefined | ts.TypeFlags.Void)) return value === undefined ? [] : wrong;
  if (typeof value !== "object" || value === null) return wrong;
  if (checker.isArrayType(type)) {
    const [element] = checker.getTypeArguments(type);
    return Array.isArray(value) ? value.flatMap((item, index) => problems(item, element, `${at}[${index}]`)) : wrong;
  }
  const found = checker.getPropertiesOfType(type).flatMap((property) => {
    const inner = value[property.name];
    if (inner === undefined && property.flags & ts.SymbolFlags.Optional) return [];
    return problems(inner, checker.getTypeOfSymbol(property), `${at}.${property.name}`);
  });
  const index = checker.getIndexTypeOfType(type, ts.IndexKind.String);
  return index ? [...found, ...Object.entries(value).flatMap(([key, inner]) => problems(inner, index, `${at}.${key}`))] : found;
}
