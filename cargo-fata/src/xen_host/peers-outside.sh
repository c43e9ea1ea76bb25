# The first process of the peers' namespaces: `peers ROOT ARCHIVE AGENT`, dom0's file system in memory at ROOT.
set -e
PATH=$PATH:/usr/sbin:/sbin
mount -t tmpfs -o mode=755 peers "$1"
cd "$1"
cpio --quiet --extract --make-directories <"$2"
mkdir -p proc sys dev tmp root run/lock var/log/xen fata
cp "$3" fata/fata-agent
printf %s "$FATA_PEERS_INIT" >fata/init
mount -t proc proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs tmp tmp
exec env -i FATA_AGENT_TOKEN="$FATA_AGENT_TOKEN" "$(command -v chroot)" . /bin/bash /fata/init
