import test from 'ava';
import { qemuArguments } from '../../qemu/command-line.ts';
import type { MachineOptions } from '../../qemu/machine.ts';

const parts = {
  accelerator: 'tcg',
  firmware: [],
  boot: null,
  jobSocket: '/t/job',
  qmpSocket: '/t/qmp',
} as const;

/** The values that follow an option. */
function values(options: Partial<MachineOptions>, name: string): string[] {
  const args = qemuArguments({ vehicle: 'disk', ...options }, parts);
  return args.flatMap((arg, index) => (arg === name ? [args[index + 1]] : []));
}

test('guest memory is a shared file of the size that the machine has', (t) => {
  t.deepEqual(values({ memoryMiB: 300 }, '-object'), ['memory-backend-memfd,id=memory,size=300M,share=on']);
  t.deepEqual(values({ memoryMiB: 300 }, '-m'), ['300M']);
  t.deepEqual(values({ machine: 'pc' }, '-machine'), ['pc,memory-backend=memory']);
});

test('each vhost-user socket becomes a chardev and a device', (t) => {
  const options: Partial<MachineOptions> = {
    vhostUserScsi: [
      { socket: '/a,b.sock', queues: 2, bootIndex: 0 },
      {
        socket: '/c.sock',
        interface: 'non-transitional',
        chardev: { reconnect: 1 },
        device: { packed: true },
      },
    ],
  };
  const chardevs = values(options, '-chardev').filter((value) => value.includes('lunport'));
  t.deepEqual(chardevs, [
    'socket,id=lunport0,path=/a,,b.sock',
    'socket,id=lunport1,path=/c.sock,reconnect=1',
  ]);
  const devices = values(options, '-device').filter((value) => value.startsWith('vhost-user'));
  t.deepEqual(devices, [
    'vhost-user-scsi-pci,chardev=lunport0,num_queues=2,bootindex=0',
    'vhost-user-scsi-pci-non-transitional,chardev=lunport1,packed=on',
  ]);
});

test("QEMU's own disks share one controller", (t) => {
  const options = {
    disks: [
      { file: '/a.img', bootIndex: 0 },
      { file: '/b.qcow2', format: 'qcow2', device: { serial: 's' } },
    ],
  };
  t.deepEqual(values(options, '-drive'), [
    'if=none,id=disk0,format=raw,file=/a.img',
    'if=none,id=disk1,format=qcow2,file=/b.qcow2',
  ]);
  const devices = values(options, '-device').filter((value) => value.includes('scsi'));
  t.deepEqual(devices, [
    'virtio-scsi-pci,id=qemuscsi',
    'scsi-hd,drive=disk0,bus=qemuscsi.0,bootindex=0',
    'scsi-hd,drive=disk1,bus=qemuscsi.0,serial=s',
  ]);
});

test('the processor is the one that goes with the accelerator, unless named', (t) => {
  t.deepEqual(values({}, '-cpu'), ['max']);
  t.deepEqual(values({ cpu: 'max,-cx16' }, '-cpu'), ['max,-cx16']);
  const kvm = qemuArguments({ vehicle: 'disk' }, { ...parts, accelerator: 'kvm' });
  t.is(kvm[kvm.indexOf('-cpu') + 1], 'host');
});
