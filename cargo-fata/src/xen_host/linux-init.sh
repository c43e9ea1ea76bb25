#!/bin/busybox sh
# The first process of the Linux guests that ours are measured against: one interface, and what /start starts.
# The kernel's command line gives fata.ipv4=ADDRESS/LENGTH.
/bin/busybox mkdir -p /proc /sys /dev /tmp /run
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/hvc0 >/dev/hvc0 2>&1
modprobe xen-netfront
ip link set lo up
for _ in $(seq 100); do [ -e /sys/class/net/eth0 ] && break; sleep 0.1; done
ip address add "$(sed 's/.*fata.ipv4=\([^ ]*\).*/\1/' /proc/cmdline)" dev eth0
ip link set eth0 up
sysctl -q -w net.core.somaxconn=4096
line() { true; }
. /start
echo "LINUX-GUEST-READY"
while true; do
    read -r said || sleep 1
    [ "$said" = poweroff ] && poweroff -f
    line "$said"
done
