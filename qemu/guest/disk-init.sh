#!/bin/sh
# PID 1 of the disk vehicle: a stock Debian user space, without an init system because a test has no use
# for services and no time for them. The initrd has mounted /, /dev, /proc, /sys and /run.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb
mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sys /sys
mountpoint -q /dev || mount -t devtmpfs dev /dev
mountpoint -q /run || mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts
exec </dev/console >/dev/console 2>&1

for module in virtio_console sg; do modprobe "$module"; done

# In a child, so that the shell below is there when there is no job line.
LUNPORT_VEHICLE=disk sh /usr/lib/lunport/agent
echo 'lunport: no job line; a shell instead, "busybox poweroff -f" ends it'
exec setsid busybox cttyhack bash -l
