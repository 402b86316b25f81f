/**
 * cfs.v1.Admin in TypeScript: the records of proto/admin.proto and the table of its methods.
 *
 * Invariant: names and fields agree with the .proto file; grpc-interop.test.ts calls every method with a stock client that knows only the
 * file, and admin-service.test.ts compares the table with it.
 */
import { messageCodec } from "./schema.ts";
import type { MessageCodec } from "./schema.ts";
import type { ServerStreamMethod, UnaryMethod } from "./service.ts";
import { jsonOf, structOf } from "./struct-json.ts";
import type { JsonObject, WireStruct } from "./struct-json.ts";

export type DriveState = "DRIVE_UNKNOWN" | "DRIVE_ONLINE" | "DRIVE_DRAINING" | "DRIVE_FAILED" | "DRIVE_MISSING" | "DRIVE_REBUILDING";

export interface Drive {
  /** 32 hex digits. */
  readonly driveId: string;
  readonly path: string;
  readonly state: DriveState;
  readonly capacityBytes: number;
  readonly usedBytes: number;
  readonly reservedBytes: number;
  readonly readErrors: number;
  readonly writeErrors: number;
  readonly checksumErrors: number;
  /** Why it is in this state; empty when it is online. */
  readonly reason: string;
}

export type StatusRequest = Readonly<Record<never, never>>;

export interface StatusReply {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly version: string;
  readonly uptimeMs: number;
  readonly capacityBytes: number;
  readonly usedBytes: number;
  readonly availableBytes: number;
  /** Acknowledged, but not yet packed with full redundancy. */
  readonly atRiskBytes: number;
  readonly connections: number;
  readonly drives: readonly Drive[];
  /** What needs an operator, worst first; empty when all is well. */
  readonly warnings: readonly string[];
  /** Figures of every part, for people and dashboards. */
  readonly details: JsonObject;
}

export type DriveListRequest = Readonly<Record<never, never>>;

export interface DriveListReply {
  readonly drives: readonly Drive[];
}

export interface DriveAddRequest {
  readonly path: string;
}

export interface DriveRemoveRequest {
  readonly driveId: string;
  /** Without moving its data off first. */
  readonly force: boolean;
}

export interface DriveReplaceRequest {
  readonly oldDriveId: string;
  readonly newPath: string;
}

export interface DriveReply {
  /** null when the server sent none. */
  readonly drive: Drive | null;
}

export interface ScrubRequest {
  /** Empty: all drives. */
  readonly driveId: string;
  /** 0: unlimited. */
  readonly bytesPerSecondMax: number;
}

export interface ScrubProgress {
  readonly bytesChecked: number;
  readonly bytesTotal: number;
  readonly fragmentsChecked: number;
  readonly fragmentsBad: number;
  readonly fragmentsRepaired: number;
  /** Problems found since the last message, one sentence each. */
  readonly findings: readonly string[];
  readonly isDone: boolean;
}

export interface FsckRequest {
  readonly repair: boolean;
}

export interface FsckProgress {
  /** What is checked now, such as "directory tree". */
  readonly phase: string;
  readonly itemsChecked: number;
  /** 0: not known yet. */
  readonly itemsTotal: number;
  readonly problemsFound: number;
  readonly problemsRepaired: number;
  /** Problems found since the last message, one sentence each. */
  readonly findings: readonly string[];
  readonly isDone: boolean;
}

export interface ShutdownRequest {
  /** How long to wait for clients to finish; 0: the server's default. */
  readonly graceMs: number;
}

export interface ShutdownReply {
  /** The process that stops. */
  readonly pid: number;
  /** Where that number means something: the machine's boot and the PID namespace. Empty when the server does not know it. */
  readonly pidSpace: string;
}

export interface AdminService {
  readonly status: UnaryMethod<StatusRequest, StatusReply>;
  readonly driveList: UnaryMethod<DriveListRequest, DriveListReply>;
  readonly driveAdd: UnaryMethod<DriveAddRequest, DriveReply>;
  readonly driveRemove: UnaryMethod<DriveRemoveRequest, DriveReply>;
  readonly driveReplace: UnaryMethod<DriveReplaceRequest, DriveReply>;
  readonly scrub: ServerStreamMethod<ScrubRequest, ScrubProgress>;
  readonly fsck: ServerStreamMethod<FsckRequest, FsckProgress>;
  readonly shutdown: UnaryMethod<ShutdownRequest, ShutdownReply>;
}

function method<Kind extends "unary" | "serverStream", Request extends object, Reply extends object>(
  kind: Kind,
  name: string,
  reply: string | MessageCodec<Reply>,
): { kind: Kind; path: string; request: MessageCodec<Request>; reply: MessageCodec<Reply> } {
  return {
    kind,
    path: `/cfs.v1.Admin/${name}`,
    request: messageCodec<Request>(`cfs.v1.${name}Request`),
    reply: typeof reply === "string" ? messageCodec<Reply>(`cfs.v1.${reply}`) : reply,
  };
}

type WireStatusReply = Omit<StatusReply, "details"> & { readonly details: WireStruct | null };

const wireStatus: MessageCodec<WireStatusReply> = messageCodec("cfs.v1.StatusReply");

const statusReply: MessageCodec<StatusReply> = {
  encode: (status) => wireStatus.encode({ ...status, details: structOf(status.details) }),
  decode(bytes) {
    const status = wireStatus.decode(bytes);
    return { ...status, details: jsonOf(status.details) };
  },
};

export const adminService: AdminService = {
  status: method("unary", "Status", statusReply),
  driveList: method("unary", "DriveList", "DriveListReply"),
  driveAdd: method("unary", "DriveAdd", "DriveReply"),
  driveRemove: method("unary", "DriveRemove", "DriveReply"),
  driveReplace: method("unary", "DriveReplace", "DriveReply"),
  scrub: method("serverStream", "Scrub", "ScrubProgress"),
  fsck: method("serverStream", "Fsck", "FsckProgress"),
  shutdown: method("unary", "Shutdown", "ShutdownReply"),
};
