#!/bin/busybox sh
# Puts a guest's interface on its bridge, as Debian's vif-bridge does. That one starts some forty programs, which takes an emulated
# dom0 five seconds a guest; it is there too, for who says script=vif-bridge. The kernel takes an interface that goes off its bridge.
[ "$1" = online ] || exit 0
bridge=$(xenstore-read "$XENBUS_PATH/bridge") || exit 1
mtu=$(xenstore-read "$XENBUS_PATH/mtu" 2>/dev/null) || read -r mtu < "/sys/class/net/$bridge/mtu" || exit 1
ip link set dev "$vif" mtu "$mtu" master "$bridge" up || exit 1
# The address may have been another guest's a moment ago. Should dom0 miss its announcement, frames to the old one's hardware
# address go everywhere, and QEMU's own network answers them with resets.
ip neigh flush dev "$bridge" || exit 1
numbers=${vif#vif}
xenstore-write "/local/domain/${numbers%.*}/device/vif/${numbers#*.}/mtu" "$mtu" "$XENBUS_PATH/hotplug-status" connected
