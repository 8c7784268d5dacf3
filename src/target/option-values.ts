/** What options may be, on the command line, in a configuration and over the control socket. */

export const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const;

/** Far more than is of use; each takes a thread and some megabytes. */
export const MAX_SHARDS = 64;

/** A guest that takes longer to come back is better awaited asleep. */
export const MAX_POLL_MICROSECONDS = 1000;
