/** Control mode page (SPC-4 7.5.8) and its Control Extension subpage (7.5.9). */
import { putU16 } from '../bytes.ts';
import { Qerr, Tst, UaIntlck } from '../control-mode.ts';
import { extendedSelfTestSeconds } from '../self-test.ts';
import { MAX_SENSE_LENGTH } from '../task.ts';
import { emptyPage, type ModePage } from './mode-page.ts';

const D_SENSE = 0x04;
/** Log parameters are not saved behind the initiator's back. */
const GLTSD = 0x02;
const SWP = 0x08;
const TAS = 0x40;
/** The application tag belongs to the application: nothing here writes it by itself. */
const ATO = 0x80;
const TST_SHIFT = 5;
const QUEUE_ALGORITHM_SHIFT = 4;
const UNRESTRICTED_REORDERING = 1;
const QERR_SHIFT = 1;
const UA_INTLCK_SHIFT = 4;
/** Busy for as long as it takes. */
const UNLIMITED = 0xffff;

const tst = (values: Uint8Array) => values[2] >> TST_SHIFT;
const queueAlgorithm = (values: Uint8Array) => values[3] >> QUEUE_ALGORITHM_SHIFT;
const qerr = (values: Uint8Array) => (values[3] >> QERR_SHIFT) & 3;
const uaIntlck = (values: Uint8Array) => (values[4] >> UA_INTLCK_SHIFT) & 3;

export const controlPage: ModePage = {
  code: 0x0a,
  subpage: 0,
  name: 'Control',
  defaults: (device) => {
    const { attributes } = device;
    const page = emptyPage(0x0a, 0, 0x0a);
    // LIO's emulate_ua_intlck_ctrl counts 0, 1, 2; the field's values are 0, 2, 3.
    const interlock = [UaIntlck.CLEAR_ON_REPORT, UaIntlck.KEEP, UaIntlck.ESTABLISH_ON_BUSY];
    page[2] = GLTSD;
    page[3] = (attributes.emulate_rest_reord !== 0 ? 0 : UNRESTRICTED_REORDERING) << QUEUE_ALGORITHM_SHIFT;
    page[4] = (interlock[attributes.emulate_ua_intlck_ctrl] ?? 0) << UA_INTLCK_SHIFT;
    page[5] = (attributes.emulate_tas !== 0 ? TAS : 0) | (device.protection.type !== 0 ? ATO : 0);
    putU16(page, 8, UNLIMITED);
    // Longer tests are in minutes in VPD page 86h, which FFFFh points to.
    putU16(page, 10, Math.min(extendedSelfTestSeconds(device), 0xffff));
    return page;
  },
  changeable: () => [
    [2, (7 << TST_SHIFT) | D_SENSE],
    [3, (0xf << QUEUE_ALGORITHM_SHIFT) | (3 << QERR_SHIFT)],
    [4, (3 << UA_INTLCK_SHIFT) | SWP],
    [5, TAS],
  ],
  check: (values) => {
    if (tst(values) > Tst.SET_PER_NEXUS) return { byte: 2, bit: 7 };
    if (queueAlgorithm(values) > UNRESTRICTED_REORDERING) return { byte: 3, bit: 7 };
    if (!Object.values<number>(Qerr).includes(qerr(values))) return { byte: 3, bit: 2 };
    if (!Object.values<number>(UaIntlck).includes(uaIntlck(values))) return { byte: 4, bit: 5 };
    return undefined;
  },
  apply: ({ control }, values) => {
    control.tst = tst(values);
    control.dSense = (values[2] & D_SENSE) !== 0;
    control.queueAlgorithm = queueAlgorithm(values);
    control.qerr = qerr(values);
    control.uaIntlck = uaIntlck(values);
    control.swp = (values[4] & SWP) !== 0;
    control.tas = (values[5] & TAS) !== 0;
  },
};

/** TCMOS: the timestamp follows our own clock unless SET TIMESTAMP moved it. */
const TCMOS = 0x04;
/** IALUAE: implicit asymmetric access state changes happen. */
const IALUAE = 0x01;

export const controlExtensionPage: ModePage = {
  code: 0x0a,
  subpage: 0x01,
  name: 'Control Extension',
  defaults: ({ attributes }) => {
    const page = emptyPage(0x0a, 0x01, 0x1c);
    page[4] = TCMOS | (attributes.alua_support !== 0 ? IALUAE : 0);
    page[6] = MAX_SENSE_LENGTH;
    return page;
  },
};
