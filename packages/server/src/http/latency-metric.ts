/**
 * A prom-client metric over LatencyFigures: the data path adds to plain arrays, and the text is made when somebody scrapes.
 *
 * Source: the text exposition format of Prometheus; buckets are cumulative and end with +Inf.
 */
import type { Registry } from "prom-client";
import { latencyBounds } from "../engine/operation-figures.ts";
import type { LatencyFigures } from "../engine/operation-figures.ts";

interface Value {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

export interface LatencyMetricText {
  readonly name: string;
  readonly help: string;
}

class LatencyMetric {
  readonly name: string;
  readonly help: string;
  readonly #figures: LatencyFigures;

  constructor({ name, help }: LatencyMetricText, figures: LatencyFigures) {
    this.name = name;
    this.help = help;
    this.#figures = figures;
  }

  async get(): Promise<{ name: string; help: string; type: string; values: Value[]; aggregator: string }> {
    const { name, help } = this;
    const values: Value[] = [];
    let below = 0;
    for (const [bucket, bound] of latencyBounds.entries()) {
      below += this.#figures.counts[bucket] ?? 0;
      values.push({ metricName: `${name}_bucket`, labels: { le: bound }, value: below });
    }
    values.push({ metricName: `${name}_bucket`, labels: { le: "+Inf" }, value: this.#figures.count });
    values.push({ metricName: `${name}_sum`, labels: {}, value: this.#figures.sumSeconds });
    values.push({ metricName: `${name}_count`, labels: {}, value: this.#figures.count });
    return { name, help, type: "histogram", values, aggregator: "sum" };
  }

  reset(): void {
    // Figures belong to the data path and only ever grow.
  }
}

export function registerLatency(registry: Registry, text: LatencyMetricText, figures: LatencyFigures): void {
  // The registry asks a metric for `name` and `get` alone; its type knows only the library's own classes.
  registry.registerMetric(new LatencyMetric(text, figures) as unknown as Parameters<Registry["registerMetric"]>[0]);
}
