/**
 * Test projects: `unit` runs beside the sources and needs nothing; `system` mounts real file systems.
 * Two files run at a time, the long ones of `system` first: a system test waits for processes, leases and drives most of its time.
 */
import { defineConfig } from "vitest/config";
import { BaseSequencer } from "vitest/node";
import type { TestSpecification } from "vitest/node";

const conditions = ["cfs-source"];

class SystemFirst extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ project, moduleId }: TestSpecification): string => `${project.name === "system" ? 0 : 1} ${moduleId}`;
    return Promise.resolve([...files].sort((one, other) => (place(one) < place(other) ? -1 : 1)));
  }
}

export default defineConfig({
  test: {
    maxWorkers: 2,
    sequence: { sequencer: SystemFirst },
    projects: [
      {
        resolve: { conditions },
        ssr: { resolve: { conditions } },
        test: {
          name: "unit",
          include: ["{packages,native,scripts}/**/*.test.ts"],
          exclude: ["**/node_modules/**", "**/dist/**"],
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
      {
        resolve: { conditions },
        ssr: { resolve: { conditions } },
        test: { name: "system", include: ["test/**/*.test.ts"], testTimeout: 180_000, hookTimeout: 180_000 },
      },
    ],
  },
});
