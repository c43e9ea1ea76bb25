#!/bin/bash
# The first process of the namespaces: dom0's root file system, writable for as long as they are there, and a network of two
# tap devices that have the names and addresses of dom0's bridges. Then the agent, which talks with the tool on the network
# outside (descriptor 9) and runs its scripts in the one inside (descriptor 8).
set -e
folder=$1 root=$2 agent=$3
mount --make-rprivate /
mount -t tmpfs -o mode=755 fata "$folder/run"
mkdir "$folder/run/upper" "$folder/run/work" "$folder/run/root"
mount -t overlay -o "lowerdir=$root,upperdir=$folder/run/upper,workdir=$folder/run/work" fata "$folder/run/root"
cd "$folder/run/root"
mkdir -p proc sys dev tmp root var/log/xen fata
mount -t proc proc proc
mount -t sysfs sys sys
mount --rbind /dev dev
mount -t tmpfs tmp tmp
mount --bind "$folder/logs" var/log/xen
cp "$agent" fata/fata-agent
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:/opt/busybox HOME=/root TERM=dumb LANG=C
for library in blas/libblas.so.3 lapack/liblapack.so.3; do
    libraries=usr/lib/x86_64-linux-gnu
    [ ! -e "$libraries/$library" ] || ln -sfn "$library" "$libraries/${library##*/}"
done
ulimit -n "$(ulimit -Hn)"
exec 8</proc/self/ns/net
chroot . /bin/bash -e <<'END'
ip link set lo up
for tap in xenbr0 xenbr1; do
    ip tuntap add "$tap" mode tap
    ip link set "$tap" up
done
ip address add 10.0.2.14/24 dev xenbr0
ip route add default via 10.0.2.2
ip address add 10.0.3.1/24 dev xenbr1
END
exec nsenter --net=/proc/self/fd/9 chroot . /fata/fata-agent 127.0.0.1:0
