/** `metrics`: counters and gauges as plain data; whoever asks makes text of them. */
import { z } from 'zod';
import { serverSamples } from '../metrics/server-samples.ts';
import type { Server } from '../server.ts';
import { type Json, operation, Scope } from './operation.ts';

export const metrics = operation({
  description: 'Counters and gauges of what is served, as a list of name, labels and value.',
  schema: z.strictObject({}),
  scope: Scope.ALL,
  async run(server: Server) {
    return { samples: serverSamples(server) as unknown as Json[] };
  },
  merge: (results) => ({ samples: results.flatMap(({ samples }) => samples) }),
});
