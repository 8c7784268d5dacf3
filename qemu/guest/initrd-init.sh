#!/usr/bin/busybox sh
# PID 1 of the initrd vehicle. /modules lists what to load, in order: sd_mod after the host adapters, because
# loading it waits for the probes it starts.
/usr/bin/busybox --install -s /usr/lib/busybox
export PATH=/usr/sbin:/usr/bin:/usr/lib/busybox HOME=/root LC_ALL=C TERM=dumb
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts
exec </dev/console >/dev/console 2>&1

while read -r module; do
  insmod "/usr/lib/modules/$module" || echo "lunport: $module could not be loaded"
done </modules

# In a child, so that the shell below is there when there is no job line.
LUNPORT_VEHICLE=initrd sh /usr/lib/lunport/agent
echo 'lunport: no job line; a shell instead, "poweroff -f" ends it'
exec setsid cttyhack sh
