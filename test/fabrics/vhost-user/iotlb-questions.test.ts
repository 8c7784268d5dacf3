import test from 'ava';
import { DescriptorChain } from '../../../src/fabrics/vhost-user/descriptor-chain.ts';
import { Iotlb } from '../../../src/fabrics/vhost-user/iotlb.ts';
import { MemoryTable } from '../../../src/fabrics/vhost-user/memory-table.ts';
import { TRANSLATION_MISS } from '../../../src/fabrics/vhost-user/translation-miss.ts';
import { RegionMemory } from '../../../src/native/memory.ts';
import { SegmentList } from '../../../src/scsi/segment-list.ts';

test('a front-end that never answers is asked so many questions, and no more', (t) => {
  let asked = 0;
  const iotlb = new Iotlb(new MemoryTable(new RegionMemory()), {
    askForTranslation: () => ++asked > 0,
    answersQuestions: () => true,
  });
  const chain = new DescriptorChain(1);
  const translate = (address: number) => {
    chain.clear();
    chain.append(Uint32Array.of(address, 0, 1, 0), 0, false);
    return iotlb.translate(chain, 0, 0, 1, new SegmentList());
  };
  for (let i = 0; i < 1024; i++) {
    const error = t.throws(() => translate(i * 4096));
    t.is(error, TRANSLATION_MISS);
  }
  t.false(translate(1024 * 4096), 'as if it were outside of memory');
  t.is(asked, 1024);
});

test('what was asked on a channel that is gone is asked again on the next one', (t) => {
  const asked: number[] = [];
  const iotlb = new Iotlb(new MemoryTable(new RegionMemory()), {
    askForTranslation: (iova) => asked.push(iova) > 0,
    answersQuestions: () => true,
  });
  const chain = new DescriptorChain(1);
  chain.append(Uint32Array.of(0x4000, 0, 1, 0), 0, false);
  const translate = () => iotlb.translate(chain, 0, 0, 1, new SegmentList());
  for (let i = 0; i < 2; i++) t.is(t.throws(translate), TRANSLATION_MISS);
  t.deepEqual(asked, [0x4000]);
  iotlb.forgetQuestions();
  t.is(t.throws(translate), TRANSLATION_MISS);
  t.deepEqual(asked, [0x4000, 0x4000]);
});
