/** Counters of a logical unit that the log pages and the metrics report. */

export class Statistics {
  /** START STOP UNIT transitions from stopped to active since power on. */
  startStopCycles = 0;
}
