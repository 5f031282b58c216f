#!/bin/sh
# What udhcpc calls when its lease changes: addresses and the default route, nothing else.
case "$1" in
    deconfig)
        ip address flush dev "$interface" scope global
        ;;
    bound | renew)
        ip address replace "$ip/${mask:-24}" dev "$interface"
        for old in $(ip -4 -o address show dev "$interface" scope global | sed 's/.*inet \([^ ]*\).*/\1/'); do
            [ "$old" = "$ip/${mask:-24}" ] || ip address delete "$old" dev "$interface"
        done
        [ -z "$router" ] || ip route replace default via "${router%% *}" dev "$interface"
        echo "lease $ip"
        ;;
esac
exit 0
