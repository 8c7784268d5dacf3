#!/bin/sh
# The guest's end of the job line, in both vehicles: runs under dash with coreutils, and under busybox.
#
# The line is the virtio-serial port named lunport.job. The host speaks first words, then bytes:
#
#   run TOKEN SIZE           SIZE bytes of shell script follow. Its output comes back as it is made, then
#                            "\nTOKEN STATUS\n". The host chooses the token so that no output can contain it.
#   put TOKEN SIZE MODE PATH SIZE bytes follow and become a file. Answer as above.
#   poweroff | reboot | hello
#
# The guest says "lunport-hello BOOT-ID VEHICLE\n" when it is ready, and when asked.
# End of file means that the host is gone: power off.

find_port() {
  for name in /sys/class/virtio-ports/*/name; do
    [ -e "$name" ] || continue
    if [ "$(cat "$name")" = lunport.job ]; then
      name=${name%/name}
      echo "/dev/${name##*/}"
      return
    fi
  done
}

# Disks are probed in the background: a job must find them all.
settle() {
  tries=0
  for device in /sys/bus/scsi/devices/*:*:*:*; do
    [ -e "$device/type" ] || continue
    read -r type <"$device/type"
    [ "$type" = 0 ] || continue
    while [ ! -e "$device/block" ] && [ "$tries" -lt 50 ]; do
      sleep 0.1
      tries=$((tries + 1))
    done
  done
}

hello() {
  echo "lunport-hello $(cat /proc/sys/kernel/random/boot_id) $LUNPORT_VEHICLE" >&3
}

# Without init there is nobody to ask: tell the kernel, after what a proper shutdown would have done.
leave() {
  sync
  mount -o remount,ro / 2>/dev/null
  busybox "$1" -f
}

export LUNPORT_VEHICLE
port=$(find_port)
[ -n "$port" ] || exit 1
settle
exec 3<>"$port"
hello

mkdir -p /run/lunport
cd /
while read -r verb token size mode path <&3; do
  case $verb in
    run)
      head -c "$size" <&3 >/run/lunport/job
      sh /run/lunport/job </dev/null >&3 2>&1 3>&-
      printf '\n%s %s\n' "$token" "$?" >&3
      ;;
    put)
      # By way of a file that can always be written: the bytes must leave the line.
      head -c "$size" <&3 >/run/lunport/file
      { mv /run/lunport/file "$path" && chmod "$mode" "$path"; } >&3 2>&1
      printf '\n%s %s\n' "$token" "$?" >&3
      ;;
    hello) hello ;;
    poweroff | reboot) leave "$verb" ;;
    *) echo "lunport: the host said \"$verb\"" >/dev/console ;;
  esac
done
leave poweroff
