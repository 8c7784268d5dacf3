# Runs on the host when all packages are in the tree ($1): boot loaders, then the root file system's image.
# LUNPORT_ROOT_UUID comes from debian-tree.ts. In mmdebstrap's unshare mode this is root in a user namespace,
# which sees the host's programs, but can write only to the tree and to the folder above it.
set -eu
export PATH="$PATH:/usr/sbin:/sbin"
mkdir -p "$1/boot/grub" "$1/boot/lunport"

# The prefix names no device: GRUB takes the disk that it was loaded from, also where several look the same.
modules='normal configfile linux part_gpt ext2'
# shellcheck disable=SC2086
chroot "$1" grub-mkimage -O i386-pc -p '(,gpt3)/boot/grub' -o /boot/lunport/core.img biosdisk $modules
# shellcheck disable=SC2086
chroot "$1" grub-mkimage -O x86_64-efi -p '(,gpt3)/boot/grub' -o /boot/lunport/bootx64.efi $modules
cp "$1/usr/lib/grub/i386-pc/boot.img" "$1/boot/lunport/boot.img"

# None of this is of use any more, and every test copies the disk.
rm -rf "$1/usr/lib/grub" "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/cache/apt/archives/*.deb

# The tree has /proc, /sys and /dev mounted while hooks run. They must not get into the image, and stay where
# they are for mmdebstrap: so they go away in a mount namespace of our own.
without_mounts=
if grep -q " $1/" /proc/self/mounts; then without_mounts='unshare --mount'; fi
# shellcheck disable=SC2016
$without_mounts sh -euc '
  while read -r device point rest; do
    # What is mounted below another one goes away with it.
    case $point in "$1"/*) umount -l "$point" 2>/dev/null || true ;; esac
  done </proc/self/mounts
  if grep " $1/" /proc/self/mounts; then exit 1; fi
  megabytes=$(du -sm "$1" | cut -f 1)
  mke2fs -q -F -t ext4 -L lunport-root -U "$LUNPORT_ROOT_UUID" -m 0 -i 16384 -J size=8 \
    -E lazy_itable_init=0,lazy_journal_init=0 -d "$1" "$1.ext4" "$((megabytes * 5 / 4 + 32))M"
' mke2fs "$1"
mv "$1.ext4" "$1/root.ext4"
