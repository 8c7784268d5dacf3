/**
 * What must not outlive this process: QEMUs, temporary folders. Each is registered here and cleaned up when
 * the process ends by itself, by an exception, or by a signal. SIGKILL is covered in owned-child.ts.
 */
const cleanups = new Set<() => void>();
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function cleanUp(): void {
  for (const cleanup of [...cleanups].reverse()) {
    cleanups.delete(cleanup);
    try {
      cleanup();
    } catch {
      // The next one must run as well, and nobody is left to be told.
    }
  }
}

function onSignal(signal: NodeJS.Signals): void {
  cleanUp();
  uninstall();
  // A program with a handler of its own decides itself; otherwise die of the signal, as everybody expects.
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
}

function uninstall(): void {
  process.off('exit', cleanUp);
  for (const signal of SIGNALS) process.off(signal, onSignal);
}

/**
 * Runs `cleanup`, which must be synchronous, when the process ends. The answer unregisters it. Signal
 * handlers are installed only while something is registered.
 */
export function atProcessEnd(cleanup: () => void): () => void {
  if (cleanups.size === 0) {
    process.on('exit', cleanUp);
    for (const signal of SIGNALS) process.on(signal, onSignal);
  }
  cleanups.add(cleanup);
  return () => {
    if (cleanups.delete(cleanup) && cleanups.size === 0) uninstall();
  };
}
