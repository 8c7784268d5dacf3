/**
 * What the guest of kill-rounds.ts does with its second disk while lunport is killed: COMPARE AND WRITE, UNMAP, and
 * a persistent reservation that has to outlive every process (APTPL) and is made anew, under another key, in every round.
 */

/** Serial number of the disk. */
export const COMMANDS_DISK = 'ID_LUNPORT_COMMANDS';

/** Every line it logs, but `round`, is a complaint. */
export const COMMANDS_LOG = '/tmp/commands-log';
export const COMMANDS_DONE = '/tmp/commands-done';

/** sg3-utils: the command ended with a unit attention, and was not executed: each restart is a power-on. */
const UNIT_ATTENTION = 6;
/** sg3-utils: MISCOMPARE. */
const MISCOMPARE = 14;
/** Where COMPARE AND WRITE works, and eight blocks for UNMAP. */
const COMPARED_LBA = 64;
const UNMAPPED_LBA = 1024;

/**
 * A command under way when lunport dies is executed again by the next one. So COMPARE AND WRITE may answer MISCOMPARE
 * although it was the one who wrote: what counts is that the block is whole, and either the old or the new one.
 */
export const COMMANDS = `
for each in /sys/block/sd*; do
  grep -q ${COMMANDS_DISK} "$each/device/vpd_pg80" && disk=/dev/\${each##*/} && sg=/dev/$(ls "$each/device/scsi_generic")
done
[ -n "$disk" ] || exit 9

again() { # until it is no unit attention
  while :; do
    "$@" >/tmp/said 2>&1
    status=$?
    [ $status = ${UNIT_ATTENTION} ] || return $status
  done
}
fill() { tr '\\0' "$1" </dev/zero | head -c 512; }
block() { dd if=$disk bs=512 skip=$1 count=$2 iflag=direct 2>/dev/null; }

fill a >/tmp/a
fill b >/tmp/b
cat /tmp/a /tmp/b >/tmp/a-to-b
cat /tmp/b /tmp/a >/tmp/b-to-a
head -c 4096 /dev/zero >/tmp/zeros
tr '\\0' x </tmp/zeros >/tmp/pattern
dd if=/tmp/a of=$disk bs=512 seek=${COMPARED_LBA} oflag=direct 2>/dev/null
again sg_persist -n -o -G -S 0xa1 -Z $sg || exit 8
again sg_persist -n -o -R -K 0xa1 -T 3 $sg || exit 7

compare_and_write() { # old new
  again sg_compare_and_write --in=/tmp/$1-to-$2 --lba=${COMPARED_LBA} --num=1 $sg
  status=$?
  block ${COMPARED_LBA} 1 >/tmp/block
  case $status in
    0 | ${MISCOMPARE}) cmp /tmp/block /tmp/$2 || { echo "compare and write: $status"; cp /tmp/$2 /tmp/block; } ;;
    *) echo "compare and write: $status $(cat /tmp/said)" ;;
  esac
}
unmap() {
  dd if=/tmp/pattern of=$disk bs=4096 seek=$((${UNMAPPED_LBA} / 8)) oflag=direct 2>/dev/null || echo 'write failed'
  again sg_unmap -f --lba=${UNMAPPED_LBA} --num=8 $sg || echo "unmap: $? $(cat /tmp/said)"
  block ${UNMAPPED_LBA} 8 | cmp - /tmp/zeros || echo 'unmapped, but not zero'
}
persist() { again sg_persist -n -o "$@" $sg || echo "sg_persist $*: $(cat /tmp/said)"; }
held() { # by key
  again sg_persist -n -r $sg && grep -q "Key=$1" /tmp/said || echo "reservation of $1: $(cat /tmp/said)"
}
reservation() { # the registration's key changes, then the reservation goes and comes back
  persist -I -S $1 -Z
  held $1
  persist -L -K $1 -T 3
  persist -R -K $1 -T 3
  held $1
}
(
  until [ -e /tmp/stop ]; do
    compare_and_write a b
    unmap
    reservation 0xa2
    compare_and_write b a
    reservation 0xa1
    echo round
  done
  touch ${COMMANDS_DONE}
) >${COMMANDS_LOG} 2>&1 &
`;
