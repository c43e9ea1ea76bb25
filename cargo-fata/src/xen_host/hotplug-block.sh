#!/bin/busybox sh
# Names a guest's disk to the kernel, as Debian's block does for a device; for who says script=/fata/block. Debian's looks whether
# others have the device too, which takes an emulated dom0 five seconds a guest.
[ "$1" = add ] || exit 0
device=$(xenstore-read "$XENBUS_PATH/params") || exit 1
numbers=$(busybox stat -L -c %t:%T "$device") || exit 1
xenstore-write "$XENBUS_PATH/node" "$device" "$XENBUS_PATH/physical-device" "$numbers" \
    "$XENBUS_PATH/physical-device-path" "$device" "$XENBUS_PATH/hotplug-status" connected
