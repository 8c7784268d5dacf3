import { addon } from './addon.ts';
import { checked } from './errno.ts';

/**
 * Tells systemd how we are (sd_notify(3)): 'READY=1', 'STATUS=…', 'STOPPING=1', lines joined by '\n'. Returns
 * whether anybody asked to be told.
 */
export function notifySupervisor(message: string): boolean {
  const socket = process.env['NOTIFY_SOCKET'];
  if (!socket) return false;
  checked(addon.notifySupervisor(socket, message), 'notify the supervisor at', socket);
  return true;
}
