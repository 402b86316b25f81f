/**
 * The .proto files, loaded when first needed, as codecs between plain records and bytes.
 *
 * Why at run time and not generated: the files are small, loading takes milliseconds, and there is one source of truth. Field names become
 * camelCase, 64-bit integers numbers (all of ours are safe integers), enums their names; missing fields get their proto3 defaults.
 * Invariant: bytes that are not a valid message are CORRUPT, a record that does not fit is INVALID; protobufjs errors do not get out.
 */
import { CfsError } from "@cfs/core";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";

export interface MessageCodec<T> {
  encode(message: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

/** The files themselves, for clients that want to load or serve them. */
export const protoFiles: readonly string[] = ["session.proto", "admin.proto"].map((name) =>
  fileURLToPath(new URL(`../proto/${name}`, import.meta.url)),
);

let loaded: protobuf.Root | null = null;

function root(): protobuf.Root {
  if (loaded === null) {
    loaded = new protobuf.Root().loadSync([...protoFiles]);
    loaded.resolveAll();
  }
  return loaded;
}

const toPlain: protobuf.IConversionOptions = { longs: Number, enums: String, defaults: true, arrays: true, objects: true };

/** `name` is the full name of a message, such as "cfs.v1.StatusReply"; T must describe the same fields. */
export function messageCodec<T extends object>(name: string): MessageCodec<T> {
  return {
    encode(message) {
      const type = root().lookupType(name);
      try {
        return type.encode(type.fromObject(message)).finish();
      } catch (error) {
        throw new CfsError("INVALID", `the record does not fit ${name}: ${reasonText(error)}`, { cause: error });
      }
    },
    decode(bytes) {
      const type = root().lookupType(name);
      try {
        return type.toObject(type.decode(bytes), toPlain) as T;
      } catch (error) {
        throw new CfsError("CORRUPT", `${bytes.length} bytes are not a ${name}: ${reasonText(error)}`, { cause: error });
      }
    },
  };
}

function reasonText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
