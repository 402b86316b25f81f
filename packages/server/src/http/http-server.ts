/**
 * Plain HTTP beside the rpc port: /metrics for Prometheus, /healthz for load balancers and supervisors.
 *
 * /healthz answers 200 while the node serves (its body names the level and the warnings), 503 when it cannot go on. Reads only; nothing here
 * changes anything.
 */
import { CfsError } from "@cfs/core";
import type { Logger } from "@cfs/core";
import type { Address } from "@cfs/rpc";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Health } from "../admin/health.ts";
import { addressError } from "./check-address.ts";
import type { Metrics } from "./metrics.ts";

export interface HttpServerParts {
  readonly metrics: Pick<Metrics, "text" | "contentType">;
  readonly health: () => Health & { readonly fatal: string | null };
  readonly logger: Logger;
}

const requestTimeoutMs = 10_000;
/** Scrapers and probes are few. */
const connectionsMax = 64;

export class HttpServer {
  readonly #parts: HttpServerParts;
  readonly #server: Server;
  #address: Address = { host: "", port: 0 };
  #closed: Promise<void> | null = null;

  private constructor(parts: HttpServerParts) {
    this.#parts = parts;
    this.#server = createServer(
      { requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs, keepAliveTimeout: requestTimeoutMs },
      (request, response) => {
        this.#answer(request, response).catch((reason: unknown) => {
          parts.logger.warn("a request over HTTP failed", { url: request.url ?? "", reason: CfsError.from(reason).message });
          if (!response.headersSent) response.writeHead(500);
          response.end();
        });
      },
    );
    this.#server.maxConnections = connectionsMax;
  }

  static async listen(parts: HttpServerParts, address: Address): Promise<HttpServer> {
    const http = new HttpServer(parts);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const server = http.#server;
    const fail = (reason: NodeJS.ErrnoException): void => reject(addressError(address, reason));
    server.once("error", fail);
    server.listen({ host: address.host, port: address.port }, resolve);
    await promise;
    server.off("error", fail);
    const bound = server.address();
    http.#address = { host: address.host, port: typeof bound === "object" && bound !== null ? bound.port : address.port };
    return http;
  }

  get address(): Address {
    return this.#address;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { allow: "GET, HEAD" }).end();
      return;
    }
    const path = (request.url ?? "/").split("?")[0];
    if (path === "/metrics") send(response, 200, this.#parts.metrics.contentType, await this.#parts.metrics.text());
    else if (path === "/healthz") this.#sendHealth(response);
    else send(response, 404, "text/plain; charset=utf-8", "cfs serves /metrics and /healthz here\n");
  }

  #sendHealth(response: ServerResponse): void {
    const { level, warnings, fatal } = this.#parts.health();
    send(response, fatal === null ? 200 : 503, "application/json", `${JSON.stringify({ status: level, warnings })}\n`);
  }

  /** Idempotent. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
    return this.#closed;
  }
}

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, { "content-type": contentType, "content-length": Buffer.byteLength(body), "cache-control": "no-store" });
  response.end(body);
}
