/** The command line as a whole: one file per subcommand, joined here. */
import { Command } from 'commander';
import { inlineHotPath } from '../target/inlining.ts';
import { version } from '../target/version.ts';
import { ExitCode } from './exit-codes.ts';

type MakeCommand = (ended: (code: number) => void) => Command;

/**
 * In the order of the help text. Each loads what it needs when it is asked for: most do little, and would otherwise
 * spend their time on loading the rest.
 */
const COMMANDS: Readonly<Record<string, () => Promise<MakeCommand>>> = {
  serve: async () => (await import('./serve.ts')).serveCommand,
  list: async () => (await import('./list.ts')).listCommand,
  add: async () => (await import('./disks.ts')).addCommand,
  remove: async () => (await import('./disks.ts')).removeCommand,
  resize: async () => (await import('./disks.ts')).resizeCommand,
  attach: async () => (await import('./attach.ts')).attachCommand,
  detach: async () => (await import('./attach.ts')).detachCommand,
  sg: async () => (await import('./sg.ts')).sgCommand,
  metrics: async () => (await import('./metrics.ts')).metricsCommand,
  save: async () => (await import('./save.ts')).saveCommand,
  import: async () => (await import('./saveconfig.ts')).importCommand,
  export: async () => (await import('./saveconfig.ts')).exportCommand,
  stop: async () => (await import('./stop.ts')).stopCommand,
  'log-level': async () => (await import('./stop.ts')).logLevelCommand,
};

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
      'A SCSI target in user space: disks for virtual machines (vhost-user), for other machines (iSCSI, NBD) and for this one, without root.',
    )
    .version(version())
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .showHelpAfterError('(lunport --help tells more)');
  let code: number = ExitCode.OK;
  const ended = (status: number) => {
    code = status;
  };
  const [, , asked] = process.argv;
  // Whatever is no command is answered with all of them: help, or an error.
  for (const name of Object.hasOwn(COMMANDS, asked) ? [asked] : Object.keys(COMMANDS)) {
    const command = await COMMANDS[name]();
    program.addCommand(command(ended));
  }
  for (const command of allCommands(program))
    command.exitOverride().showHelpAfterError(`(${fullName(command)} --help tells more)`);
  await program.parseAsync();
  return code;
}

/** As it is typed: `lunport sg vpd`. */
function fullName(command: Command): string {
  const { parent } = command;
  return parent === null ? command.name() : `${fullName(parent)} ${command.name()}`;
}

function allCommands(program: Command): Command[] {
  return program.commands.flatMap((command) => [command, ...allCommands(command)]);
}
