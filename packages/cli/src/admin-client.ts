/**
 * Calls of the admin service of one server: connected once, with a deadline on everything that has an end.
 *
 * Invariant: the connection is closed when `withAdmin` returns, and an interrupted command cancels its call at the server.
 */
import { systemClock } from "@cfs/core";
import { adminService, UnaryClient } from "@cfs/rpc";
import type {
  DriveReply,
  DriveListReply,
  FsckProgress,
  FsckRequest,
  ScrubProgress,
  ScrubRequest,
  ServerStreamMethod,
  ShutdownReply,
  StatusReply,
  UnaryMethod,
} from "@cfs/rpc";
import { Option } from "commander";
import type { Ui } from "./output.ts";
import { type Address, defaultPort, flag, formatAddress, parseAddress } from "./parse.ts";

/** Control commands answer within two seconds with what they know; the rest is for a machine that is busy. */
const connectTimeoutMs = 5_000;
const callTimeoutMs = 15_000;
/** Formatting a new drive fills journal files. */
const driveTimeoutMs = 120_000;

export const defaultServer: Address = { host: "127.0.0.1", port: defaultPort };

export function serverOption(): Option {
  return new Option("--server <address>", "the server to ask, HOST:PORT")
    .argParser(flag(parseAddress))
    .default(defaultServer, formatAddress(defaultServer))
    .env("CFS_SERVER");
}

export interface ServerFlags {
  readonly server: Address;
}

export class AdminClient {
  readonly #client: UnaryClient;
  readonly #signal: AbortSignal;

  constructor(client: UnaryClient, signal: AbortSignal) {
    this.#client = client;
    this.#signal = signal;
  }

  status(): Promise<StatusReply> {
    return this.#call(adminService.status, {}, callTimeoutMs);
  }

  driveList(): Promise<DriveListReply> {
    return this.#call(adminService.driveList, {}, callTimeoutMs);
  }

  driveAdd(path: string): Promise<DriveReply> {
    return this.#call(adminService.driveAdd, { path }, driveTimeoutMs);
  }

  driveRemove(driveId: string, force: boolean): Promise<DriveReply> {
    return this.#call(adminService.driveRemove, { driveId, force }, driveTimeoutMs);
  }

  driveReplace(oldDriveId: string, newPath: string): Promise<DriveReply> {
    return this.#call(adminService.driveReplace, { oldDriveId, newPath }, driveTimeoutMs);
  }

  scrub(request: ScrubRequest): AsyncGenerator<ScrubProgress, void, void> {
    return this.#stream(adminService.scrub, request);
  }

  fsck(request: FsckRequest): AsyncGenerator<FsckProgress, void, void> {
    return this.#stream(adminService.fsck, request);
  }

  shutdown(graceMs: number): Promise<ShutdownReply> {
    return this.#call(adminService.shutdown, { graceMs }, callTimeoutMs + graceMs);
  }

  #call<Request, Reply>(method: UnaryMethod<Request, Reply>, request: Request, timeoutMs: number): Promise<Reply> {
    return this.#client.call(method, request, { timeoutMs, signal: this.#signal });
  }

  #stream<Request, Reply>(method: ServerStreamMethod<Request, Reply>, request: Request): AsyncGenerator<Reply, void, void> {
    return this.#client.stream(method, request, { timeoutMs: Number.POSITIVE_INFINITY, signal: this.#signal });
  }
}

/** Connects, does `work`, and disconnects. An unreachable server fails within a few seconds, naming the address. */
export async function withAdmin<T>(server: Address, ui: Pick<Ui, "signal">, work: (admin: AdminClient) => Promise<T>): Promise<T> {
  await using client = await UnaryClient.open({ clock: systemClock() }, server, { timeoutMs: connectTimeoutMs, signal: ui.signal });
  return await work(new AdminClient(client, ui.signal));
}
