/**
 * JSON trees as google.protobuf.Struct: for the parts of a report whose shape is for people.
 *
 * Source: google/protobuf/struct.proto. Numbers are doubles; safe integers survive.
 */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };
export type JsonObject = { readonly [key: string]: JsonValue };

/** As protobufjs gives and takes it. */
export interface WireStruct {
  readonly fields: Readonly<Record<string, WireValue>>;
}

export interface WireValue {
  readonly nullValue?: string | number;
  readonly numberValue?: number;
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly structValue?: WireStruct;
  readonly listValue?: { readonly values: readonly WireValue[] };
}

/** Deeper trees are cut with a text in their place: no report needs more, and decoders recurse. */
const depthMax = 32;

export function structOf(object: JsonObject, depth = 0): WireStruct {
  return { fields: Object.fromEntries(Object.entries(object).map(([key, value]) => [key, wireValue(value, depth + 1)])) };
}

export function jsonOf(struct: WireStruct | null): JsonObject {
  if (struct === null) return {};
  return Object.fromEntries(Object.entries(struct.fields).map(([key, value]) => [key, jsonValue(value)]));
}

function wireValue(value: JsonValue, depth: number): WireValue {
  if (value === null) return { nullValue: "NULL_VALUE" };
  if (typeof value === "number") return { numberValue: value };
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  if (depth > depthMax) return { stringValue: "…" };
  if (isList(value)) return { listValue: { values: value.map((member) => wireValue(member, depth + 1)) } };
  return { structValue: structOf(value, depth) };
}

function isList(value: readonly JsonValue[] | JsonObject): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function jsonValue(value: WireValue): JsonValue {
  if (value.numberValue !== undefined) return value.numberValue;
  if (value.stringValue !== undefined) return value.stringValue;
  if (value.boolValue !== undefined) return value.boolValue;
  if (value.structValue !== undefined) return jsonOf(value.structValue);
  if (value.listValue !== undefined) return value.listValue.values.map(jsonValue);
  return null;
}
