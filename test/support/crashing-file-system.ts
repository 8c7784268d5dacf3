/**
 * A file system whose power can be cut: what was not synced may be there, in part or whole, or not. Kept as the
 * operations since the last sync, of which a crash takes effect for any subset.
 */
import type { FileHandle, FileSystem } from '../../src/target/durable-file.ts';

/** A file's content; names point to it. */
interface Inode {
  text: string;
  stable: string;
}

type Names = ReadonlyMap<string, Inode>;
type NameChange = (names: Map<string, Inode>) => void;

export class CrashingFileSystem implements FileSystem {
  private names: Map<string, Inode>;
  /** Names on stable storage, and the changes that came after. */
  private stableNames: Names;
  private unsynced: NameChange[] = [];
  /** Called after every step: the moments at which power may go. */
  private readonly stepped: () => void;

  constructor(files: Record<string, string>, stepped: () => void) {
    this.names = new Map(Object.entries(files).map(([path, text]) => [path, { text, stable: text }]));
    this.stableNames = new Map(this.names);
    this.stepped = stepped;
  }

  async open(path: string, flags: string): Promise<FileHandle> {
    if (flags === 'r') return this.directory();
    const inode = this.names.get(path) ?? { text: '', stable: '' };
    inode.text = '';
    this.change((names) => names.set(path, inode));
    return {
      writeFile: async (text) => {
        for (const character of text) {
          inode.text += character;
          this.stepped();
        }
      },
      sync: async () => {
        inode.stable = inode.text;
        this.stepped();
      },
      close: async () => {},
    };
  }

  async rename(from: string, to: string): Promise<void> {
    const inode = this.names.get(from);
    if (inode === undefined) throw new Error(`no ${from}`);
    this.change((names) => {
      names.delete(from);
      names.set(to, inode);
    });
  }

  async rm(path: string): Promise<void> {
    this.change((names) => names.delete(path));
  }

  /** Every text that `path` may have after a crash now; undefined: it may be gone. */
  possibleTexts(path: string): Set<string | undefined> {
    const texts = new Set<string | undefined>();
    for (let subset = 0; subset < 1 << this.unsynced.length; subset++) {
      const names = new Map(this.stableNames);
      for (const [i, change] of this.unsynced.entries()) if ((subset >> i) & 1) change(names);
      const inode = names.get(path);
      if (inode === undefined) texts.add(undefined);
      else for (const text of contents(inode)) texts.add(text);
    }
    return texts;
  }

  private directory(): FileHandle {
    return {
      writeFile: async () => {
        throw new Error('a directory');
      },
      sync: async () => {
        this.stableNames = new Map(this.names);
        this.unsynced = [];
        this.stepped();
      },
      close: async () => {},
    };
  }

  private change(change: NameChange): void {
    change(this.names);
    this.unsynced.push(change);
    this.stepped();
  }
}

/** What a file may hold after a crash: as synced; else any beginning of what was written, or nothing. */
function contents({ text, stable }: Inode): string[] {
  if (text === stable) return [text];
  return [stable, ...Array.from({ length: text.length + 1 }, (_, length) => text.slice(0, length))];
}
