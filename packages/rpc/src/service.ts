/**
 * What a service is: a record of typed methods, from which servers take the shape of their handlers and clients that of their calls.
 *
 * One request always; the reply is one message (`unary`) or many (`serverStream`).
 */
import type { MessageCodec } from "./schema.ts";

export interface Method<Kind extends "unary" | "serverStream", Request, Reply> {
  readonly kind: Kind;
  /** "/package.Service/Method" */
  readonly path: string;
  readonly request: MessageCodec<Request>;
  readonly reply: MessageCodec<Reply>;
}

export type UnaryMethod<Request, Reply> = Method<"unary", Request, Reply>;
export type ServerStreamMethod<Request, Reply> = Method<"serverStream", Request, Reply>;

export interface CallContext {
  /** Aborts when the caller cancels or is gone, when its deadline passes, and when the server closes. */
  readonly signal: AbortSignal;
  /** HOST:PORT of the caller. */
  readonly peer: string;
}

export type Handler<M> =
  M extends UnaryMethod<infer Request, infer Reply>
    ? (request: Request, context: CallContext) => Promise<Reply>
    : M extends ServerStreamMethod<infer Request, infer Reply>
      ? (request: Request, context: CallContext) => AsyncIterable<Reply>
      : never;

/** One handler for each method of a service; a method without one does not compile. */
export type Handlers<Service> = { readonly [Name in keyof Service]: Handler<Service[Name]> };
