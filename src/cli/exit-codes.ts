/** What `lunport` ends with; documented in --help and the man page. */
export const ExitCode = {
  OK: 0,
  /** Something that was asked for could not be done; the reason is on stderr. */
  FAILED: 1,
  /** The command line was wrong. */
  USAGE: 2,
} as const;
