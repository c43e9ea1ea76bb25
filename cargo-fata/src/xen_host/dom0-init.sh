#!/bin/bash
# The first process of dom0: brings up what `xl` needs, two bridges and the tool's agent, then waits.
# Every stage says its name, so that the serial log shows where a start went wrong.
export PATH=/usr/lib/xen-4.17/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/busybox HOME=/root TERM=dumb LANG=C
stage() { echo "FATA-HOST: $*"; }
fail() { echo "FATA-HOST-FAILED: $*"; busybox poweroff -f; }

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
mkdir -p /dev/pts /dev/shm /run/lock /run/xen /var/run/xen /var/lock /var/log/xen /var/lib/xen /var/lib/xenstored /tmp /root
mount -t devpts devpts /dev/pts
mount -t tmpfs tmp /tmp
# The hotplug scripts take their locks through these.
ln -sfn /proc/self/fd /dev/fd
ln -sfn /proc/self/fd/0 /dev/stdin
ln -sfn /proc/self/fd/1 /dev/stdout
ln -sfn /proc/self/fd/2 /dev/stderr
# Links that packages make when they are configured, which these were not: nmap wants them.
for library in blas/libblas.so.3 lapack/liblapack.so.3; do
    folder=/usr/lib/x86_64-linux-gnu
    [ ! -e "$folder/$library" ] || ln -sfn "$library" "$folder/${library##*/}"
done
ulimit -n 65536

stage modules
for module in $(cat /fata/modules); do modprobe "$module" || stage "no module $module"; done
mount -t xenfs xenfs /proc/xen || fail "xenfs: is this a Xen dom0?"

printf '%s\n' 'autoballoon="off"' 'vif.default.script="/fata/vif"' > /etc/xen/xl.conf

stage xenstored
xenstored --pid-file /run/xen/xenstored.pid
for _ in $(seq 100); do xenstore-exists / 2>/dev/null && break; sleep 0.1; done
xenstore-exists / || fail "xenstored does not answer"
xen-init-dom0 >/dev/null || fail xen-init-dom0
xenconsoled --log=all --log-dir=/var/log/xen --pid-file=/run/xen/xenconsoled.pid || fail xenconsoled

stage network
ip link set lo up
sysctl -q -w net.ipv4.ip_forward=0 net.ipv6.conf.all.accept_dad=0
for bridge in xenbr0 xenbr1; do
    ip link add "$bridge" type bridge forward_delay 0 stp_state 0
    ip link set "$bridge" up
done
ip link set eth0 master xenbr0 && ip link set eth0 up || fail "eth0: no network card"
ip address add 10.0.2.14/24 dev xenbr0
ip route add default via 10.0.2.2
ip address add 10.0.3.1/24 dev xenbr1
hostname dom0

stage agent
(while true; do /fata/fata-agent 0.0.0.0:9999 >/dev/null; sleep 1; done) &
echo FATA-HOST-READY
while true; do sleep 1000 & wait; done
