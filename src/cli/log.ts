/**
 * Messages for people on stderr, one line each, or as JSON lines for machines. What the core and the fabrics
 * report goes through the same logger, so that `--json` leaves no stray text.
 */
import { type Logger, pino } from 'pino';

const LEVEL_NAMES: Readonly<Record<number, string>> = { 40: 'warning: ', 50: 'error: ', 60: 'error: ' };

/** `level` is pino's: silent, error, warn, info, debug. */
export function createLogger(level: string, json: boolean): Logger {
  if (json) {
    const lines = pino.destination({ dest: 2, sync: true });
    // What cannot be logged is lost, and nothing else.
    lines.on('error', () => {});
    return pino({ level, base: null }, lines);
  }
  const people = {
    write(line: string): void {
      const { level: number, msg, err, hint } = JSON.parse(line);
      const cause = err?.message && !msg?.includes(err.message) ? `: ${err.message}` : '';
      process.stderr.write(`lunport: ${LEVEL_NAMES[number] ?? ''}${msg ?? ''}${cause}\n`);
      if (hint) process.stderr.write(`  hint: ${hint}\n`);
    },
  };
  return pino({ level, base: null, timestamp: false }, people);
}
