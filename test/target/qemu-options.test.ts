import test from 'ava';
import { qemuArguments, qemuCommandLine } from '../../src/target/qemu-options.ts';

const listening = (path: string) => ({ path, role: 'listen' as const, device: 'scsi' as const });

test('the options share the guest memory and name every socket', (t) => {
  t.deepEqual(
    qemuArguments({
      sockets: [listening('/run/a.sock'), { path: '/run/b,c.sock', role: 'connect', device: 'blk' }],
      memory: '2G',
    }),
    [
      '-m',
      '2G',
      '-object',
      'memory-backend-memfd,id=lunport-mem,size=2G,share=on',
      '-machine',
      'memory-backend=lunport-mem',
      '-chardev',
      'socket,id=lunport0,path=/run/a.sock',
      '-device',
      'vhost-user-scsi-pci,chardev=lunport0,bootindex=0',
      '-chardev',
      'socket,id=lunport1,path=/run/b,,c.sock,server=on,wait=on',
      '-device',
      'vhost-user-blk-pci,chardev=lunport1',
    ],
  );
});

test('the command line survives a shell', (t) => {
  t.regex(
    qemuCommandLine({ sockets: [listening("/tmp/it's.sock")], memory: '1G' }),
    /'socket,id=lunport0,path=\/tmp\/it'\\''s\.sock'/,
  );
});
