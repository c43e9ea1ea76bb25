#!/bin/busybox sh
# The first process of the Linux guest that ours are measured against: one interface, one nginx with one worker,
# one iperf3.
# The kernel's command line gives fata.ipv4=ADDRESS/LENGTH.
/bin/busybox mkdir -p /proc /sys /dev /tmp /var/log/nginx /var/lib/nginx /run
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
/usr/sbin/nginx -c /etc/nginx/fata.conf || echo "nginx does not start"
/usr/bin/iperf3 --server --daemon || echo "iperf3 does not start"
echo "LINUX-GUEST-READY"
while true; do read -r line; [ "$line" = poweroff ] && poweroff -f; sleep 1; done
