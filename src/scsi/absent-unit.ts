/** What a LUN without a logical unit answers (SPC-4 6.6.2, 6.33, 6.39; SAM-5 5.11). */
import { u16 } from './bytes.ts';
import { reportLuns } from './commands/report-luns.ts';
import { INVALID_LUN } from './lun-map.ts';
import { buildSense } from './sense.ts';
import { Sense } from './sense-spec.ts';
import type { Task } from './task.ts';

const INQUIRY = 0x12;
const REQUEST_SENSE = 0x03;
const REPORT_LUNS = 0xa0;
/** PERIPHERAL QUALIFIER 011b, device type 1Fh: no device can stand here. */
const NOT_CAPABLE = 0x7f;

export function absentUnit(task: Task): void {
  const { cdb } = task;
  switch (cdb[0]) {
    case INQUIRY: {
      if ((cdb[1] & 0x01) !== 0) {
        task.fail(Sense.LOGICAL_UNIT_NOT_SUPPORTED);
        return;
      }
      const data = new Uint8Array(36);
      data[0] = NOT_CAPABLE;
      data[2] = 0x06;
      data[3] = 0x02;
      data[4] = data.length - 5;
      task.respond(data, u16(cdb, 3));
      return;
    }
    case REQUEST_SENSE: {
      const data = new Uint8Array(64);
      const length = buildSense(data, Sense.LOGICAL_UNIT_NOT_SUPPORTED, {}, (cdb[1] & 0x01) !== 0);
      task.respond(data, cdb[4], length);
      return;
    }
    case REPORT_LUNS:
      if (task.lun !== INVALID_LUN) {
        reportLuns(task);
        return;
      }
  }
  task.fail(Sense.LOGICAL_UNIT_NOT_SUPPORTED);
}
