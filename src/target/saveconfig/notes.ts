/** What an import or an export could not do as it was, for a person to read. */

export interface Note {
  /** `refused`: it is not served; `ignored`: it is, otherwise than before. */
  readonly kind: 'refused' | 'ignored';
  /** Where in LIO's tree. */
  readonly object: string;
  readonly message: string;
}

export class Notes {
  readonly all: Note[] = [];

  refused(object: string, message: string): undefined {
    this.all.push({ kind: 'refused', object, message });
  }

  ignored(object: string, message: string): void {
    this.all.push({ kind: 'ignored', object, message });
  }
}
