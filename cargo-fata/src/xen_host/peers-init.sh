# What dom0's init does for its network, without Xen: two bridges, and the agent on the socket that is standard input.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:/opt/busybox HOME=/root TERM=dumb LANG=C
fail() { echo "$*"; exit 1; }
# Links that packages make when they are configured, which these were not: nmap wants them.
for library in blas/libblas.so.3 lapack/liblapack.so.3; do
    folder=/usr/lib/x86_64-linux-gnu
    [ ! -e "$folder/$library" ] || ln -sfn "$library" "$folder/${library##*/}"
done
ulimit -n 65536 2>/dev/null
ip link set lo up || fail "no network of its own"
sysctl -q -w net.ipv6.conf.all.accept_dad=0
for bridge in xenbr0 xenbr1; do
    ip link add "$bridge" type bridge forward_delay 0 stp_state 0 || fail "no bridge: has the kernel the module?"
    ip link set "$bridge" up
done
ip address add 10.0.2.14/24 dev xenbr0
ip address add 10.0.3.1/24 dev xenbr1
echo FATA-PEERS-READY
exec 3<&0 </dev/null
/fata/fata-agent - <&3 3<&- >/dev/null &
exec 3<&-
# Reaps what scripts leave behind.
while true; do sleep 1000 & wait; done
