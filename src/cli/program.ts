/** The command line as a whole: one file per subcommand, joined here. */
import { Command } from 'commander';
import { inlineHotPath } from '../target/inlining.ts';
import { version } from '../target/version.ts';
import { attachCommand, detachCommand } from './attach.ts';
import { addCommand, removeCommand, resizeCommand } from './disks.ts';
import { ExitCode } from './exit-codes.ts';
import { listCommand } from './list.ts';
import { metricsCommand } from './metrics.ts';
import { saveCommand } from './save.ts';
import { exportCommand, importCommand } from './saveconfig.ts';
import { serveCommand } from './serve.ts';
import { sgCommand } from './sg.ts';
import { logLevelCommand, stopCommand } from './stop.ts';

const EXAMPLES = `
Examples:
  lunport serve disk.img                        serve a file; prints the QEMU options to paste
  lunport serve new.img,create,size=20G         make a sparse disk and serve it
  lunport serve ram:1G null:1T disk.img,ro      three LUNs of one target
  lunport serve a.img + b.img                   two targets, each with its own socket
  lunport serve --config lunport.json           everything from a file, kept by add and remove
  lunport serve disk.img --run 'qemu-system-x86_64 -accel kvm $LUNPORT_QEMU_OPTIONS'

Exit codes: 0 ok, 1 failed (the reason is on stderr), 2 wrong usage;
with --run, the command's own status.`;

/** Runs the command line of this process; resolves with the exit code. Throws what `report` explains. */
export async function runProgram(): Promise<number> {
  inlineHotPath();
  const program = new Command('lunport')
    .description(
      'A SCSI target in user space: disks for virtual machines over vhost-user-scsi, without root.',
    )
    .version(version())
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .showHelpAfterError('(lunport --help tells more)');
  let code: number = ExitCode.OK;
  const ended = (status: number) => {
    code = status;
  };
  for (const command of [
    serveCommand,
    listCommand,
    addCommand,
    removeCommand,
    resizeCommand,
    attachCommand,
    detachCommand,
    sgCommand,
    metricsCommand,
    saveCommand,
    importCommand,
    exportCommand,
    stopCommand,
    logLevelCommand,
  ])
    program.addCommand(command(ended));
  for (const command of allCommands(program))
    command.exitOverride().showHelpAfterError('(--help tells more)');
  await program.parseAsync();
  return code;
}

function allCommands(program: Command): Command[] {
  return program.commands.flatMap((command) => [command, ...allCommands(command)]);
}
