/**
 * The Control mode page in force (SPC-4 7.5.8), decoded: what the task set, sense data and write protection look
 * at. MODE SELECT changes it through mode-pages/control.ts; nobody else writes here.
 */

/** TASK SET TYPE: tasks of all I_T nexuses in one set, or one set per I_T nexus. */
export const Tst = { ONE_SET: 0, SET_PER_NEXUS: 1 } as const;

/** QUEUE ERROR MANAGEMENT: what a CHECK CONDITION does to the other tasks. */
export const Qerr = { RESUME_ALL: 0, ABORT_ALL: 1, ABORT_OWN: 3 } as const;

/** UNIT ATTENTION INTERLOCKS CONTROL. */
export const UaIntlck = { CLEAR_ON_REPORT: 0, KEEP: 2, ESTABLISH_ON_BUSY: 3 } as const;

export class ControlMode {
  tst = 0;
  /** Whether descriptor format sense data is returned with CHECK CONDITION (D_SENSE). */
  dSense = false;
  /** QUEUE ALGORITHM MODIFIER: 0 restricted reordering, 1 unrestricted. */
  queueAlgorithm = 0;
  qerr = 0;
  uaIntlck = 0;
  /** Software write protect. */
  swp = false;
  /** TASK ABORTED status for tasks that another I_T nexus aborted; else no status at all. */
  tas = false;
}
