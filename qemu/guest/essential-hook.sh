# Runs on the host while mmdebstrap builds the tree ($1), before the kernel is installed and makes its initrd.
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d"
# What a virtual machine needs to find its root on a virtio disk; "most" would make it three times as big.
cat >"$1/etc/initramfs-tools/conf.d/lunport" <<EOF
MODULES=list
COMPRESS=lz4
RESUME=none
FSTYPE=ext4
EOF
printf '%s\n' virtio_pci virtio_scsi virtio_blk virtio_console sd_mod sg >"$1/etc/initramfs-tools/modules"
echo lunport-guest >"$1/etc/hostname"
