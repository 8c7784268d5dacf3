/**
 * Device Identification VPD page (SPC-4 7.8.6). The designators of the logical unit are the same on every path;
 * those of the port say through which path this initiator came.
 */
import { concatenate, putAscii, toHex } from '../bytes.ts';
import type { Identity } from '../identity.ts';
import {
  Association,
  CodeSet,
  DesignatorType,
  designationDescriptor,
  nameString,
  numberDesignator,
  targetDeviceName,
  targetPortName,
} from './designation-descriptor.ts';
import type { VpdPage } from './vpd-page.ts';

const VENDOR_LENGTH = 8;
const PRODUCT_LENGTH = 16;

export const deviceIdentificationPage: VpdPage = {
  code: 0x83,
  name: 'Device Identification',
  body: (task) => {
    const unit = task.logicalUnit;
    const { targetPort } = task.nexus!;
    const { protocol } = targetPort;
    const association = Association.TARGET_PORT;
    const group = unit.targetPortGroup(targetPort);
    return concatenate([
      ...logicalUnitDesignators(unit.identity),
      targetPortName(targetPort),
      designationDescriptor({
        codeSet: CodeSet.BINARY,
        association,
        type: DesignatorType.RELATIVE_TARGET_PORT,
        designator: numberDesignator(targetPort.relativeId),
        protocol,
      }),
      group === undefined
        ? undefined
        : designationDescriptor({
            codeSet: CodeSet.BINARY,
            association,
            type: DesignatorType.TARGET_PORT_GROUP,
            designator: numberDesignator(group),
            protocol,
          }),
      targetDeviceName(targetPort),
    ]);
  },
};

function logicalUnitDesignators(identity: Identity): (Uint8Array | undefined)[] {
  const association = Association.LOGICAL_UNIT;
  // Digits above 9 are capitals in name strings (SPC-4 7.8.6.11).
  const naaDigits = toHex(identity.naa).toUpperCase();
  return [
    designationDescriptor({
      codeSet: CodeSet.BINARY,
      association,
      type: DesignatorType.NAA,
      designator: identity.naa,
    }),
    designationDescriptor({
      codeSet: CodeSet.ASCII,
      association,
      type: DesignatorType.T10_VENDOR_ID,
      designator: vendorDesignator(identity),
    }),
    identity.nameString === false
      ? undefined
      : designationDescriptor({
          codeSet: CodeSet.UTF8,
          association,
          type: DesignatorType.SCSI_NAME_STRING,
          designator: nameString(`naa.${naaDigits}`),
        }),
  ];
}

/** Vendor, then product and serial number, as SPC-4 7.8.6.4 recommends. */
function vendorDesignator({ vendor, product, serial, vendorSpecific }: Identity): Uint8Array {
  if (vendorSpecific !== undefined) {
    const given = new Uint8Array(VENDOR_LENGTH + vendorSpecific.length + 1);
    putAscii(given, 0, VENDOR_LENGTH, vendor);
    putAscii(given, VENDOR_LENGTH, vendorSpecific.length, vendorSpecific);
    return given;
  }
  const bytes = new Uint8Array(VENDOR_LENGTH + PRODUCT_LENGTH + serial.length);
  putAscii(bytes, 0, VENDOR_LENGTH, vendor);
  putAscii(bytes, VENDOR_LENGTH, PRODUCT_LENGTH, product);
  putAscii(bytes, VENDOR_LENGTH + PRODUCT_LENGTH, serial.length, serial);
  return bytes;
}
