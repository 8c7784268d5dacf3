/** A guest with the kernel's iSCSI initiator (open-iscsi), which reaches this machine's loopback as 10.0.2.2. */
import { Guest } from '../../qemu/guest.ts';

/** QEMU's user-mode network shows the host's 127.0.0.1 as this. */
const HOST = '10.0.2.2';
const NETWORK = 'user,id=net,net=10.0.2.0/24';

const SET_UP = `
ip link set lo up; ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
mkdir -p /run/lock /etc/iscsi /var/lib/iscsi
iscsid
`;

export interface IscsiGuestOptions {
  readonly initiator: string;
  /** Programs besides iscsid and iscsiadm. */
  readonly tools?: readonly string[];
  readonly modules?: readonly string[];
  /** Lines for iscsid.conf, behind Debian's. */
  readonly settings?: readonly string[];
  readonly vhostUserSocket?: string;
}

export interface Address {
  readonly target: string;
  /** As the guest reaches it. */
  readonly portal: string;
  /** Logs in under this initiator name instead of the guest's. */
  readonly initiator?: string;
}

/** What `iscsi://127.0.0.1:PORT/NAME/LUN` is for the guest. */
export function addressOf(url: string): Address {
  const [, port, target] = /^iscsi:\/\/[^:]*:(\d+)\/([^/]+)\//.exec(url)!;
  return { target, portal: `${HOST}:${port}` };
}

export async function startIscsiGuest(options: IscsiGuestOptions): Promise<Guest> {
  const guest = await Guest.start({
    vehicle: 'initrd',
    memoryMiB: 768,
    initrd: {
      tools: ['open-iscsi', 'sg3-utils', ...(options.tools ?? [])],
      modules: ['virtio_net', 'iscsi_tcp', ...(options.modules ?? [])],
    },
    vhostUserScsi: options.vhostUserSocket === undefined ? [] : [{ socket: options.vhostUserSocket }],
    extraArgs: ['-netdev', NETWORK, '-device', 'virtio-net-pci,netdev=net,romfile='],
  });
  const settings = (options.settings ?? []).map((line) => `echo '${line}' >>/etc/iscsi/iscsid.conf`);
  const { status, output } = await guest.exec(
    [
      'mkdir -p /etc/iscsi',
      `echo InitiatorName=${options.initiator} >/etc/iscsi/initiatorname.iscsi`,
      ...settings,
      SET_UP,
    ].join('\n'),
  );
  if (status !== 0) throw new Error(`iscsid does not start: ${output}`);
  return guest;
}

/** Shell lines that log in to `addresses`, and wait until each has given a disk: /dev/ISCSI0, ISCSI1, … */
export function login(...addresses: readonly Address[]): string {
  const lines = addresses.flatMap((address, i) => [
    ...(address.initiator === undefined ? [] : newInterface(address.initiator, interfaceOf(address))),
    `iscsiadm -m node -o new ${node(address)} || exit 1`,
    `iscsiadm -m node ${node(address)} --login || exit 1`,
    // Sessions are numbered from 1; a host's disk appears some time after the login.
    `tries=0; until disk=$(ls /sys/class/iscsi_session/session${i + 1}/device/target*/*:0/block 2>/dev/null); do`,
    '  tries=$((tries + 1)); [ $tries -lt 100 ] || exit 1; sleep 0.1',
    'done',
    `until [ -b /dev/$disk ]; do sleep 0.1; done; ln -sf $disk /dev/ISCSI${i}`,
  ]);
  return lines.join('\n');
}

export function logout(...addresses: readonly Address[]): string {
  return addresses.map((address) => `iscsiadm -m node ${node(address)} --logout || exit 1`).join('\n');
}

function node(address: Address): string {
  return `-T ${address.target} -p ${address.portal} -I ${interfaceOf(address)}`;
}

/** What open-iscsi calls an interface decides, among others, under which name it logs in. */
function interfaceOf({ initiator }: Address): string {
  return initiator === undefined ? 'default' : initiator.replace(/^.*:/, '');
}

function newInterface(initiator: string, name: string): string[] {
  return [
    `iscsiadm -m iface -I ${name} -o new || exit 1`,
    `iscsiadm -m iface -I ${name} -o update -n iface.initiatorname -v ${initiator} || exit 1`,
  ];
}
