import { readFileSync } from 'node:fs';
import test from 'ava';
import { elfNeeds } from '../../qemu/elf.ts';

test("Node's own program needs the dynamic loader and the C library", (t) => {
  const needs = elfNeeds(readFileSync(process.execPath));
  t.regex(needs?.interpreter ?? '', /^\/lib.*ld-linux/);
  t.true(needs?.needed.includes('libc.so.6'));
});

test('a script is no ELF file', (t) => {
  t.is(elfNeeds(Buffer.from(`#!/bin/sh\n${'#'.repeat(100)}`)), null);
  t.is(elfNeeds(Buffer.from('#!')), null);
});
