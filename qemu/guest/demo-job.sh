# What `make demo` runs in the guest: looks at the disk it was booted from, then writes and reads back.
# The host takes the last line, and looks for the same file in the image.
set -eu
step() { printf '\n# %s\n' "$*"; "$@"; }

root=$(findmnt -n -o SOURCE /)
disk=/dev/$(lsblk -n -o PKNAME "$root")
generic=/dev/$(ls "/sys/block/${disk#/dev/}/device/scsi_generic")

step uname -srvm
step lsblk -o NAME,SIZE,TYPE,HCTL,VENDOR,MODEL,REV,MOUNTPOINTS
step lsscsi -g -s
step sg_inq "$generic"
for page in 00 80 83 b0 b1 b2; do
  # A disk need not have them all: the list is page 00.
  if sg_vpd -q -p "0x$page" "$generic" >/dev/null 2>&1; then step sg_vpd -p "0x$page" "$generic"; fi
done

file=/root/lunport-demo
printf '\n# 16 MiB of random data: written, synced, read back from the disk\n'
written=$(head -c 16M /dev/urandom | tee "$file" | sha256sum)
sync
echo 3 >/proc/sys/vm/drop_caches
read=$(sha256sum <"$file")
echo "written ${written%% *}"
echo "read    ${read%% *}"
[ "$written" = "$read" ]
