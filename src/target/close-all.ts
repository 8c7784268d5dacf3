/** Closing many things: one that fails keeps none of the others from being made durable. */

/** Takes the steps in order, whatever fails on the way; then throws the first failure. */
export async function closeAll(steps: Iterable<() => Promise<void> | undefined>): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
