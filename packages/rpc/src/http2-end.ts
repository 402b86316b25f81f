/** What a client's and a server's end of a hot stream on HTTP/2 have in common. */
import type { CfsError } from "@cfs/core";
import type { Http2Stream } from "node:http2";
import type { HotStreamEnd, StreamHandlers } from "./stream-connection.ts";

export abstract class Http2End<Stream extends Http2Stream> implements HotStreamEnd {
  readonly onTrailers = null;
  protected readonly stream: Stream;

  constructor(stream: Stream) {
    this.stream = stream;
  }

  start(handlers: StreamHandlers): void {
    this.stream.on("data", (piece: Buffer) => handlers.data(piece, false));
    this.stream.on("end", handlers.end);
    this.stream.on("error", () => {}); // "close" follows, and `reason` tells.
    this.stream.on("close", handlers.closed);
    this.stream.pause();
  }

  write(views: readonly Uint8Array[], written: () => void): void {
    const last = views.length - 1;
    if (last > 0) this.stream.cork();
    for (let at = 0; at < last; at++) this.stream.write(views[at]);
    this.stream.write(views[last], written);
    if (last > 0) this.stream.uncork();
  }

  pause(): void {
    this.stream.pause();
  }

  resume(): void {
    this.stream.resume();
  }

  discard(): void {
    // Pieces are the stream's own memory.
  }

  abstract finish(error: CfsError | null): void;
  abstract cut(): void;
  abstract reason(): CfsError | null;
  abstract released(): void;
}
