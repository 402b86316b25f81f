/** Numbers as people read them: sizes in binary units, rates, durations, counts. Machine output (`--json`) never passes through here. */
const binaryUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] as const;

/** Three significant digits: 0 B, 4.00 KiB, 12.3 MiB, 512 GiB. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1023.5 && unit < binaryUnits.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? String(Math.round(value)) : threeDigits(value)} ${binaryUnits[unit] ?? "B"}`;
}

function threeDigits(value: number): string {
  const size = Math.abs(value);
  if (size < 9.995) return value.toFixed(2);
  return size < 99.95 ? value.toFixed(1) : value.toFixed(0);
}

/** 12,345,678 whatever the locale of the terminal. */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

/** Decimal megabytes per second, as drives and networks are quoted: 1,234 MB/s. */
export function formatThroughput(bytesPerSecond: number): string {
  const megabytes = bytesPerSecond / 1e6;
  return `${megabytes < 100 ? threeDigits(megabytes) : formatCount(megabytes)} MB/s`;
}

/** 850 µs, 12.3 ms, 4.20 s. */
export function formatLatency(microseconds: number): string {
  if (microseconds < 999.5) return `${microseconds < 9.995 ? threeDigits(microseconds) : microseconds.toFixed(0)} µs`;
  if (microseconds < 999_500) return `${threeDigits(microseconds / 1e3)} ms`;
  return `${threeDigits(microseconds / 1e6)} s`;
}

/** The two largest units: 45 s, 3 min 20 s, 2 h 05 min, 3 d 4 h. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3_600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3_600)} h ${pad(Math.floor((whole % 3_600) / 60))} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3_600)} h`;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}
