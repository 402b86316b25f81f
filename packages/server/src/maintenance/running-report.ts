/**
 * Reports of work that takes long: `report()` is given every `intervalMs` while `work` runs, and once when it is done.
 *
 * When the reader goes away the work is told by its signal and waited for, so nothing goes on unheard.
 */
import type { Clock } from "@cfs/core";

export const reportIntervalMs = 500;

export async function* reportWhile<Report>(
  clock: Clock,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<void>,
  report: (isDone: boolean) => Report,
): AsyncGenerator<Report, void, void> {
  const stop = new AbortController();
  const running = work(AbortSignal.any([signal, stop.signal]));
  // Heard below; until then a failure must not count as unheard.
  running.catch(() => undefined);
  let isSettled = false;
  const settled = running.then(
    () => void (isSettled = true),
    () => void (isSettled = true),
  );
  try {
    while (!isSettled) {
      await waitFor(clock, settled);
      if (!isSettled) yield report(false);
    }
    await running;
    yield report(true);
  } finally {
    stop.abort();
    await settled;
  }
}

async function waitFor(clock: Clock, settled: Promise<void>): Promise<void> {
  let cancel = (): void => undefined;
  const tick = new Promise<void>((resolve) => {
    cancel = clock.after(reportIntervalMs, resolve);
  });
  await Promise.race([settled, tick]);
  cancel();
}
