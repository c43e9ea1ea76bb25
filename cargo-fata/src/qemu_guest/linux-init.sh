#!/bin/busybox sh
# The first process of the Linux that `bench boot` compares with: what a web server needs, and nothing else.
busybox() { /bin/busybox "$@"; }
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
for module in virtio-mmio virtio-pci virtio-net; do busybox modprobe "$module"; done
busybox ip link set lo up
while [ ! -e /sys/class/net/eth0 ]; do busybox usleep 1000; done
busybox ip address add 10.0.2.15/24 dev eth0
busybox ip link set eth0 up
busybox httpd -p 80 -h /www
while true; do busybox sleep 1000; done
